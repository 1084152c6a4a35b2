"""An actor-critic step: policy gradient with a detached advantage, value loss, entropy bonus."""

import torch
from torch import nn
from torch.distributions import Categorical


class ActorCritic(nn.Module):
    def __init__(self, observation=4, actions=3, width=10):
        super().__init__()
        self.body = nn.Linear(observation, width)
        self.policy = nn.Linear(width, actions)
        self.value = nn.Linear(width, 1)

    def forward(self, state):
        h = torch.tanh(self.body(state))
        return self.policy(h), self.value(h).squeeze(-1)


def a2c_loss(logits, value, action, reward):
    distribution = Categorical(logits=logits)
    advantage = reward - value
    policy_loss = -(distribution.log_prob(action) * advantage.detach()).mean()
    value_loss = advantage.pow(2).mean()
    return policy_loss + 0.5 * value_loss - 0.01 * distribution.entropy().mean()


def train():
    torch.manual_seed(0)
    model = ActorCritic()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=7e-4)
    for _ in range(2):
        state, reward = torch.randn(8, 4), torch.randn(8)
        with torch.no_grad():
            action = Categorical(logits=model(state)[0]).sample()
        logits, value = model(state)
        loss = a2c_loss(logits, value, action, reward)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()


if __name__ == "__main__":
    train()
