import torch
from torch import nn


class Critic(nn.Module):
    def __init__(self, state_dim, action_dim):
        super().__init__()
        self.q = nn.Sequential(nn.Linear(state_dim + action_dim, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, state, action):
        return self.q(torch.cat([state, action], 1))


class Agent:
    def __init__(self, state_dim, action_dim, lr=1e-3):
        self.critic = Critic(state_dim, action_dim)
        self.target = Critic(state_dim, action_dim)
        self.target.load_state_dict(self.critic.state_dict())
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=lr)
        self.state_dim, self.action_dim = state_dim, action_dim

    def learn(self, memory, gamma=0.99):
        state, action = torch.randn(6, self.state_dim), torch.randn(6, self.action_dim)
        with torch.no_grad():
            wanted = 1.0 + gamma * self.target(state, action)
        loss = nn.functional.smooth_l1_loss(self.critic(state, action), wanted)
        self.optimizer.zero_grad()
        loss.backward()  # hit
        self.optimizer.step()
