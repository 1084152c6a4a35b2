import torch
from torch import nn


class LogisticRegression(nn.Module):
    def __init__(self, n_features, n_classes, lr=0.1):
        super().__init__()
        self.linear = nn.Linear(n_features, n_classes)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=lr)

    def forward(self, x):
        return self.linear(x)

    def fit(self, x, y, epochs=1000, verbose=True):
        self.train()
        for epoch in range(epochs):
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self(x), y)
            loss.backward()  # hit
            self.optimizer.step()
            if verbose:
                print(epoch, loss.item())
        return self

    @classmethod
    def trained(cls, x, y):
        return cls(x.shape[1], 3).fit(x, y, verbose=False)


if __name__ == "__main__":
    model = LogisticRegression.trained(torch.randn(30, 4), torch.randint(0, 3, (30,)))
    print(model.linear.weight)
