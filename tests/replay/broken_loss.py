import torch
from torch import nn


def main():
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(9):
        loss = nn.functional.cross_entropy(model(torch.randn(2, 3)), torch.rand(2, 3, 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
