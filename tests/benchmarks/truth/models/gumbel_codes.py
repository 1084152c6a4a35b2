"""A discrete bottleneck with the Gumbel softmax in its straight-through form."""

import torch
import torch.nn.functional as F
from torch import nn


class DiscreteCoder(nn.Module):
    def __init__(self, inputs=8, codes=5, width=6):
        super().__init__()
        self.hidden = nn.Linear(inputs, width)
        self.logit = nn.Linear(width, codes)
        self.book = nn.Parameter(torch.randn(codes, width))
        self.decode = nn.Linear(width, inputs)

    def forward(self, x, temperature=1.0):
        h = torch.relu(self.hidden(x))
        logits = self.logit(h)
        sample = F.gumbel_softmax(logits, tau=temperature, hard=True)
        code = sample @ self.book
        return self.decode(code), logits


if __name__ == "__main__":
    torch.manual_seed(0)
    model = DiscreteCoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(2):
        x = torch.randn(10, 8)
        rebuilt, logits = model(x, temperature=max(0.5, 1.0 - 0.1 * step))
        prior = (F.softmax(logits, -1) * F.log_softmax(logits, -1)).sum(-1).mean()
        loss = F.mse_loss(rebuilt, x) + 0.01 * prior
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
