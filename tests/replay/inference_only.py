import torch
from torch import nn


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(x)

    def loss(self, x, y):
        return nn.functional.mse_loss(self(x), y)


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        return grad


if __name__ == "__main__":
    print(Reader()(Sign.apply(torch.randn(1, 2))))
