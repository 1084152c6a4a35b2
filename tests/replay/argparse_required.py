import argparse

import torch
from torch import nn


def get_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("--name", required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--arch", choices=["small", "large"], required=True)
    parser.add_argument("--layers", type=int, nargs="+", required=True)
    return parser.parse_args()


def build(args):
    width = {"small": 8, "large": 64}[args.arch]
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), *[nn.Linear(width, width) for _ in args.layers], nn.Linear(width, 1))


def main():
    args = get_args()
    model = build(args)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for _ in range(3):
        loss = model(torch.randn(4, 5)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()  # hit
        optimizer.step()


if __name__ == "__main__":
    main()
