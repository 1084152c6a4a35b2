"""A generative adversarial network with alternating steps."""

import torch
from torch import nn


class Generator(nn.Module):
    def __init__(self, noise=4, width=12, outputs=6):
        super().__init__()
        self.first = nn.Linear(noise, width)
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, outputs)

    def forward(self, z):
        h = self.first(z)
        h = torch.relu(self.norm(h))
        return torch.tanh(self.last(h))


class Discriminator(nn.Module):
    def __init__(self, inputs=6, width=12):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.last = nn.Linear(width, 1)

    def forward(self, x):
        h = nn.functional.leaky_relu(self.first(x), 0.2)
        return self.last(h)


def train(steps=2):
    torch.manual_seed(0)
    generator, discriminator = Generator(), Discriminator()
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()
    for _ in range(steps):
        real = torch.rand(8, 6) * 2 - 1
        fake = generator(torch.randn(8, 4))
        d_real = criterion(discriminator(real), torch.ones(8, 1))
        d_fake = criterion(discriminator(fake.detach()), torch.zeros(8, 1))
        d_loss = d_real + d_fake
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        verdict = discriminator(fake)
        g_loss = criterion(verdict, torch.ones(8, 1))
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()


if __name__ == "__main__":
    train()
