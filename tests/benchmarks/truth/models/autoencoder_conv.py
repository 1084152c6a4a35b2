"""A denoising convolutional autoencoder."""

import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.project = nn.Linear(8 * 2 * 2, latent)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        return self.project(x.flatten(1))


class Decoder(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.expand = nn.Linear(latent, 8 * 2 * 2)
        self.deconv1 = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.deconv2 = nn.ConvTranspose2d(6, 1, 2, stride=2)

    def forward(self, z):
        y = torch.relu(self.expand(z)).view(-1, 8, 2, 2)
        y = torch.relu(self.deconv1(y))
        return self.deconv2(y)


class Autoencoder(nn.Module):
    def __init__(self, latent=5):
        super().__init__()
        self.encoder = Encoder(latent)
        self.decoder = Decoder(latent)

    def forward(self, x):
        code = self.encoder(x)
        return self.decoder(code)


def gradlint_inputs():
    return (torch.randn(2, 1, 8, 8),)


if __name__ == "__main__":
    torch.manual_seed(0)
    autoencoder = Autoencoder()
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=1e-3)
    for _ in range(2):
        clean = torch.rand(4, 1, 8, 8)
        noisy = clean + 0.1 * torch.randn_like(clean)
        restored = autoencoder(noisy)
        loss = ((restored - clean) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
