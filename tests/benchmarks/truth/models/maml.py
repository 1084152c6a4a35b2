"""Model-agnostic meta-learning with one differentiable inner step."""

import torch
import torch.nn.functional as F
from torch import nn


class Learner(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(8, 2) * 0.5)
        self.b1 = nn.Parameter(torch.zeros(8))
        self.w2 = nn.Parameter(torch.randn(1, 8) * 0.5)
        self.b2 = nn.Parameter(torch.zeros(1))

    def forward(self, x, weights=None):
        w1, b1, w2, b2 = weights if weights is not None else list(self.parameters())
        h = torch.tanh(F.linear(x, w1, b1))
        return F.linear(h, w2, b2)


def adapt(learner, x, y, rate=0.1):
    loss = F.mse_loss(learner(x), y)
    gradients = torch.autograd.grad(loss, list(learner.parameters()), create_graph=True)
    return [weight - rate * gradient for weight, gradient in zip(learner.parameters(), gradients, strict=True)]


def train():
    torch.manual_seed(0)
    learner = Learner()
    optimizer = torch.optim.Adam(learner.parameters(), lr=1e-3)
    for _ in range(2):
        outer = []
        for _ in range(2):
            x, query = torch.randn(5, 2), torch.randn(5, 2)
            fast = adapt(learner, x, x.sum(1, keepdim=True))
            outer.append(F.mse_loss(learner(query, fast), query.sum(1, keepdim=True)))
        loss = torch.stack(outer).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
