import collections
import random

import torch
from torch import nn


class QNetwork(nn.Module):
    def __init__(self, n_observations=4, n_actions=2):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_observations, 24), nn.ReLU(), nn.Linear(24, n_actions))

    def forward(self, x):
        return self.layers(x)


Transition = collections.namedtuple("Transition", "state action reward")


def optimize_model(policy, memory, optimizer):
    if len(memory) < 4:
        return
    batch = Transition(*zip(*random.sample(list(memory), 4)))
    chosen = policy(torch.stack(batch.state)).gather(1, torch.tensor(batch.action).unsqueeze(1))
    loss = nn.SmoothL1Loss()(chosen.squeeze(1), torch.tensor(batch.reward))
    optimizer.zero_grad()
    loss.backward()  # hit
    torch.nn.utils.clip_grad_value_(policy.parameters(), 100)
    optimizer.step()


def main():
    policy = QNetwork()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4, amsgrad=True)
    memory = collections.deque(maxlen=1000)
    for episode in range(600):
        state = torch.randn(4)
        for t in range(20):
            action = policy(state).argmax().item() if random.random() > 0.5 else random.randrange(2)
            memory.append(Transition(state, action, 1.0))
            state = torch.randn(4)
            optimize_model(policy, memory, optimizer)


if __name__ == "__main__":
    main()
