import torch
from torch import nn


def main():
    import no_such_tracker as wandb

    wandb.init(project="demo", config={"lr": 0.1})
    config = wandb.config
    writer = wandb.SummaryWriter("runs")
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    wandb.watch(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(20):
        x, y = torch.randn(5, 6), torch.randint(0, 2, (5,))
        loss = nn.CrossEntropyLoss()(model(x), y)
        optimizer.zero_grad()
        loss.backward()  # hit
        optimizer.step()
        wandb.log({"loss": loss.item()})
        writer.add_scalar("loss", loss.item(), step)
    wandb.finish()


if __name__ == "__main__":
    main()
