"""An LSTM language model with truncated back-propagation: the carried state is detached between chunks."""

import torch
from torch import nn


class LanguageModel(nn.Module):
    def __init__(self, vocabulary=13, width=8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.decoder = nn.Linear(width, vocabulary)

    def forward(self, tokens, state=None):
        x = self.embedding(tokens)
        x, state = self.lstm(x, state)
        return self.decoder(x), state


def repackage(state):
    return tuple(part.detach() for part in state)


def train():
    torch.manual_seed(0)
    model = LanguageModel()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    corpus = torch.randint(0, 13, (2, 13))
    state = None
    for start in range(0, 12, 6):
        chunk, target = corpus[:, start : start + 6], corpus[:, start + 1 : start + 7]
        if state is not None:
            state = repackage(state)
        optimizer.zero_grad()
        logits, state = model(chunk, state)
        loss = criterion(logits.reshape(-1, 13), target.reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()


if __name__ == "__main__":
    train()
