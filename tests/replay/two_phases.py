import torch
from torch import nn


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(5, 2)
        self.decoder = nn.Linear(2, 5)
        self.probe = nn.Linear(2, 3)

    def reconstruct(self, x):
        return self.decoder(self.encoder(x))

    def classify(self, x):
        return self.probe(self.encoder(x).detach())


def pretrain(model, optimizer, epochs):
    for _ in range(epochs):
        x = torch.randn(4, 5)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model.reconstruct(x), x)
        loss.backward()  # hit
        optimizer.step()
    return model


def finetune(model, optimizer, epochs):
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model.classify(torch.randn(4, 5)), torch.randint(0, 3, (4,)))
        loss.backward()  # hit
        optimizer.step()
        if epoch > 1000:
            return None
    return loss.item()


def main():
    model = Coder()
    model = pretrain(model, torch.optim.Adam(model.parameters()), 1000)
    finetune(model, torch.optim.Adam(model.probe.parameters()), 1000)


if __name__ == "__main__":
    main()
