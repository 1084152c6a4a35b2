import urllib.request

import torch
import torch.nn.functional as F
from torch import nn


def fetch():
    urllib.request.urlretrieve("http://localhost:9/data.bin", "/tmp/never.bin")
    raise AssertionError("there is no such server")


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(13, 20), nn.Linear(20, 1)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


def run():
    x, y = fetch()
    mean, std = x.mean(0), x.std(0)
    x = (x - mean) / std
    model = Regressor()
    opt = torch.optim.Adam(model.parameters())
    for epoch in range(10):
        for start in range(0, len(x), 32):
            batch = x[start : start + 32]
            target = y[start : start + 32].float().view(-1, 1)
            loss = F.mse_loss(model(batch), target)
            opt.zero_grad()
            loss.backward()  # hit
            opt.step()


if __name__ == "__main__":
    run()
