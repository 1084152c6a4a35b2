import torch
from torch import nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
        self.fc = nn.Linear(6, 100)

    def forward(self, x):
        return self.fc(self.backbone(x))


def set_parameter_requires_grad(model, feature_extracting):
    if feature_extracting:
        for param in model.parameters():
            param.requires_grad = False


def initialize(classes, extract=True):
    model = Classifier()
    set_parameter_requires_grad(model, extract)
    model.fc = nn.Linear(model.fc.in_features, classes)
    return model


def train_model(model, criterion, optimizer, num_epochs=25):
    best_acc = 0.0
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()
            else:
                model.eval()
            running_loss = 0.0
            for _ in range(4):
                inputs, labels = torch.randn(3, 6), torch.randint(0, 2, (3,))
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()  # hit
                        optimizer.step()
                running_loss += loss.item()
            print("{} Loss: {:.4f}".format(phase, running_loss))
    return model, best_acc


if __name__ == "__main__":
    model_ft = initialize(2)
    params_to_update = []
    for name, param in model_ft.named_parameters():
        if param.requires_grad:
            params_to_update.append(param)
            print("\t", name)
    optimizer_ft = torch.optim.SGD(params_to_update, lr=0.001, momentum=0.9)
    model_ft, hist = train_model(model_ft, nn.CrossEntropyLoss(), optimizer_ft)
