"""A one-stage detector: box, objectness and class losses on the cells that hold an object."""

import torch
import torch.nn.functional as F
from torch import nn


class Detector(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.SiLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.SiLU())
        self.neck = nn.Conv2d(8, 8, 1)
        self.box = nn.Conv2d(8, 4, 1)
        self.objectness = nn.Conv2d(8, 1, 1)
        self.category = nn.Conv2d(8, classes, 1)

    def forward(self, image):
        feature = self.backbone(image)
        feature = F.silu(self.neck(feature))
        return self.box(feature), self.objectness(feature), self.category(feature)


class DetectionLoss:
    def __init__(self, box_weight=5.0):
        self.box_weight = box_weight

    def __call__(self, outputs, boxes, present, category):
        box, objectness, logits = outputs
        box = box.permute(0, 2, 3, 1)[present]
        box_loss = F.smooth_l1_loss(torch.sigmoid(box), boxes[present])
        object_loss = F.binary_cross_entropy_with_logits(objectness.squeeze(1), present.float())
        class_loss = F.cross_entropy(logits.permute(0, 2, 3, 1)[present], category[present])
        return self.box_weight * box_loss + object_loss + class_loss


def train():
    torch.manual_seed(0)
    model, criterion = Detector(), DetectionLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    present = torch.zeros(2, 4, 4, dtype=torch.bool)
    present[:, 1, 2] = True
    for _ in range(2):
        outputs = model(torch.rand(2, 3, 16, 16))
        loss = criterion(outputs, torch.rand(2, 4, 4, 4), present, torch.randint(0, 2, (2, 4, 4)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
