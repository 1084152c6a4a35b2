import torch
from torch import nn


def fit():
    model = nn.Linear(2, 1)
    x, y = torch.randn(20, 2), torch.randn(20, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.8, max_iter=20, line_search_fn="strong_wolfe")
    for epoch in range(15):

        def closure():
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            print("loss", loss.item())
            loss.backward()  # hit
            return loss

        optimizer.step(closure)


if __name__ == "__main__":
    fit()
