"""A vision transformer built on nn.TransformerEncoder with a class token."""

import torch
from torch import nn


class ViT(nn.Module):
    def __init__(self, side=8, patch=4, width=8, classes=3):
        super().__init__()
        self.patch = nn.Conv2d(3, width, patch, stride=patch)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def embed(self, image):
        patches = self.patch(image).flatten(2).transpose(1, 2)
        token = self.token.expand(image.shape[0], -1, -1)
        return torch.cat([token, patches], dim=1) + self.position

    def forward(self, image):
        x = self.embed(image)
        x = self.encoder(x)
        return self.head(x[:, 0])


class Trainer:
    def __init__(self, model, lr=1e-3):
        self.model = model
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)

    def step(self, image, label):
        self.model.train()
        logits = self.model(image)
        loss = self.criterion(logits, label)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def main():
    torch.manual_seed(0)
    trainer = Trainer(ViT())
    for _ in range(2):
        trainer.step(torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2,)))


if __name__ == "__main__":
    main()
