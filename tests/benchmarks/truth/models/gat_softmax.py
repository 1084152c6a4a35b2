"""Graph attention with a softmax over the edges that arrive at a node."""

import torch
import torch.nn.functional as F
from torch import nn


def edge_softmax(score, target, nodes):
    highest = torch.full((nodes,), -1e9).scatter_reduce(0, target, score.detach(), "amax")
    weight = torch.exp(score - highest[target])
    total = torch.zeros(nodes).scatter_add(0, target, weight)
    return weight / (total[target] + 1e-9)


class GATLayer(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer, bias=False)
        self.left = nn.Parameter(torch.randn(outer) * 0.3)
        self.right = nn.Parameter(torch.randn(outer) * 0.3)

    def forward(self, x, source, target):
        h = self.linear(x)
        score = F.leaky_relu((h * self.left).sum(-1)[source] + (h * self.right).sum(-1)[target])
        weight = edge_softmax(score, target, x.shape[0])
        message = weight.unsqueeze(1) * h[source]
        return torch.zeros_like(h).index_add(0, target, message)


class GAT(nn.Module):
    def __init__(self, inputs=4, width=6, classes=2):
        super().__init__()
        self.first = GATLayer(inputs, width)
        self.second = GATLayer(width, classes)

    def forward(self, x, source, target):
        x = F.elu(self.first(x, source, target))
        return self.second(x, source, target)


if __name__ == "__main__":
    torch.manual_seed(0)
    source = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    target = torch.tensor([1, 2, 3, 4, 0, 0, 1, 2, 3, 4])
    model = GAT()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    x, y = torch.randn(5, 4), torch.randint(0, 2, (5,))
    for _ in range(2):
        out = model(x, source, target)
        loss = F.nll_loss(F.log_softmax(out, dim=-1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
