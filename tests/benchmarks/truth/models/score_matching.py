"""An energy model trained by sliced score matching: a gradient with respect to the input inside the loss."""

import torch
from torch import nn


class Energy(nn.Module):
    def __init__(self, inputs=3, width=10):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.energy = nn.Linear(width, 1, bias=False)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        h = torch.tanh(self.second(h))
        return self.energy(h).squeeze(-1)


def sliced_score_loss(model, x):
    x = x.requires_grad_(True)
    score = torch.autograd.grad(model(x).sum(), x, create_graph=True)[0]
    direction = torch.randn_like(x)
    projected = (score * direction).sum()
    curvature = torch.autograd.grad(projected, x, create_graph=True)[0]
    return ((curvature * direction).sum(-1) + 0.5 * score.pow(2).sum(-1)).mean()


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Energy()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        loss = sliced_score_loss(model, torch.randn(8, 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
