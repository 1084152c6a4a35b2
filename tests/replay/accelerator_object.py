import torch
from torch import nn


class Accelerator:
    def prepare(self, *objects):
        return objects

    def backward(self, loss, **kwargs):
        loss.backward(**kwargs)  # hit

    def clip_grad_norm_(self, parameters, value):
        nn.utils.clip_grad_norm_(parameters, value)


def training_function():
    accelerator = Accelerator()
    model = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(params=model.parameters(), lr=1e-3)
    loader = [torch.randn(2, 4) for _ in range(30)]
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for epoch in range(3):
        model.train()
        for step, batch in enumerate(loader):
            loss = model(batch).square().mean()
            accelerator.backward(loss)  # hit
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()


def main():
    training_function()


if __name__ == "__main__":
    main()
