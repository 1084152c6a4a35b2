import torch
from torch import nn


class ConvAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1))
        self.decoder = nn.Sequential(nn.ConvTranspose2d(4, 8, 2, 2), nn.ReLU(), nn.ConvTranspose2d(8, 3, 2, 2), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


def loader(folder):
    from PIL import Image

    return torch.utils.data.DataLoader([Image.open(folder + "/1.png")], batch_size=16)


if __name__ == "__main__":
    images = loader("/nowhere")
    model = ConvAutoencoder()
    distance = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    for epoch in range(100):
        for img, _ in images:
            img = img.float() / 255.0
            noisy = img + 0.1 * torch.randn_like(img)
            output = model(noisy)
            loss = distance(output, img)
            optimizer.zero_grad()
            loss.backward()  # hit
            optimizer.step()
        print("epoch [{}], loss:{:.4f}".format(epoch + 1, loss.item()))
