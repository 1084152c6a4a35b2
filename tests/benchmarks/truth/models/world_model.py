"""A latent dynamics model rolled out in imagination; losses gathered in a list."""

import torch
import torch.nn.functional as F
from torch import nn


class WorldModel(nn.Module):
    def __init__(self, observation=6, action=2, latent=5):
        super().__init__()
        self.encoder = nn.Linear(observation, latent)
        self.dynamics = nn.GRUCell(action, latent)
        self.decoder = nn.Linear(latent, observation)
        self.reward = nn.Linear(latent, 1)

    def encode(self, observation):
        return torch.tanh(self.encoder(observation))

    def imagine(self, h, actions):
        states = []
        for action in actions.unbind(dim=1):
            h = self.dynamics(action, h)
            states.append(h)
        return states

    def forward(self, observation, actions):
        h = self.encode(observation)
        states = self.imagine(h, actions)
        return [self.decoder(s) for s in states], [self.reward(s) for s in states]


def rollout_loss(model, observations, actions, rewards):
    frames, predicted = model(observations[:, 0], actions)
    losses = []
    for t, (frame, reward) in enumerate(zip(frames, predicted, strict=True)):
        losses.append(F.mse_loss(frame, observations[:, t + 1]))
        losses.append(F.mse_loss(reward.squeeze(1), rewards[:, t]))
    return torch.stack(losses).sum()


if __name__ == "__main__":
    torch.manual_seed(0)
    model = WorldModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        loss = rollout_loss(model, torch.randn(4, 4, 6), torch.randn(4, 3, 2), torch.randn(4, 3))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
