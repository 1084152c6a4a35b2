"""A multi-horizon forecaster trained with the pinball loss; accumulates gradients over two batches."""

import torch
from torch import nn


class Forecaster(nn.Module):
    def __init__(self, history=8, horizon=3, quantiles=3):
        super().__init__()
        self.trend = nn.Linear(history, horizon)
        self.hidden = nn.Linear(history, 10)
        self.season = nn.Linear(10, horizon)
        self.spread = nn.Linear(10, horizon * quantiles)

    def forward(self, past):
        level = past.mean(dim=1, keepdim=True)
        centred = past - level
        h = torch.relu(self.hidden(centred))
        middle = self.trend(centred) + self.season(h) + level
        spread = self.spread(h).view(past.shape[0], -1, 3)
        return middle.unsqueeze(-1) + spread


def pinball(prediction, target, quantiles=(0.1, 0.5, 0.9)):
    total = 0.0
    for position, q in enumerate(quantiles):
        error = target - prediction[..., position]
        total = total + torch.maximum(q * error, (q - 1) * error).mean()
    return total


def gradlint_inputs():
    return (torch.randn(2, 8),)


def train():
    torch.manual_seed(0)
    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    optimizer.zero_grad()
    for step in range(4):
        series = torch.randn(4, 11).cumsum(dim=1)
        prediction = model(series[:, :8])
        loss = pinball(prediction, series[:, 8:])
        (loss / 2).backward()
        if (step + 1) % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()


if __name__ == "__main__":
    train()
