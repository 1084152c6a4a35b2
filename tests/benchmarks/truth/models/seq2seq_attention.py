"""A GRU encoder and decoder with dot-product attention and teacher forcing."""

import torch
import torch.nn.functional as F
from torch import nn


class Encoder(nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, source):
        memory, last = self.gru(self.embed(source))
        return memory, last.squeeze(0)


class Decoder(nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.cell = nn.GRUCell(width, width)
        self.out = nn.Linear(2 * width, vocabulary)

    def attend(self, h, memory):
        score = torch.einsum("bh,bth->bt", h, memory)
        weight = torch.softmax(score, dim=-1)
        return torch.einsum("bt,bth->bh", weight, memory)

    def forward(self, token, h, memory):
        h = self.cell(self.embed(token), h)
        context = self.attend(h, memory)
        return self.out(torch.cat([h, context], dim=-1)), h


class Seq2Seq(nn.Module):
    def __init__(self, vocabulary=9, width=6):
        super().__init__()
        self.encoder = Encoder(vocabulary, width)
        self.decoder = Decoder(vocabulary, width)

    def forward(self, source, target):
        memory, h = self.encoder(source)
        logits = []
        for t in range(target.shape[1] - 1):
            step, h = self.decoder(target[:, t], h, memory)
            logits.append(step)
        return torch.stack(logits, dim=1)


def gradlint_inputs():
    return torch.randint(0, 9, (2, 4)), torch.randint(0, 9, (2, 4))


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Seq2Seq()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        source, target = torch.randint(0, 9, (3, 5)), torch.randint(0, 9, (3, 4))
        logits = model(source, target)
        loss = F.cross_entropy(logits.transpose(1, 2), target[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
