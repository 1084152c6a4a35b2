import torch
from torch import nn


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 1))

    def forward(self, x):
        return self.net(x)


def penalty(critic, real, fake):
    alpha = torch.rand(real.size(0), 1)
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    gradient = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)[0]
    return ((gradient.norm(2, dim=1) - 1) ** 2).mean()


def train(n_critic=5, weight=10.0):
    generator, critic = nn.Linear(3, 6), Critic()
    opt_g = torch.optim.RMSprop(generator.parameters(), lr=5e-5)
    opt_c = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
    for i in range(1000):
        real = torch.randn(8, 6)
        fake = generator(torch.randn(8, 3))
        loss_c = critic(fake.detach()).mean() - critic(real).mean() + weight * penalty(critic, real, fake.detach())
        opt_c.zero_grad()
        loss_c.backward()  # hit
        opt_c.step()
        if i % n_critic == 0:
            loss_g = -critic(generator(torch.randn(8, 3))).mean()
            opt_g.zero_grad()
            loss_g.backward()  # hit
            opt_g.step()


if __name__ == "__main__":
    train()
