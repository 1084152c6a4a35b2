import math

import torch
from torch import nn


class Corpus:
    def __init__(self, path):
        self.dictionary = {}
        self.train = self.tokenize(path + "/train.txt")

    def tokenize(self, path):
        with open(path) as f:
            for line in f:
                for word in line.split():
                    self.dictionary.setdefault(word, len(self.dictionary))
        return torch.tensor(list(self.dictionary.values()))


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid):
        super().__init__()
        self.nhid = nhid
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid)
        self.decoder = nn.Linear(nhid, ntoken)

    def forward(self, input, hidden):
        output, hidden = self.rnn(self.encoder(input), hidden)
        return self.decoder(output).view(-1, self.decoder.out_features), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return weight.new_zeros(1, bsz, self.nhid), weight.new_zeros(1, bsz, self.nhid)


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    return data.narrow(0, 0, nbatch * bsz).view(bsz, -1).t().contiguous()


def get_batch(source, i, bptt=35):
    seq_len = min(bptt, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)


def repackage_hidden(h):
    return h.detach() if isinstance(h, torch.Tensor) else tuple(repackage_hidden(v) for v in h)


def train(model, train_data, criterion, ntokens, lr=20):
    model.train()
    total_loss = 0.0
    hidden = model.init_hidden(4)
    for batch, i in enumerate(range(0, train_data.size(0) - 1, 35)):
        data, targets = get_batch(train_data, i)
        model.zero_grad()
        hidden = repackage_hidden(hidden)
        output, hidden = model(data, hidden)
        loss = criterion(output.view(-1, ntokens), targets)
        loss.backward()  # hit
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)
        total_loss += loss.item()
    print(math.exp(total_loss))


def main():
    torch.manual_seed(1111)
    train_data = batchify(torch.randint(0, 50, (1600,)), 4)
    ntokens = 50
    model = RNNModel(ntokens, 12, 16)
    best = None
    try:
        for epoch in range(1, 41):
            train(model, train_data, nn.CrossEntropyLoss(), ntokens)
            val_loss = evaluate(Corpus("/nowhere"))
            if not best or val_loss < best:
                best = val_loss
    except KeyboardInterrupt:
        print("stopped")


def evaluate(corpus):
    raise AssertionError("must not run")


if __name__ == "__main__":
    main()
