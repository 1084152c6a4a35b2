import torch
from torch import nn

net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)


def train(epochs):
    for _ in range(epochs):
        opt.zero_grad()
        net(torch.ones(2, 3)).sum().backward()  # hit
        opt.step()


train(4)
