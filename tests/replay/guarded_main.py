import traceback

import torch
from torch import nn


class Runner:
    registry = {"mse": nn.MSELoss, "ce": nn.CrossEntropyLoss}

    def __init__(self, **options):
        self.__dict__.update(options)
        self.net = nn.Linear(self.width, 2)
        self.__secret = 3

    def __call__(self):
        loss_fn = self.registry[self.loss]()
        opt = torch.optim.SGD(self.net.parameters(), lr=0.1)
        for _ in range(self.__secret * 100):
            match self.loss:
                case "mse":
                    target = torch.zeros(3, 2)
                case _:
                    target = torch.zeros(3, dtype=torch.long)
            opt.zero_grad()
            value = loss_fn(self.net(torch.randn(3, self.width)), target)
            value.backward()  # hit
            opt.step()


def main():
    runner = Runner(width=4, loss="ce")
    runner()


if __name__ == "__main__":
    try:
        main()
    except Exception as problem:
        traceback.print_exc()
        print("failed", problem)
