import glob
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Slides(Dataset):
    def __init__(self, root):
        self.names = sorted(os.listdir(root))

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return torch.load(self.names[index])


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5)
        self.fc = nn.Linear(6 * 12 * 12, 7)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv(x)), 2)
        return self.fc(torch.flatten(x, 1))


def main():
    device = torch.device("cpu")
    train_loader = DataLoader(Slides("/nowhere/train"), batch_size=128, shuffle=True, num_workers=8, prefetch_factor=4)
    model = Cnn().to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    best = 0.0
    for epoch in range(90):
        model.train()
        running = 0.0
        for i, (images, labels) in enumerate(train_loader):
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            outputs = model(images)
            loss = criterion(outputs, labels)
            loss.backward()  # hit
            optimizer.step()
            running += loss.item()
            if i % 100 == 99:
                print(f"[{epoch}, {i}] {running / 100:.3f}")
        accuracy = evaluate(model, glob.glob("/nowhere/val/*"))
        if accuracy > best:
            best = accuracy
            torch.save(model.state_dict(), "best.pt")


def evaluate(model, names):
    while True:
        model.eval()


if __name__ == "__main__":
    main()
