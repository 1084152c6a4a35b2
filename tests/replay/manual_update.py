import torch
from torch.autograd import grad


def model(x, w, b):
    return torch.tanh(x @ w + b)


def train(lr=0.1):
    w = torch.randn(3, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    x, y = torch.randn(10, 3), torch.randn(10, 1)
    for _ in range(100):
        loss = ((model(x, w, b) - y) ** 2).mean()
        dw, db = grad(loss, [w, b])  # hit
        with torch.no_grad():
            w -= lr * dw
            b -= lr * db
    return w, b


if __name__ == "__main__":
    train()
