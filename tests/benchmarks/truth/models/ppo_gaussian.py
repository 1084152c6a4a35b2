"""PPO with a Gaussian policy and a clipped ratio."""

import torch
from torch import nn
from torch.distributions import Normal


class Policy(nn.Module):
    def __init__(self, observation=3, actions=2):
        super().__init__()
        self.hidden = nn.Linear(observation, 10)
        self.mean = nn.Linear(10, actions)
        self.log_std = nn.Parameter(torch.zeros(actions))

    def forward(self, state):
        h = torch.tanh(self.hidden(state))
        mean = self.mean(h)
        return Normal(mean, self.log_std.exp())


def ppo_loss(distribution, action, old, advantage, clip=0.2):
    log_prob = distribution.log_prob(action).sum(-1)
    ratio = torch.exp(log_prob - old)
    bounded = torch.clamp(ratio, 1 - clip, 1 + clip)
    return -torch.min(ratio * advantage, bounded * advantage).mean()


def train():
    torch.manual_seed(0)
    policy = Policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-4)
    state = torch.randn(16, 3)
    with torch.no_grad():
        behaviour = policy(state)
        action = behaviour.sample()
        old = behaviour.log_prob(action).sum(-1)
    advantage = torch.randn(16)
    for _ in range(2):
        loss = ppo_loss(policy(state), action, old, advantage)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
