import torch
import torch.nn.functional as F
from torch import nn


class Learner(nn.Module):
    def __init__(self):
        super().__init__()
        self.vars = nn.ParameterList([nn.Parameter(torch.randn(8, 1) * 0.3), nn.Parameter(torch.zeros(8)), nn.Parameter(torch.randn(1, 8))])

    def forward(self, x, vars=None):
        w1, b1, w2 = self.vars if vars is None else vars
        return F.linear(torch.relu(F.linear(x, w1, b1)), w2)


def inner(learner, x, y, lr=0.01, steps=2):
    fast = list(learner.vars)
    for _ in range(steps):
        grads = torch.autograd.grad(F.mse_loss(learner(x, fast), y), fast, create_graph=True)
        fast = [p - lr * g for p, g in zip(fast, grads)]
    return fast


def main():
    learner = Learner()
    meta_opt = torch.optim.Adam(learner.parameters(), lr=1e-3)
    for it in range(60000):
        meta_loss = 0.0
        for task in range(4):
            x = torch.randn(5, 1)
            fast = inner(learner, x, x.sin())
            meta_loss = meta_loss + F.mse_loss(learner(x, fast), x.sin())
        meta_opt.zero_grad()
        meta_loss.backward()  # hit
        meta_opt.step()
        if it % 1000 == 0:
            torch.save(learner, f"maml_{it}.pt")


if __name__ == "__main__":
    main()
