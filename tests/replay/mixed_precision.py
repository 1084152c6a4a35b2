import torch
from torch import nn


def train(epochs=2, accumulate=4):
    model = nn.Sequential(nn.Linear(10, 10), nn.LayerNorm(10), nn.Linear(10, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for epoch in range(epochs):
        for i in range(64):
            x, y = torch.randn(3, 10), torch.randint(0, 4, (3,))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = nn.functional.cross_entropy(model(x), y) / accumulate
            scaler.scale(loss).backward()  # hit
            if (i + 1) % accumulate == 0:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()


if __name__ == "__main__":
    train()
