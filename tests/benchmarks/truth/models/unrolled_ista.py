"""Learned iterative shrinkage for sparse coding, unrolled."""

import torch
import torch.nn.functional as F
from torch import nn


def soft_threshold(x, threshold):
    return torch.sign(x) * F.relu(x.abs() - threshold)


class LISTA(nn.Module):
    def __init__(self, signal=8, code=12, steps=3):
        super().__init__()
        self.encode = nn.Linear(signal, code, bias=False)
        self.recur = nn.Linear(code, code, bias=False)
        self.threshold = nn.Parameter(torch.full((steps,), 0.05))
        self.dictionary = nn.Linear(code, signal, bias=False)
        self.steps = steps

    def forward(self, y):
        drive = self.encode(y)
        z = soft_threshold(drive, self.threshold[0])
        for step in range(1, self.steps):
            z = soft_threshold(drive + self.recur(z), self.threshold[step])
        return self.dictionary(z), z


def gradlint_inputs():
    return (torch.randn(2, 8),)


def train():
    torch.manual_seed(0)
    model = LISTA()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        y = torch.randn(8, 8)
        rebuilt, code = model(y)
        loss = F.mse_loss(rebuilt, y) + 0.1 * code.abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
