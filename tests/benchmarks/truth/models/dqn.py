"""Deep Q-learning with a target network that is copied now and then."""

import torch
import torch.nn.functional as F
from torch import nn


class QNetwork(nn.Module):
    def __init__(self, observation=4, actions=2):
        super().__init__()
        self.fc1 = nn.Linear(observation, 12)
        self.advantage = nn.Linear(12, actions)
        self.value = nn.Linear(12, 1)

    def forward(self, state):
        h = F.relu(self.fc1(state))
        advantage = self.advantage(h)
        return self.value(h) + advantage - advantage.mean(dim=1, keepdim=True)


def gradlint_inputs():
    return (torch.randn(3, 4),)


if __name__ == "__main__":
    torch.manual_seed(0)
    online, target = QNetwork(), QNetwork()
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-3)
    for step in range(2):
        state, following = torch.randn(8, 4), torch.randn(8, 4)
        action, reward = torch.randint(0, 2, (8, 1)), torch.randn(8)
        chosen = online(state).gather(1, action).squeeze(1)
        with torch.no_grad():
            best = target(following).max(dim=1).values
        loss = F.smooth_l1_loss(chosen, reward + 0.99 * best)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 2 == 1:
            target.load_state_dict(online.state_dict())
