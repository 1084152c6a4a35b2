"""A graph convolution that scatters messages with index_add."""

import torch
import torch.nn.functional as F
from torch import nn


class GraphConv(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.own = nn.Linear(inner, outer)
        self.neighbour = nn.Linear(inner, outer, bias=False)

    def forward(self, x, edges):
        source, target = edges
        message = self.neighbour(x)[source]
        total = torch.zeros(x.shape[0], message.shape[1]).index_add(0, target, message)
        degree = torch.zeros(x.shape[0]).index_add(0, target, torch.ones(target.shape[0])).clamp(min=1)
        return self.own(x) + total / degree.unsqueeze(1)


class GCN(nn.Module):
    def __init__(self, inputs=5, width=8, classes=3):
        super().__init__()
        self.conv1, self.conv2 = GraphConv(inputs, width), GraphConv(width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x, edges):
        x = F.relu(self.conv1(x, edges))
        x = F.relu(self.conv2(x, edges))
        return self.head(x)


EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 2], [1, 2, 3, 4, 5, 0, 3, 5]])


def gradlint_inputs():
    return torch.randn(6, 5), EDGES


def train():
    torch.manual_seed(0)
    model = GCN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)
    features, labels = torch.randn(6, 5), torch.randint(0, 3, (6,))
    known = torch.tensor([True, True, False, True, False, True])
    for _ in range(2):
        logits = model(features, EDGES)
        loss = F.cross_entropy(logits[known], labels[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
