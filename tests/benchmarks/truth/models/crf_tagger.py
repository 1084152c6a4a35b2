"""A BiLSTM tagger with a linear-chain CRF: the forward algorithm in log space."""

import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self, vocabulary=12, width=6, tags=3):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, bidirectional=True, batch_first=True)
        self.emit = nn.Linear(2 * width, tags)
        self.transitions = nn.Parameter(torch.randn(tags, tags) * 0.1)

    def emissions(self, tokens):
        hidden, _ = self.lstm(self.embedding(tokens))
        return self.emit(hidden)

    def partition(self, emissions):
        alpha = emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            scores = alpha.unsqueeze(2) + self.transitions + emissions[:, t].unsqueeze(1)
            alpha = torch.logsumexp(scores, dim=1)
        return torch.logsumexp(alpha, dim=1)

    def path_score(self, emissions, tags):
        unary = emissions.gather(2, tags.unsqueeze(2)).squeeze(2).sum(1)
        pairs = self.transitions[tags[:, :-1], tags[:, 1:]].sum(1)
        return unary + pairs

    def forward(self, tokens, tags):
        emissions = self.emissions(tokens)
        gap = self.partition(emissions) - self.path_score(emissions, tags)
        return gap.mean()


def train():
    torch.manual_seed(0)
    model = Tagger()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        tokens, tags = torch.randint(0, 12, (3, 5)), torch.randint(0, 3, (3, 5))
        loss = model(tokens, tags)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()


if __name__ == "__main__":
    train()
