"""A vector-quantised autoencoder: code book loss, commitment loss, straight-through estimator."""

import torch
import torch.nn.functional as F
from torch import nn


class Quantiser(nn.Module):
    def __init__(self, codes=6, width=4, beta=0.25):
        super().__init__()
        self.book = nn.Embedding(codes, width)
        self.beta = beta

    def forward(self, z):
        distance = torch.cdist(z, self.book.weight)
        index = distance.argmin(dim=-1)
        code = self.book(index)
        loss = F.mse_loss(code, z.detach()) + self.beta * F.mse_loss(z, code.detach())
        return z + (code - z).detach(), loss


class VQVAE(nn.Module):
    def __init__(self, inputs=8, width=4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, 10), nn.ReLU(), nn.Linear(10, width))
        self.quantiser = Quantiser(width=width)
        self.decoder = nn.Sequential(nn.Linear(width, 10), nn.ReLU(), nn.Linear(10, inputs))

    def forward(self, x):
        z = self.encoder(x)
        code, loss = self.quantiser(z)
        return self.decoder(code), loss


def train():
    torch.manual_seed(0)
    model = VQVAE()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(2):
        x = torch.randn(16, 8)
        rebuilt, quantisation = model(x)
        loss = F.mse_loss(rebuilt, x) + quantisation
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
