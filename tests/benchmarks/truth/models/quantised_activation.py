"""Quantisation-aware training with a straight-through autograd Function."""

import torch
import torch.nn.functional as F
from torch import nn


class RoundThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        return torch.round(x / scale).clamp(-8, 7) * scale

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() < 4).float(), None


class QuantLinear(nn.Linear):
    def forward(self, x):
        weight = RoundThrough.apply(self.weight, 0.05)
        return F.linear(x, weight, self.bias)


class QuantNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = QuantLinear(6, 10), QuantLinear(10, 10)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = RoundThrough.apply(x, 0.1)
        x = F.relu(self.fc2(x))
        return self.head(x)


def gradlint_inputs():
    return (torch.randn(4, 6),)


def train():
    torch.manual_seed(0)
    model = QuantNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(2):
        logits = model(torch.randn(8, 6))
        loss = F.cross_entropy(logits, torch.randint(0, 3, (8,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
