import abc

import torch
from torch import nn


class BaseTrainer(abc.ABC):
    def __init__(self, model, epochs):
        self.model = model
        self.epochs = epochs
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @abc.abstractmethod
    def compute_loss(self, batch):
        ...

    def run(self):
        for epoch in range(self.epochs):
            self.before_epoch(epoch)
            for _ in range(10):
                self.optimizer.zero_grad()
                loss = self.compute_loss(torch.randn(4, 6))
                loss.backward()  # hit
                self.optimizer.step()

    def before_epoch(self, epoch):
        pass


class Autoencoding(BaseTrainer):
    def __init__(self, model, epochs=3):
        super().__init__(model, epochs)
        self.loss = nn.MSELoss()

    def compute_loss(self, batch):
        return self.loss(self.model(batch), batch)

    def run(self):
        print("start")
        super().run()
        print("done")


def main():
    model = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 6))
    trainer = Autoencoding(model)
    trainer.run()


if __name__ == "__main__":
    main()
