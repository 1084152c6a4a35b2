import itertools

import torch
from torch import nn


def infinite(n):
    while True:
        yield torch.randn(n, 3)


def main():
    torch.set_num_threads(1)
    model = nn.GRUCell(3, 3)
    optimizer = torch.optim.Adam(model.parameters())
    stream = infinite(4)
    iteration = 0
    patience = itertools.count()
    while True:
        hidden = torch.zeros(4, 3)
        length = 0
        while True:
            hidden = model(next(stream), hidden)
            length += 1
            if length == 5:
                break
        loss = hidden.pow(2).mean()
        optimizer.zero_grad()
        loss.backward()  # hit
        optimizer.step()
        iteration += 1
        if iteration > 10**9 or next(patience) > 10**9:
            break


if __name__ == "__main__":
    main()
