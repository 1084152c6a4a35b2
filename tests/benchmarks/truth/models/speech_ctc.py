"""A small speech recogniser with CTC."""

import torch
import torch.nn.functional as F
from torch import nn


class Recogniser(nn.Module):
    def __init__(self, features=6, width=8, symbols=5):
        super().__init__()
        self.conv = nn.Conv1d(features, width, 3, stride=2, padding=1)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * width)
        self.out = nn.Linear(2 * width, symbols)

    def forward(self, sound):
        x = F.relu(self.conv(sound))
        x, _ = self.gru(x.transpose(1, 2))
        x = self.norm(x)
        return F.log_softmax(self.out(x), dim=-1)


def gradlint_inputs():
    return (torch.randn(2, 6, 16),)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Recogniser()
    ctc = nn.CTCLoss(blank=0, zero_infinity=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        log_probability = model(torch.randn(2, 6, 16)).transpose(0, 1)
        text = torch.randint(1, 5, (2, 3))
        loss = ctc(log_probability, text, torch.tensor([8, 8]), torch.tensor([3, 3]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
