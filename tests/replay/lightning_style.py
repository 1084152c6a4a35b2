import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class LitClassifier(nn.Module):
    """A LightningModule in all but its base class."""

    def __init__(self, hidden=16, lr=1e-3):
        super().__init__()
        self.lr = lr
        self.encoder = nn.Linear(8, hidden)
        self.head = nn.Linear(hidden, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(torch.relu(self.encoder(x)))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return {"loss": loss, "batch": batch_idx}  # hit

    def validation_step(self, batch, batch_idx):
        raise RuntimeError("not part of a training step")

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.randn(32, 8), torch.randint(0, 3, (32,))), batch_size=16)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1)}
