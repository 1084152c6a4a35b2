"""A PointNet classifier with a small input transform."""

import torch
import torch.nn.functional as F
from torch import nn


class Transform(nn.Module):
    def __init__(self, k=3):
        super().__init__()
        self.k = k
        self.conv = nn.Conv1d(k, 8, 1)
        self.fc = nn.Linear(8, k * k)

    def forward(self, x):
        h = F.relu(self.conv(x)).amax(dim=-1)
        matrix = self.fc(h).view(-1, self.k, self.k)
        return matrix + torch.eye(self.k)


class PointNet(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.transform = Transform()
        self.conv1, self.conv2 = nn.Conv1d(3, 8, 1), nn.Conv1d(8, 12, 1)
        self.bn = nn.BatchNorm1d(12)
        self.fc = nn.Linear(12, classes)

    def forward(self, points):
        matrix = self.transform(points)
        x = torch.bmm(matrix, points)
        x = F.relu(self.conv1(x))
        x = self.bn(self.conv2(x))
        return self.fc(x.max(dim=-1).values), matrix


def orthogonality(matrix):
    gap = torch.bmm(matrix, matrix.transpose(1, 2)) - torch.eye(matrix.shape[-1])
    return gap.pow(2).sum((1, 2)).mean()


def train():
    torch.manual_seed(0)
    model = PointNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        logits, matrix = model(torch.randn(4, 3, 12))
        loss = F.cross_entropy(logits, torch.randint(0, 4, (4,))) + 0.001 * orthogonality(matrix)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
