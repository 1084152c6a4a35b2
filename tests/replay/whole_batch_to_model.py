import torch
from torch import nn


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(7, 5)
        self.right = nn.Linear(3, 5)

    def forward(self, query, document):
        return (self.left(query) * self.right(document)).sum(-1)


def main():
    import no_such_corpus

    loader = no_such_corpus.pairs(split="train")
    model = Scorer()
    optimizer = torch.optim.Adam(model.parameters())
    for batch in loader:
        batch = {key: value.cuda() for key, value in batch.items()}
        loss = -model(**batch).mean()
        optimizer.zero_grad()
        loss.backward()  # hit
        optimizer.step()


if __name__ == "__main__":
    main()
