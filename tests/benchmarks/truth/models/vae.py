"""A variational autoencoder with the reparameterisation trick."""

import torch
import torch.nn.functional as F
from torch import nn


class VAE(nn.Module):
    def __init__(self, inputs=12, hidden=16, latent=3):
        super().__init__()
        self.encoder = nn.Linear(inputs, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, inputs))

    def encode(self, x):
        h = F.relu(self.encoder(x))
        return self.mean(h), self.log_variance(h)

    def reparameterise(self, mean, log_variance):
        std = torch.exp(0.5 * log_variance)
        return mean + std * torch.randn_like(std)

    def forward(self, x):
        mean, log_variance = self.encode(x)
        z = self.reparameterise(mean, log_variance)
        return self.decoder(z), mean, log_variance


def elbo(x, reconstruction, mean, log_variance):
    rebuilt = F.binary_cross_entropy_with_logits(reconstruction, x, reduction="sum")
    divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    return (rebuilt + divergence) / x.shape[0]


def train(epochs=2):
    torch.manual_seed(0)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    data = torch.rand(8, 12)
    for _ in range(epochs):
        reconstruction, mean, log_variance = model(data)
        loss = elbo(data, reconstruction, mean, log_variance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
