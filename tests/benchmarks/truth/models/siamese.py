"""A siamese network with a contrastive loss."""

import torch
import torch.nn.functional as F
from torch import nn


class Siamese(nn.Module):
    def __init__(self, inputs=9, width=5):
        super().__init__()
        self.fc1 = nn.Linear(inputs, 14)
        self.fc2 = nn.Linear(14, width)

    def embed(self, x):
        x = F.relu(self.fc1(x))
        return self.fc2(x)

    def forward(self, left, right):
        a = self.embed(left)
        b = self.embed(right)
        return a, b


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, a, b, same):
        distance = F.pairwise_distance(a, b)
        near = same * distance.pow(2)
        far = (1 - same) * torch.clamp(self.margin - distance, min=0).pow(2)
        return (near + far).mean()


if __name__ == "__main__":
    torch.manual_seed(0)
    model, criterion = Siamese(), ContrastiveLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        left, right = torch.randn(8, 9), torch.randn(8, 9)
        same = torch.tensor([1.0, 0.0] * 4)
        a, b = model(left, right)
        loss = criterion(a, b, same)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
