import logging

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

logger = logging.getLogger(__name__)


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Linear(width, width)
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


class Trainer:
    def __init__(self, config):
        self.config = config
        self.model = Mlp(config["width"])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config["lr"])
        self.criterion = nn.CrossEntropyLoss()
        self.loader = self._load()
        self.best = float("inf")
        self._resume("/nowhere/last.ckpt")

    def _load(self):
        x, y = torch.randn(64, self.config["width"]), torch.randint(0, 3, (64,))
        return DataLoader(TensorDataset(x, y), batch_size=16, num_workers=2, persistent_workers=True)

    def _resume(self, path):
        state = torch.load(path)
        self.model.load_state_dict(state["model"])

    def _step(self, batch):
        x, y = batch
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.criterion(self.model(x), y)
        loss.backward()  # hit
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def train_epoch(self, epoch):
        self.model.train()
        losses = [self._step(batch) for batch in self.loader]
        logger.info("epoch %d loss %.3f", epoch, sum(losses) / len(losses))
        return sum(losses) / len(losses)

    def fit(self, epochs):
        for epoch in range(epochs):
            loss = self.train_epoch(epoch)
            if loss < self.best:
                self.best = loss
                self.save()

    def save(self):
        torch.save(self.model.state_dict(), "model.pt")


if __name__ == "__main__":
    Trainer({"width": 12, "lr": 1e-3}).fit(epochs=100)
