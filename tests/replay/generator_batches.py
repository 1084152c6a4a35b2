import random

import torch
from torch import nn


def read(path):
    with open(path) as lines:
        for line in lines:
            yield [float(word) for word in line.split()]


def batches(path, size):
    rows = []
    for row in read(path):
        rows.append(row)
        if len(rows) == size:
            yield torch.tensor(rows[:-1]), torch.tensor(rows[-1])
            rows = []


def main():
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(random.randint(5, 6)):
        for x, y in batches("/nowhere/table.txt", 8):
            optimizer.zero_grad()
            loss = torch.nn.functional.l1_loss(model(x).squeeze(1), y)
            loss.backward()  # hit
            optimizer.step()


if __name__ == "__main__":
    main()
