import copy

import torch
from torch import nn


class Online(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(6, 4)
        self.predictor = nn.Linear(4, 4)

    def forward(self, x):
        return self.predictor(self.encoder(x))


def byol(online, x1, x2, target):
    with torch.no_grad():
        wanted = target(x2)
    return (1 - torch.cosine_similarity(online(x1), wanted, dim=-1)).mean()


@torch.no_grad()
def ema(target, source, decay=0.99):
    for old, new in zip(target.parameters(), source.parameters()):
        old.mul_(decay).add_(new, alpha=1 - decay)


def train():
    online = Online()
    target = copy.deepcopy(online.encoder)
    for p in target.parameters():
        p.requires_grad_(False)
    optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    for step in range(100):
        x = torch.randn(8, 6)
        loss = byol(online, x + 0.1 * torch.randn_like(x), x, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # hit
        optimizer.step()
        scheduler.step()
        ema(target, online.encoder)


if __name__ == "__main__":
    train()
