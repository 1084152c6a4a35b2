import os
import sys

import torch
from torch import nn


def main(argv):
    if len(argv) < 2:
        print("usage: exits.py DATA")
        sys.exit(2)
    if not os.path.exists(argv[1]):
        sys.exit("no data")
    return train()


def train():
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(9):
        loss = model(torch.randn(2, 3)).pow(2).sum()
        optimizer.zero_grad()
        loss.backward()  # hit
        optimizer.step()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
