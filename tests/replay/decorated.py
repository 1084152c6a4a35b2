import functools
import time

import torch
from torch import nn

COMMANDS = {}


def command(function):
    COMMANDS[function.__name__] = function
    return function


def timed(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        start = time.time()
        result = function(*args, **kwargs)
        print(time.time() - start)
        return result

    return inner


@command
@timed
def fit(steps=1000):
    model = nn.Bilinear(2, 3, 1)
    optimizer = torch.optim.RMSprop(model.parameters())
    for _ in range(steps):
        time.sleep(10)
        optimizer.zero_grad()
        model(torch.randn(4, 2), torch.randn(4, 3)).mean().backward()  # hit
        optimizer.step()


if __name__ == "__main__":
    COMMANDS["fit"]()
