import torch
from torch import nn


def folds(n, k):
    index = torch.randperm(n)
    for i in range(k):
        yield index[: n // 2], index[n // 2 :]


def run():
    x, y = torch.randn(40, 4), torch.randn(40, 1)
    results = {}
    for fold, (train_ids, test_ids) in enumerate(folds(40, 5)):
        for lr in (0.1, 0.01):
            net = nn.Sequential(nn.Linear(4, 4), nn.ELU(), nn.Linear(4, 1))
            optimizer = torch.optim.SGD(net.parameters(), lr=lr)
            for epoch in range(100):
                net.train()
                for ids in train_ids.split(4):
                    optimizer.zero_grad()
                    loss = nn.functional.huber_loss(net(x[ids]), y[ids])
                    loss.backward()  # hit
                    optimizer.step()
                net.eval()
            results[fold, lr] = nn.functional.huber_loss(net(x[test_ids]), y[test_ids]).item()
    print(min(results, key=results.get))


if __name__ == "__main__":
    run()
