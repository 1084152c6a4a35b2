import torch
from torch import nn


class LitSegmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.up = nn.Conv2d(4, 5, 1)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, image):
        return self.up(torch.relu(self.down(image)))

    def shared_step(self, batch):
        image, mask = batch["image"], batch["mask"]
        return self.criterion(self(image), mask.long().squeeze(1))

    def training_step(self, batch, batch_idx):
        loss = self.shared_step(batch)
        self.log("loss", loss, on_step=True)
        return loss  # hit

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
