"""A Wasserstein GAN with gradient penalty."""

import torch
from torch import nn


class Critic(nn.Module):
    def __init__(self, inputs=5, width=10):
        super().__init__()
        self.body = nn.Linear(inputs, width)
        self.middle = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)

    def forward(self, x):
        h = torch.tanh(self.body(x))
        h = torch.tanh(self.middle(h))
        return self.score(h).squeeze(1)


class Generator(nn.Module):
    def __init__(self, noise=3, outputs=5):
        super().__init__()
        self.hidden = nn.Linear(noise, 8)
        self.out = nn.Linear(8, outputs)

    def forward(self, z):
        h = torch.relu(self.hidden(z))
        return self.out(h)


def gradient_penalty(critic, real, fake):
    mix = torch.rand(real.shape[0], 1)
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    score = critic(between)
    (gradient,) = torch.autograd.grad(score.sum(), between, create_graph=True)
    return ((gradient.norm(dim=1) - 1) ** 2).mean()


if __name__ == "__main__":
    torch.manual_seed(0)
    critic, generator = Critic(), Generator()
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-4)
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4)
    for _ in range(2):
        real = torch.randn(6, 5)
        fake = generator(torch.randn(6, 3)).detach()
        critic_loss = critic(fake).mean() - critic(real).mean() + 10 * gradient_penalty(critic, real, fake)
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()

        sample = generator(torch.randn(6, 3))
        generator_loss = -critic(sample).mean()
        generator_optimizer.zero_grad()
        generator_loss.backward()
        generator_optimizer.step()
