import torch
from torch import nn


def main():
    cell = nn.RNN(3, 3)
    optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
    hidden = torch.zeros(1, 2, 3)
    for _ in range(9):
        out, hidden = cell(torch.randn(5, 2, 3), hidden)
        optimizer.zero_grad()
        out.mean().backward()  # hit
        optimizer.step()


if __name__ == "__main__":
    main()
