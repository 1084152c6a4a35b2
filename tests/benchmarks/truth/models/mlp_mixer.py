"""An MLP-Mixer: mixing over tokens and over channels."""

import torch
import torch.nn.functional as F
from torch import nn


class FeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x):
        x = F.gelu(self.up(x))
        return self.down(x)


class MixerBlock(nn.Module):
    def __init__(self, tokens, width):
        super().__init__()
        self.token_norm, self.channel_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.token_mix = FeedForward(tokens, 2 * tokens)
        self.channel_mix = FeedForward(width, 2 * width)

    def forward(self, x):
        y = self.token_norm(x).transpose(1, 2)
        y = self.token_mix(y).transpose(1, 2)
        x = x + y
        y = self.channel_norm(x)
        return x + self.channel_mix(y)


class Mixer(nn.Module):
    def __init__(self, tokens=4, inputs=6, width=8, classes=3):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*[MixerBlock(tokens, width) for _ in range(2)])
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.embed(x)
        x = self.blocks(x)
        return self.head(x.mean(dim=1))


def gradlint_inputs():
    return (torch.randn(2, 4, 6),)


def train():
    torch.manual_seed(0)
    model = Mixer()
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(2):
        logits = model(torch.randn(4, 4, 6))
        loss = F.cross_entropy(logits, torch.randint(0, 3, (4,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
