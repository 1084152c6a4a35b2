import torch
from torch import nn


def main():
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(9):
        loss = (model(torch.randn(2, 3)).argmax(1).float()).mean()
        optimizer.zero_grad()
        loss.backward()  # hit
        optimizer.step()


if __name__ == "__main__":
    main()
