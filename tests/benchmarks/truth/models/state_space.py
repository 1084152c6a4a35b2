"""A diagonal state-space layer scanned over time, with a gated output."""

import torch
import torch.nn.functional as F
from torch import nn


class StateSpace(nn.Module):
    def __init__(self, width, states=3):
        super().__init__()
        self.log_decay = nn.Parameter(torch.rand(width, states))
        self.inward = nn.Parameter(torch.randn(width, states) * 0.5)
        self.outward = nn.Parameter(torch.randn(width, states) * 0.5)
        self.direct = nn.Parameter(torch.ones(width))

    def forward(self, u):
        decay = torch.exp(-F.softplus(self.log_decay))
        state = torch.zeros(u.shape[0], *self.log_decay.shape)
        outputs = []
        for t in range(u.shape[1]):
            state = decay * state + self.inward * u[:, t].unsqueeze(-1)
            outputs.append((state * self.outward).sum(-1))
        return torch.stack(outputs, dim=1) + self.direct * u


class Mamba(nn.Module):
    def __init__(self, vocabulary=9, width=6):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.split = nn.Linear(width, 2 * width)
        self.ssm = StateSpace(width)
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        x = self.embed(tokens)
        value, gate = self.split(self.norm(x)).chunk(2, dim=-1)
        y = self.ssm(value)
        x = x + y * F.silu(gate)
        return self.head(x)


def train(steps=2):
    torch.manual_seed(0)
    model = Mamba()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        tokens = torch.randint(0, 9, (3, 6))
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.mT, tokens[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
