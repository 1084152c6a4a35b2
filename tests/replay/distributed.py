import os

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def setup(rank, world_size):
    os.environ["MASTER_ADDR"] = "localhost"
    dist.init_process_group("nccl", rank=rank, world_size=world_size)


def worker(rank, world_size, epochs):
    setup(rank, world_size)
    model = DDP(nn.Linear(4, 2).to("cpu"), device_ids=[rank])
    data = TensorDataset(torch.randn(32, 4), torch.randint(0, 2, (32,)))
    sampler = DistributedSampler(data)
    loader = DataLoader(data, batch_size=4, sampler=sampler)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()  # hit
            optimizer.step()
        dist.barrier()
        if dist.get_rank() == 0:
            torch.save(model.module.state_dict(), "ddp.pt")
    dist.destroy_process_group()


def main():
    world_size = 2
    mp.spawn(worker, args=(world_size, 10), nprocs=world_size, join=True)


if __name__ == "__main__":
    main()
