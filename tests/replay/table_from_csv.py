import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Tabular(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.fc1 = nn.Linear(in_features, 32)
        self.bn = nn.BatchNorm1d(32)
        self.fc2 = nn.Linear(32, 1)

    def forward(self, x):
        return torch.sigmoid(self.fc2(torch.relu(self.bn(self.fc1(x)))))


def main():
    table = np.loadtxt("/nowhere/heart.csv", delimiter=",", skiprows=1)
    features, target = table[:, :-1], table[:, -1]
    x = torch.tensor(features, dtype=torch.float32)
    y = torch.tensor(target, dtype=torch.float32).unsqueeze(1)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    model = Tabular(x.shape[1])
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for epoch in range(100):
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()  # hit
            optimizer.step()


if __name__ == "__main__":
    main()
