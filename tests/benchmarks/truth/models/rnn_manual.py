"""A recurrent cell written by hand and unrolled over time."""

import torch
import torch.nn.functional as F
from torch import nn


class Cell(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.input_map = nn.Linear(inputs, hidden)
        self.state_map = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x, h):
        update = self.input_map(x) + self.state_map(h)
        return torch.tanh(update)


class CharRNN(nn.Module):
    def __init__(self, vocabulary=11, hidden=8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.cell = Cell(hidden, hidden)
        self.readout = nn.Linear(hidden, vocabulary)

    def forward(self, tokens):
        h = torch.zeros(tokens.shape[0], self.cell.state_map.in_features)
        outputs = []
        for t in range(tokens.shape[1]):
            x = self.embedding(tokens[:, t])
            h = self.cell(x, h)
            outputs.append(self.readout(h))
        return torch.stack(outputs, dim=1)


def gradlint_inputs():
    return (torch.randint(0, 11, (2, 5)),)


def train():
    torch.manual_seed(0)
    model = CharRNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        text = torch.randint(0, 11, (4, 6))
        logits = model(text[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


if __name__ == "__main__":
    train()
