"""A mixture density network trained by negative log-likelihood."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class MDN(nn.Module):
    def __init__(self, inputs=2, components=3, width=8):
        super().__init__()
        self.hidden = nn.Linear(inputs, width)
        self.logit = nn.Linear(width, components)
        self.mean = nn.Linear(width, components)
        self.raw_scale = nn.Linear(width, components)

    def forward(self, x):
        h = torch.tanh(self.hidden(x))
        weight = F.log_softmax(self.logit(h), dim=-1)
        scale = F.softplus(self.raw_scale(h)) + 1e-3
        return weight, self.mean(h), scale


def negative_log_likelihood(weight, mean, scale, y):
    z = (y - mean) / scale
    log_density = -0.5 * z.pow(2) - scale.log() - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(weight + log_density, dim=-1).mean()


def gradlint_inputs():
    return (torch.randn(3, 2),)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = MDN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        x, y = torch.randn(10, 2), torch.randn(10, 1)
        weight, mean, scale = model(x)
        loss = negative_log_likelihood(weight, mean, scale, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
