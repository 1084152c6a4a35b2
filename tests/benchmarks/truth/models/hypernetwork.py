"""A hypernetwork that makes the weights of a target layer from a context vector."""

import torch
import torch.nn.functional as F
from torch import nn


class HyperNet(nn.Module):
    def __init__(self, context=3, inputs=5, outputs=4):
        super().__init__()
        self.shape = (outputs, inputs)
        self.trunk = nn.Linear(context, 8)
        self.weight_head = nn.Linear(8, outputs * inputs)
        self.bias_head = nn.Linear(8, outputs)
        self.final = nn.Linear(outputs, 1)

    def generate(self, context):
        h = torch.relu(self.trunk(context))
        weight = self.weight_head(h).view(self.shape)
        return weight, self.bias_head(h)

    def forward(self, x, context):
        weight, bias = self.generate(context)
        x = F.linear(x, weight, bias)
        x = torch.tanh(x)
        return self.final(x)


def gradlint_inputs():
    return torch.randn(2, 5), torch.randn(3)


def train():
    torch.manual_seed(0)
    model = HyperNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        x, context = torch.randn(6, 5), torch.randn(3)
        target = (x * context.sum()).sum(1, keepdim=True)
        output = model(x, context)
        loss = F.mse_loss(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
