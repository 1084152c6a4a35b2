"""Image and text towers with a symmetric contrastive loss and a learned temperature."""

import torch
import torch.nn.functional as F
from torch import nn


class ImageTower(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.project = nn.Linear(6, width)

    def forward(self, image):
        x = F.gelu(self.conv(image))
        return self.project(x.mean((2, 3)))


class TextTower(nn.Module):
    def __init__(self, width, vocabulary=15):
        super().__init__()
        self.embed = nn.EmbeddingBag(vocabulary, 6, mode="mean")
        self.project = nn.Linear(6, width)

    def forward(self, tokens):
        x = self.embed(tokens)
        return self.project(x)


class CLIP(nn.Module):
    def __init__(self, width=5):
        super().__init__()
        self.image = ImageTower(width)
        self.text = TextTower(width)
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, image, tokens):
        a = F.normalize(self.image(image), dim=-1)
        b = F.normalize(self.text(tokens), dim=-1)
        return self.log_scale.exp() * a @ b.t()


def clip_loss(similarity):
    labels = torch.arange(similarity.shape[0])
    rows = F.cross_entropy(similarity, labels)
    columns = F.cross_entropy(similarity.t(), labels)
    return 0.5 * (rows + columns)


def train():
    torch.manual_seed(0)
    model = CLIP()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(2):
        similarity = model(torch.randn(4, 3, 8, 8), torch.randint(0, 15, (4, 5)))
        loss = clip_loss(similarity)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
