"""Whole programs read from source: what is wrong in them is said, and their repaired twins are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradlint.finding import Severity
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.proving import found_in, found_in_steps
from gradlint.registry import rules
from gradlint.source import Source

HEAD = """\
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler, TensorDataset
"""

TRAIN = """
net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for _ in range(10):
    x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
    opt.zero_grad()
    loss = criterion(net(x), y)
    loss.backward()
    opt.step()
"""

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(6, 3)
    def forward(self, x):
        return self.l(x)
"""

FEW = """
def criterion(z, y):
    same = (y[:, None] == y[None]).float()
    {other}
    return ((z @ z.t()) * other).sum(1).div(other.sum(1)).mean()
"""

SHARE = """
def criterion(z, y):
    size = {size}
    share = size / size.sum(1, keepdim=True)
    return -share.log()[:, 0].mean()
"""

FED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 12), nn.Linear(12, 3)
    def forward(self, x):
        return {scores}
net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for x, y in DataLoader(TensorDataset(torch.randn(64, 6), torch.rand(64, 3)), batch_size=8, shuffle=True):
    opt.zero_grad()
    loss = F.mse_loss(net(x), y)
    loss.backward()
    opt.step()
"""

MADE = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter({weight})
        self.l = nn.Linear(12, 3)
    def forward(self, x):
        return self.l(torch.relu(x @ self.w))
criterion = nn.CrossEntropyLoss()
"""

HELPED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(6, 3)
        self.kept = nn.Parameter(torch.ones(6))
    def scaled(self, x):
        return x * {scale}
    def forward(self, x):
        return self.l(self.scaled(x))
criterion = nn.CrossEntropyLoss()
"""

DEGREES = """
net = nn.Sequential(nn.Linear(6, 1), {last})
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for _ in range(10):
    x, y = torch.randn(8, 6), torch.empty(8, 1).uniform_(-20, 30)
    opt.zero_grad()
    loss = F.mse_loss(net(x), y)
    loss.backward()
    opt.step()
"""

STEPPED = """
def fit(rate=1.0):
    net = Net()
    for _ in range(10):
        x = torch.randn(8, 6)
        net.zero_grad()
        F.mse_loss(net(x), x[:, :3]).backward()
        for p in net.parameters():
            {update}
fit()
"""

PAINTED = """
net = Net()
for p in net.parameters():
    p.requires_grad_({learns})
goal = net(torch.randn(4, 6))
image = torch.randn(4, 6, requires_grad=True)
opt = torch.optim.Adam([image, *net.parameters()], lr=1e-2)
for _ in range(10):
    opt.zero_grad()
    loss = F.mse_loss(net(image), goal)
    loss.backward()
    opt.step()
"""

SHIFTED = """
def criterion(z, y):
    z = z - {top}
    return -(z.exp() / z.exp().sum(1, keepdim=True))[:, 0].mean()
"""

OUTPUTS = """
net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
kept, targets = [], []
for _ in range(10):
    x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
    opt.zero_grad()
    out = net(x)
    loss = F.cross_entropy(out, y)
    loss.backward()
    opt.step()
    kept.append({kept})
    targets.append(y)
"""

TOTALS = """
net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
totals = dict(a=0.0, b=0.0)
for _ in range(10):
    out = net(torch.randn(8, 6))
    parts = {{"a": F.cross_entropy(out, torch.randint(0, 3, (8,))), "b": out.pow(2).mean()}}
    loss = sum(parts.values())
    opt.zero_grad()
    loss.backward()
    opt.step()
    for name, value in parts.items():
        totals[name] += {value}
"""

HALF = """
net = Net()
{before}
opt = torch.optim.SGD(net.parameters(), lr=1e-3)
for _ in range(10):
    x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
    opt.zero_grad()
    loss = F.cross_entropy(net(x).float(), y)
    loss.backward()
    opt.step()
{after}
"""

SMALL = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(6, 3)
    def forward(self, x):
        z = self.l(x)
        return z / (z.abs().amax(1, keepdim=True) + 1e-8)
net = Net().to({dtype})
net(torch.randn(2, 6, dtype={dtype}))
"""

FREED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
    def forward(self, x):
        return self.head(torch.relu(self.body(x)))
def epoch(net, opt):
    for _ in range(10):
        loss = F.cross_entropy(net(torch.randn(8, 6)), torch.randint(0, 3, (8,)))
        opt.zero_grad()
        loss.backward()
        opt.step()
net = Net()
net.body.requires_grad_(False)
opt = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3)
epoch(net, opt)
net.body.requires_grad_(True)
{between}
epoch(net, opt)
"""

TWO = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
    def forward(self, x):
        h = torch.relu(self.body(x))
        return self.a(h), self.b(h)
net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for _ in range(10):
    x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
    a, b = net(x)
    F.mse_loss(a, x).backward(retain_graph=True)
    {between}
    opt.zero_grad()
    F.cross_entropy(b, y).backward()
    opt.step()
"""

LIGHTNING = """
import lightning as L
class Net(L.LightningModule):
    def __init__(self, lr={rate}):
        super().__init__()
        self.save_hyperparameters()
        self.l = nn.Linear(6, 3)
    def training_step(self, batch, index):
        x, y = batch
        return F.cross_entropy(self.l(x), y)
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
"""

GROUPS = """
body, head = nn.Linear(6, 6), nn.Linear(6, 3)
opt = torch.optim.Adam([dict(params=body.parameters()), dict(params=head.parameters(), lr={rate})], lr=1e-3)
for _ in range(10):
    loss = F.cross_entropy(head(torch.relu(body(torch.randn(8, 6)))), torch.randint(0, 3, (8,)))
    opt.zero_grad()
    loss.backward()
    opt.step()
"""

LOADER = """
data = TensorDataset(torch.randn(64, 6), torch.randint(0, 3, (64,)))
net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for x, y in DataLoader(data, batch_size=8, sampler={sampler}(data)):
    opt.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
"""

IMAGES = """
class Images(Dataset):
    def __init__(self, files):
        self.files = files
    def __len__(self):
        return len(self.files)
    def __getitem__(self, i):
        image = Image.open(self.files[i]).convert("RGB").resize((32, 32))
        return torch.from_numpy(np.array(image, dtype=np.float32){scale}).permute(2, 0, 1), i
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30 * 30, 3))
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for x, y in DataLoader(Images(["a", "b"]), batch_size=8, shuffle=True):
    opt.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
"""

TENSORS = """
images = np.random.randint(0, 256, (64, 784)).astype("uint8")
data = TensorDataset(torch.tensor(images, dtype=torch.float32){scale}, torch.randint(0, 3, (64,)))
net = nn.Sequential(nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 3))
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for x, y in DataLoader(data, batch_size=8, shuffle=True):
    opt.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
"""

BY_HAND = """
net = Net()
opt = torch.optim.Adam(net.parameters(), lr=1e-3)
for _ in range(10):
    loss = (net(torch.randn(8, 6)) - 1).clamp(min=0).mean()
    {lost}
    opt.zero_grad()
    loss.backward()
    opt.step()
"""

PAIRS = {
    "the rest of a mask is counted": (
        "GL803",
        NET + FEW.format(other="other = 1 - same") + TRAIN,
        NET + FEW.format(other="other = (1 - same).clamp(min=1e-6)") + TRAIN,
    ),
    "all but the diagonal are some": (
        "GL803",
        NET + FEW.format(other="other = same * (1 - torch.eye(8))") + TRAIN,
        NET + FEW.format(other="other = (~torch.eye(8, dtype=torch.bool)).float()") + TRAIN,
    ),
    "shares of what is positive": (
        "GL801",
        NET + SHARE.format(size="z.exp()") + TRAIN,
        NET + SHARE.format(size="F.softplus(z) + 1e-3") + TRAIN,
    ),
    "shares that decay like a power": (
        "GL801",
        NET + SHARE.format(size="torch.relu(z)") + TRAIN,
        NET + SHARE.format(size="1 / (1 + z.pow(2))") + TRAIN,
    ),
    "a shift by a detached maximum": (
        "GL805",
        NET + SHIFTED.format(top="z.mean(1, keepdim=True).detach()") + TRAIN,
        NET + SHIFTED.format(top="z.max(1, keepdim=True).values.detach()") + TRAIN,
    ),
    "outputs are collected, and data": (
        "GL710",
        NET + OUTPUTS.format(kept="out.softmax(1)"),
        NET + OUTPUTS.format(kept="out.softmax(1).detach()"),
    ),
    "parts of the loss are summed up": (
        "GL710",
        NET + TOTALS.format(value="value"),
        NET + TOTALS.format(value="value.item()"),
    ),
    "half precision after the training": (
        "GL712",
        NET + HALF.format(before="net.half()", after=""),
        NET + HALF.format(before="", after="net.half()"),
    ),
    "a module of another type computes in it": (
        "GL807",
        SMALL.format(dtype="torch.float16"),
        SMALL.format(dtype="torch.bfloat16"),
    ),
    "set free after the optimizer was built": (
        "GL707",
        FREED.format(between=""),
        FREED.format(between="opt.add_param_group({'params': net.body.parameters()})"),
    ),
    "a gradient that nobody used is cleared": (
        "GL703",
        TWO.format(between=""),
        TWO.format(between="first = [p.grad.clone() for p in net.body.parameters()]"),
    ),
    "a rate among the hyperparameters": (
        "GL708",
        LIGHTNING.format(rate="3.0"),
        LIGHTNING.format(rate="3e-4"),
    ),
    "a rate of one group": ("GL708", GROUPS.format(rate="0.5"), GROUPS.format(rate="5e-4")),
    "a shift and a temperature": (
        "GL805",
        NET + SHIFTED.format(top="0 * z") + TRAIN,
        NET + SHIFTED.format(top="z.amax(1, keepdim=True)").replace("z.exp()", "(z / 0.05).exp()") + TRAIN,
    ),
    "a sampler that keeps the order": (
        "GL903",
        NET + LOADER.format(sampler="SequentialSampler"),
        NET + LOADER.format(sampler="RandomSampler"),
    ),
    "images of PIL are bytes": ("GL901", IMAGES.format(scale=""), IMAGES.format(scale=" / 255")),
    "bytes in a data set of tensors": ("GL901", TENSORS.format(scale=""), TENSORS.format(scale=" / 255")),
    "two linear maps on the batches of a loader": (
        "GL404",
        FED.format(scores="self.b(self.a(x))"),
        FED.format(scores="self.b(torch.relu(self.a(x)))"),
    ),
    "a softmax over the batches of a loader": (
        "GL407",
        FED.format(scores="torch.softmax(self.b(torch.relu(self.a(x))), dim=0)"),
        FED.format(scores="torch.softmax(self.b(torch.relu(self.a(x))), dim=1)"),
    ),
    "ones times a number": (
        "GL303",
        MADE.format(weight="torch.ones(6, 12) * 0.1") + TRAIN,
        MADE.format(weight="torch.rand(6, 12) - 0.5") + TRAIN,
    ),
    "a parameter that a helper of forward makes": (
        "GL111",
        HELPED.format(scale="nn.Parameter(torch.ones(6))") + TRAIN,
        HELPED.format(scale="self.kept") + TRAIN,
    ),
    "targets that fill a range": ("GL605", DEGREES.format(last="nn.Tanh()"), DEGREES.format(last="nn.Identity()")),
    "a rate of one that has a name": (
        "GL717",
        NET + STEPPED.format(update="p.data.sub_(p.grad)"),
        NET + STEPPED.format(update="p.data.sub_(p.grad, alpha=rate)"),
    ),
    "a goal that a frozen network gave": (
        "GL116",
        NET + PAINTED.format(learns=True),
        NET + PAINTED.format(learns=False),
    ),
    "a loss by hand becomes an array": (
        "GL709",
        NET + BY_HAND.format(lost="loss = torch.from_numpy(loss.detach().numpy()).requires_grad_()"),
        NET + BY_HAND.format(lost="print(loss.detach().numpy())"),
    ),
}


def said(text: str, folder: Path) -> set[str]:
    """The codes of the errors and warnings of a program."""
    reading = read_file(Source("program.py", HEAD + text), Project(str(folder)))
    own = [rule() for rule in rules()]
    found = (*found_in(reading.graphs, own), *found_in_steps(reading.steps, own))
    return {one.code for one in found if one.severity is not Severity.NOTE}


@pytest.mark.parametrize(("code", "wrong"), [(code, wrong) for code, wrong, _ in PAIRS.values()], ids=list(PAIRS))
def test_a_fault_is_said(code: str, wrong: str, tmp_path: Path) -> None:
    assert code in said(wrong, tmp_path)


@pytest.mark.parametrize(("code", "right"), [(code, right) for code, _, right in PAIRS.values()], ids=list(PAIRS))
def test_the_repaired_program_is_left_alone(code: str, right: str, tmp_path: Path) -> None:
    assert code not in said(right, tmp_path)
