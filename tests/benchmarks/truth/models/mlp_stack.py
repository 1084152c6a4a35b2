"""A classifier whose hidden layers stand in a ModuleList."""

import torch
import torch.nn.functional as F
from torch import nn


class Stack(nn.Module):
    def __init__(self, width=10, depth=3, classes=3):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(depth)])
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        for layer, norm in zip(self.layers, self.norms, strict=True):
            y = layer(x)
            y = F.gelu(norm(y))
            x = x + y
        return self.head(x)


def gradlint_inputs():
    return (torch.randn(4, 10),)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Stack()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    inputs, labels = torch.randn(16, 10), torch.randint(0, 3, (16,))
    for _ in range(2):
        optimizer.zero_grad()
        logits = model(inputs)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
