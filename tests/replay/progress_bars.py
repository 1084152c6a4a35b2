import torch
from torch import nn
from tqdm import tqdm, trange


def main():
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = [torch.randn(2, 3) for _ in range(40)]
    for epoch in trange(5, desc="epochs"):
        with tqdm(data, unit="batch") as bar:
            for batch in bar:
                bar.set_description(f"epoch {epoch}")
                optimizer.zero_grad()
                loss = (model(batch) - batch).abs().mean()
                loss.backward()  # hit
                optimizer.step()
                bar.set_postfix(loss=loss.item())
        pbar = tqdm(total=len(data))
        pbar.update(1)


if __name__ == "__main__":
    main()
