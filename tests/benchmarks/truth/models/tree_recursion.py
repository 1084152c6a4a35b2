"""A recursive network over binary trees."""

import torch
import torch.nn.functional as F
from torch import nn

TREES = [((0, 1), 2), (3, (4, (5, 1))), ((2, 3), (4, 0))]


class TreeNet(nn.Module):
    def __init__(self, words=6, width=5, classes=2):
        super().__init__()
        self.word = nn.Embedding(words, width)
        self.compose = nn.Linear(2 * width, width)
        self.classify = nn.Linear(width, classes)

    def encode(self, tree):
        if isinstance(tree, int):
            return self.word.weight[tree]
        left, right = self.encode(tree[0]), self.encode(tree[1])
        joined = self.compose(torch.cat([left, right]))
        return torch.tanh(joined)

    def forward(self, trees):
        encoded = torch.stack([self.encode(tree) for tree in trees])
        return self.classify(encoded)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = TreeNet()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
    labels = torch.tensor([0, 1, 0])
    for _ in range(2):
        logits = model(TREES)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
