"""Learned latents that read a long input by cross-attention."""

import torch
import torch.nn.functional as F
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, width, inputs):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key, self.value = nn.Linear(inputs, width), nn.Linear(inputs, width)
        self.out = nn.Linear(width, width)

    def forward(self, latent, x):
        q = self.query(latent)
        k, v = self.key(x), self.value(x)
        read = F.scaled_dot_product_attention(q, k, v)
        return self.out(read)


class Perceiver(nn.Module):
    def __init__(self, inputs=4, width=6, latents=3, outputs=2):
        super().__init__()
        self.latent = nn.Parameter(torch.randn(latents, width) * 0.1)
        self.read = CrossAttention(width, inputs)
        self.think = CrossAttention(width, width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        latent = self.latent.expand(x.shape[0], -1, -1)
        latent = latent + self.read(latent, x)
        latent = latent + self.think(self.norm(latent), latent)
        return self.head(latent.mean(dim=1))


def gradlint_inputs():
    return (torch.randn(2, 7, 4),)


def main():
    torch.manual_seed(0)
    model = Perceiver()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        x = torch.randn(4, 7, 4)
        prediction = model(x)
        loss = criterion(prediction, x.mean(1)[:, :2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
