"""A temporal convolutional network with causal, dilated, weight-normalised convolutions."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


class CausalConv(nn.Module):
    def __init__(self, inner, outer, dilation):
        super().__init__()
        self.pad = 2 * dilation
        self.conv = weight_norm(nn.Conv1d(inner, outer, 3, dilation=dilation))

    def forward(self, x):
        return self.conv(F.pad(x, (self.pad, 0)))


class TemporalBlock(nn.Module):
    def __init__(self, inner, outer, dilation):
        super().__init__()
        self.first = CausalConv(inner, outer, dilation)
        self.second = CausalConv(outer, outer, dilation)
        self.match = nn.Conv1d(inner, outer, 1)

    def forward(self, x):
        y = torch.relu(self.first(x))
        y = torch.relu(self.second(y))
        return torch.relu(y + self.match(x))


class TCN(nn.Module):
    def __init__(self, inputs=2, width=6, outputs=1):
        super().__init__()
        self.blocks = nn.ModuleList([TemporalBlock(inputs, width, 1), TemporalBlock(width, width, 2)])
        self.readout = nn.Linear(width, outputs)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.readout(x[:, :, -1])


if __name__ == "__main__":
    torch.manual_seed(0)
    model = TCN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        series = torch.randn(4, 2, 12)
        loss = F.mse_loss(model(series), series[:, :1, -1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
