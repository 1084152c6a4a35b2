"""The rules of training on programs as people write them: functions, classes, scripts, one and several optimizers."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradlint.finding import Severity
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.registry import rules
from gradlint.rule import TrainingRule
from gradlint.source import Source

HEAD = """\
import torch
from torch import nn
from torch.nn import functional as F
"""


def found(text: str, tmp_path: Path) -> set[str]:
    """The codes of the errors and warnings about the training steps of a program."""
    reading = read_file(Source("program.py", HEAD + text), Project(str(tmp_path)))
    own = [rule() for rule in rules() if issubclass(rule, TrainingRule)]
    said = [finding for step in reading.steps for rule in own for finding in rule.check_step(step)]
    return {finding.code for finding in said if finding.severity is not Severity.NOTE}


WRONG = {
    "the decoder is forgotten": (
        "GL707",
        """
class E(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, 2)
    def forward(self, x): return self.l(x)
class D(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(2, 4)
    def forward(self, x): return self.l(x)
def train(steps=10):
    enc, dec = E(), D()
    opt = torch.optim.Adam(enc.parameters(), lr=1e-3)
    for _ in range(steps):
        x = torch.randn(8, 4)
        opt.zero_grad()
        F.mse_loss(dec(enc(x)), x).backward()
        opt.step()
train()
""",
    ),
    "a model for each batch": (
        "GL715",
        """
class E(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, 2)
    def forward(self, x): return self.l(x)
def train(loader):
    for x, y in loader:
        model = E()
        opt = torch.optim.Adam(model.parameters(), lr=1e-3)
        opt.zero_grad()
        F.mse_loss(model(x), y).backward()
        opt.step()
""",
    ),
    "leaves in a list": (
        "GL713",
        """
def train(x, y, lr=0.1):
    params = [torch.randn(3, requires_grad=True), torch.zeros(1, requires_grad=True)]
    for _ in range(100):
        loss = ((x @ params[0] + params[1] - y) ** 2).mean()
        loss.backward()
        params = [p - lr * p.grad for p in params]
""",
    ),
    "zero_grad is not called": (
        "GL701",
        """
def train(model, loader):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        optimizer.zero_grad
        F.mse_loss(model(x), y).backward()
        optimizer.step()
""",
    ),
    "the schedule steps instead": (
        "GL702",
        """
def train(model, loader):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    for x, y in loader:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        scheduler.step()
""",
    ),
    "autocast inside of the model": (
        "GL712",
        """
class N(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, 2)
    def forward(self, x):
        with torch.autocast("cuda"):
            return self.l(x)
def train(loader):
    model = N().cuda()
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        opt.zero_grad()
        F.cross_entropy(model(x), y).backward()
        opt.step()
""",
    ),
    "a scaler that is not used": (
        "GL712",
        """
def train(loader):
    model = nn.Linear(4, 2).cuda()
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.cuda.amp.GradScaler()
    for x, y in loader:
        opt.zero_grad()
        with torch.cuda.amp.autocast():
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
""",
    ),
    "a cell in a loop": (
        "GL704",
        """
class N(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.LSTMCell(4, 8); self.o = nn.Linear(8, 1)
    def forward(self, x):
        h = c = torch.zeros(x.size(0), 8)
        for t in range(x.size(1)):
            h, c = self.c(x[:, t], (h, c))
        return self.o(h)
def train(loader):
    model = N()
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x, y in loader:
        opt.zero_grad()
        F.mse_loss(model(x), y).backward()
        opt.step()
""",
    ),
    "a rate from the command line": (
        "GL708",
        """
import argparse
def main():
    p = argparse.ArgumentParser()
    p.add_argument("--lr", type=float, default=1.0)
    args = p.parse_args()
    net = nn.Linear(4, 2)
    opt = torch.optim.AdamW(net.parameters(), lr=args.lr)
    for _ in range(10):
        opt.zero_grad()
        F.mse_loss(net(torch.randn(3, 4)), torch.randn(3, 2)).backward()
        opt.step()
if __name__ == "__main__":
    main()
""",
    ),
    "a rate from a dict": (
        "GL708",
        """
CFG = {"lr": 25.0, "epochs": 3}
def main():
    net = nn.Linear(4, 2)
    opt = torch.optim.SGD(net.parameters(), lr=CFG["lr"])
    for _ in range(CFG["epochs"]):
        opt.zero_grad()
        F.mse_loss(net(torch.randn(3, 4)), torch.randn(3, 2)).backward()
        opt.step()
main()
""",
    ),
    "no rate at all": (
        "GL708",
        """
def main():
    net = nn.Linear(4, 2)
    opt = torch.optim.SGD(net.parameters(), lr=0)
    for _ in range(3):
        opt.zero_grad()
        F.mse_loss(net(torch.randn(3, 4)), torch.randn(3, 2)).backward()
        opt.step()
main()
""",
    ),
    "outputs in a list": (
        "GL710",
        """
class N(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, 2)
    def forward(self, x): return self.l(x)
def main(loader):
    net, outs = N(), []
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in loader:
        out = net(x)
        loss = F.mse_loss(out, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        outs.append(out)
    return outs
""",
    ),
    "losses in a dict": (
        "GL710",
        """
def main(loader):
    net, history = nn.Linear(4, 2), {"loss": []}
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in loader:
        loss = F.mse_loss(net(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        history["loss"].append(loss)
    return history
""",
    ),
    "the loss after the step": (
        "GL703",
        """
def main(loader):
    net = nn.Linear(4, 2)
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in loader:
        opt.zero_grad()
        out = net(x)
        opt.step()
        loss = F.mse_loss(out, y)
        loss.backward()
""",
    ),
    "cleared before the scaler steps": (
        "GL703",
        """
def main(model, loader, optimizer, scaler):
    for x, y in loader:
        with torch.cuda.amp.autocast():
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        optimizer.zero_grad(set_to_none=True)
        scaler.step(optimizer)
        scaler.update()
""",
    ),
    "the critic of a GAN is never cleared": (
        "GL701",
        """
def train():
    G, D = nn.Linear(2, 2), nn.Linear(2, 1)
    og, od = torch.optim.Adam(G.parameters(), lr=1e-4), torch.optim.Adam(D.parameters(), lr=1e-4)
    for epoch in range(100):
        for i in range(50):
            fake = G(torch.randn(4, 2))
            og.zero_grad()
            F.softplus(-D(fake)).mean().backward()
            og.step()
            F.softplus(D(fake.detach())).mean().backward()
            od.step()
train()
""",
    ),
    "methods of a trainer": (
        "GL701",
        """
class T:
    def __init__(self, model, loader):
        self.model, self.loader = model, loader
        self.opt = torch.optim.SGD(model.parameters(), lr=0.1)
    def step(self, x, y):
        loss = F.mse_loss(self.model(x), y)
        loss.backward()
        self.opt.step()
        return loss.item()
    def run(self, n):
        for e in range(n):
            for x, y in self.loader:
                self.step(x, y)
""",
    ),
    "cleared once an epoch": (
        "GL701",
        """
def train(model, loader, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for e in range(epochs):
        optimizer.zero_grad()
        for x, y in loader:
            F.mse_loss(model(x), y).backward()
            optimizer.step()
""",
    ),
    "with a scaler": (
        "GL701",
        """
def train(model, loader, optimizer):
    scaler = torch.cuda.amp.GradScaler()
    for x, y in loader:
        with torch.cuda.amp.autocast():
            loss = F.mse_loss(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
""",
    ),
    "the scaler never steps": (
        "GL702",
        """
def train(model, loader):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.cuda.amp.GradScaler()
    for x, y in loader:
        optimizer.zero_grad()
        with torch.cuda.amp.autocast():
            loss = F.mse_loss(model(x), y)
        scaler.scale(loss).backward()
        scaler.update()
""",
    ),
    "clipped while scaled": (
        "GL705",
        """
class T:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        self.scaler = torch.amp.GradScaler("cuda")
    def fit(self, loader):
        for x, y in loader:
            with torch.autocast("cuda"):
                loss = F.mse_loss(self.model(x), y)
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.scaler.step(self.optimizer)
            self.scaler.update()
""",
    ),
    "clipped after the step": (
        "GL705",
        """
def train():
    m = nn.Linear(3, 1)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    for _ in range(1000):
        o.zero_grad()
        F.mse_loss(m(torch.randn(3, 3)), torch.randn(3, 1)).backward()
        o.step()
        nn.utils.clip_grad_value_(m.parameters(), 0.5)
train()
""",
    ),
    "validation by a method": (
        "GL706",
        """
class T:
    def __init__(self):
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        self.opt = torch.optim.Adam(self.net.parameters(), lr=1e-3)
    def validate(self, data):
        self.net.eval()
        with torch.no_grad():
            return sum(F.cross_entropy(self.net(x), y).item() for x, y in data)
    def fit(self, data, epochs=10):
        self.net.train()
        for e in range(epochs):
            for x, y in data:
                self.opt.zero_grad()
                F.cross_entropy(self.net(x), y).backward()
                self.opt.step()
            print(self.validate(data))
if __name__ == "__main__":
    T().fit([(torch.randn(4, 4), torch.randint(0, 2, (4,)))])
""",
    ),
    "another model's parameters": (
        "GL707",
        """
def train():
    teacher, student = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-3)
    for _ in range(100):
        x = torch.randn(4, 3)
        with torch.no_grad():
            t = teacher(x)
        optimizer.zero_grad()
        F.mse_loss(student(x), t).backward()
        optimizer.step()
train()
""",
    ),
    "a layer is added later": (
        "GL707",
        """
class N(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.extra = nn.Identity()
    def forward(self, x):
        return self.extra(self.a(x))
def main():
    m = N()
    opt = torch.optim.SGD([{"params": m.parameters()}], lr=0.1)
    m.extra = nn.Sequential(nn.ReLU(), nn.Linear(3, 1))
    for i in range(10):
        opt.zero_grad()
        loss = m(torch.randn(4, 3)).square().mean()
        loss.backward()
        opt.step()
main()
""",
    ),
    "an empty list": (
        "GL707",
        """
class N(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 1)
    def forward(self, x):
        return self.a(x)
def main():
    m = N()
    params = []
    opt = torch.optim.SGD(params, lr=0.1)
    for i in range(10):
        opt.zero_grad()
        m(torch.randn(4, 3)).square().mean().backward()
        opt.step()
main()
""",
    ),
    "losses in a list": (
        "GL710",
        """
def train():
    m = nn.Linear(3, 1)
    opt = torch.optim.SGD(m.parameters(), lr=0.1)
    losses = []
    for i in range(1000):
        opt.zero_grad()
        loss = F.mse_loss(m(torch.randn(4, 3)), torch.randn(4, 1))
        loss.backward()
        opt.step()
        losses.append(loss)
train()
""",
    ),
    "a sum of an unknown loss": (
        "GL710",
        """
def train(model, loader, opt):
    total = 0.0
    for x, y in loader:
        loss = F.mse_loss(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total = total + loss
    return total / len(loader)
""",
    ),
    "a sum on self": (
        "GL710",
        """
class T:
    def __init__(self, model):
        self.model = model
        self.opt = torch.optim.SGD(model.parameters(), lr=0.1)
        self.running = 0
    def fit(self, loader):
        for x, y in loader:
            loss = F.mse_loss(self.model(x), y)
            self.opt.zero_grad()
            loss.backward()
            self.opt.step()
            self.running += loss * x.size(0)
""",
    ),
    "a schedule per batch": (
        "GL711",
        """
def train(model, loader):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sched = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=100)
    for x, y in loader:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        sched.step()
        optimizer.step()
""",
    ),
    "leaves in a dict": (
        "GL713",
        """
def train(x, y, lr=0.1):
    params = {"w": torch.randn(3, requires_grad=True), "b": torch.zeros(1, requires_grad=True)}
    for _ in range(100):
        loss = ((x @ params["w"] + params["b"] - y) ** 2).mean()
        loss.backward()
        for k in params:
            params[k] = params[k] - lr * params[k].grad
""",
    ),
    "rebound under no_grad": (
        "GL713",
        """
def train(x, y, lr=0.1):
    w = torch.randn(3, requires_grad=True)
    for _ in range(100):
        loss = ((x @ w - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w = w - lr * w.grad
""",
    ),
    "a helper builds the optimizer": (
        "GL715",
        """
def make(model):
    return torch.optim.Adam(model.parameters(), lr=1e-3)
def train(model, loader):
    for x, y in loader:
        opt = make(model)
        opt.zero_grad()
        F.mse_loss(model(x), y).backward()
        opt.step()
""",
    ),
    "a while loop": (
        "GL701",
        """
def train(model, batches, tol):
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    step = 0
    while step < 1000:
        x, y = next(batches)
        loss = F.mse_loss(model(x), y)
        loss.backward()
        opt.step()
        step += 1
""",
    ),
    "a script without functions": (
        "GL701",
        """
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
opt = torch.optim.SGD(model.parameters(), lr=0.01)
for t in range(500):
    x = torch.randn(16, 4)
    y_pred = model(x)
    loss = (y_pred - x.sum(1, keepdim=True)).pow(2).sum()
    loss.backward()
    opt.step()
""",
    ),
    "Variable of the data": (
        "GL709",
        """
def train(loader):
    model = nn.Linear(3, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss = torch.autograd.Variable(loss.data, requires_grad=True)
        loss.backward()
        opt.step()
""",
    ),
    "the mean by numpy": (
        "GL709",
        """
import numpy as np
def train(loader):
    model = nn.Linear(3, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    crit = nn.CrossEntropyLoss()
    for parts in loader:
        opt.zero_grad()
        losses = [crit(model(x), y).detach().numpy() for x, y in parts]
        loss = torch.tensor(np.mean(losses), requires_grad=True)
        loss.backward()
        opt.step()
""",
    ),
    "backward is not called": (
        "GL702",
        """
def train(loader):
    model = nn.Linear(3, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    crit = nn.CrossEntropyLoss()
    for epoch in range(10):
        for x, y in loader:
            opt.zero_grad()
            loss = crit(model(x), y)
            loss.backward
            opt.step()
""",
    ),
    "one of two optimizers never steps": (
        "GL702",
        """
def train(loader):
    enc, dec = nn.Linear(3, 2), nn.Linear(2, 3)
    oe = torch.optim.Adam(enc.parameters(), lr=1e-3)
    od = torch.optim.Adam(dec.parameters(), lr=1e-3)
    for x in loader:
        oe.zero_grad()
        od.zero_grad()
        F.mse_loss(dec(enc(x)), x).backward()
        oe.step()
""",
    ),
    "a half-precision model": (
        "GL712",
        """
def train(loader, device):
    model = nn.Linear(3, 2)
    model = model.to(device).half()
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        opt.zero_grad()
        F.cross_entropy(model(x.half()), y).backward()
        opt.step()
""",
    ),
}

RIGHT = {
    "a model for each optimizer": """
def check():
    for cls in (torch.optim.SGD, torch.optim.Adam):
        model = nn.Linear(4, 2)
        opt = cls(model.parameters(), lr=1e-3)
        opt.zero_grad()
        F.mse_loss(model(torch.randn(3, 4)), torch.randn(3, 2)).backward()
        opt.step()
check()
""",
    "a teacher with loaded weights": """
def distill(loader):
    teacher, student = nn.Linear(4, 2), nn.Linear(4, 2)
    teacher.load_state_dict(torch.load("t.pt"))
    opt = torch.optim.Adam(student.parameters(), lr=1e-3)
    for x in loader:
        opt.zero_grad()
        F.mse_loss(student(x), teacher(x)).backward()
        opt.step()
""",
    "groups by shape": """
def train(loader):
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    decay = [p for n, p in model.named_parameters() if p.ndim >= 2]
    rest = [p for n, p in model.named_parameters() if p.ndim < 2]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3)
    for x, y in loader:
        opt.zero_grad()
        F.cross_entropy(model(x), y).backward()
        opt.step()
""",
    "groups by name": """
def train(loader):
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    no_decay = ["bias", "1.weight"]
    groups = [
        {"params": [p for n, p in model.named_parameters() if not any(k in n for k in no_decay)], "weight_decay": 0.1},
        {"params": [p for n, p in model.named_parameters() if any(k in n for k in no_decay)], "weight_decay": 0.0},
    ]
    opt = torch.optim.AdamW(groups, lr=1e-3)
    for x, y in loader:
        opt.zero_grad()
        F.cross_entropy(model(x), y).backward()
        opt.step()
""",
    "parameters in a chain": """
import itertools
def train(loader):
    a, b = nn.Linear(4, 8), nn.Linear(8, 2)
    opt = torch.optim.AdamW(itertools.chain(a.parameters(), b.parameters()), lr=1e-3)
    for x, y in loader:
        opt.zero_grad()
        F.cross_entropy(b(a(x)), y).backward()
        opt.step()
""",
    "groups by identity": """
def train(loader):
    m = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    ids = list(map(id, m[1].parameters()))
    base = filter(lambda p: id(p) not in ids, m.parameters())
    opt = torch.optim.SGD([{"params": base}, {"params": m[1].parameters(), "lr": 0.1}], lr=0.01)
    for x, y in loader:
        opt.zero_grad()
        F.cross_entropy(m(x), y).backward()
        opt.step()
""",
    "rollouts of an actor and critic": """
def train(env, net, opt):
    for update in range(1000):
        logps, values, rewards = [], [], []
        s = env.reset()
        for t in range(5):
            p, val = net(torch.as_tensor(s).float())
            d = torch.distributions.Categorical(logits=p)
            a = d.sample()
            s, r, done, info = env.step(a.item())
            logps.append(d.log_prob(a)); values.append(val); rewards.append(r)
        R = torch.tensor(rewards)
        adv = R - torch.stack(values)
        loss = -(torch.stack(logps) * adv.detach()).mean() + adv.pow(2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
""",
    "mixed precision by a flag": """
def train(model, loader, optimizer, use_amp, clip):
    scaler = torch.cuda.amp.GradScaler(enabled=use_amp)
    for x, y in loader:
        with torch.cuda.amp.autocast(enabled=use_amp):
            loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        if use_amp:
            scaler.scale(loss).backward()
            if clip:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            scaler.step(optimizer)
            scaler.update()
        else:
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
""",
    "a scaler object of its own": """
def train_epoch(epoch, model, loader, optimizer, loss_fn, args, lr_scheduler, loss_scaler, amp_autocast):
    model.train()
    accum_steps = args.grad_accum_steps
    optimizer.zero_grad()
    for batch_idx, (input, target) in enumerate(loader):
        need_update = (batch_idx + 1) % accum_steps == 0
        with amp_autocast():
            output = model(input)
            loss = loss_fn(output, target)
        if accum_steps > 1:
            loss /= accum_steps
        if loss_scaler is not None:
            loss_scaler(loss, optimizer, args.clip_grad, parameters=model.parameters(), need_update=need_update)
        else:
            loss.backward(create_graph=args.second_order)
            if need_update:
                if args.clip_grad is not None:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip_grad)
                optimizer.step()
        if not need_update:
            continue
        optimizer.zero_grad()
        if lr_scheduler is not None:
            lr_scheduler.step_update(num_updates=epoch)
""",
    "micro steps and a schedule by hand": """
def go(model, optimizer, scaler, get_batch, ctx, accum, grad_clip, decay_lr, get_lr, max_iters, learning_rate):
    iter_num = 0
    X, Y = get_batch("train")
    while True:
        lr = get_lr(iter_num) if decay_lr else learning_rate
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        for micro_step in range(accum):
            with ctx:
                logits, loss = model(X, Y)
                loss = loss / accum
            X, Y = get_batch("train")
            scaler.scale(loss).backward()
        if grad_clip != 0.0:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        iter_num += 1
        if iter_num > max_iters:
            break
""",
    "a closure inside of a while loop": """
def style(x, net, steps=300):
    opt = torch.optim.LBFGS([x.requires_grad_()])
    run = [0]
    while run[0] <= steps:
        def closure():
            opt.zero_grad()
            loss = net(x).pow(2).mean()
            loss.backward()
            run[0] += 1
            return loss
        opt.step(closure)
    return x
""",
    "a moving average of the weights": """
import copy
def train(loader):
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    ema = copy.deepcopy(net)
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for x, y in loader:
        with torch.no_grad():
            target = ema(x)
        loss = F.mse_loss(net(x), y) + F.mse_loss(net(x), target)
        opt.zero_grad()
        loss.backward()
        opt.step()
        with torch.no_grad():
            for p, q in zip(net.parameters(), ema.parameters()):
                q.mul_(0.99).add_(p, alpha=0.01)
""",
    "a network that only judges": """
def train(loader):
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    vgg = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).eval()
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    for x in loader:
        opt.zero_grad()
        loss = F.mse_loss(vgg(net(x)), vgg(x))
        loss.backward()
        opt.step()
""",
    "a target network": """
def train(env, buffer, target_every=100):
    q, target = nn.Linear(4, 2), nn.Linear(4, 2)
    target.load_state_dict(q.state_dict())
    opt = torch.optim.Adam(q.parameters(), lr=1e-3)
    for step in range(10000):
        s, a, r, s2, done = buffer.sample(32)
        y = r + 0.99 * target(s2).max(1).values.detach() * (1 - done)
        loss = F.smooth_l1_loss(q(s).gather(1, a).squeeze(1), y)
        opt.zero_grad()
        loss.backward()
        for p in q.parameters():
            p.grad.data.clamp_(-1, 1)
        opt.step()
        if step % target_every == 0:
            target.load_state_dict(q.state_dict())
""",
    "three optimizers": """
class Agent:
    def __init__(self):
        self.actor, self.critic = nn.Linear(3, 1), nn.Linear(4, 1)
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.oa = torch.optim.Adam(self.actor.parameters(), lr=3e-4)
        self.oc = torch.optim.Adam(self.critic.parameters(), lr=3e-4)
        self.ol = torch.optim.Adam([self.log_alpha], lr=3e-4)
    def update(self, s, a, r):
        q = self.critic(torch.cat([s, a], 1))
        lc = F.mse_loss(q, r)
        self.oc.zero_grad(); lc.backward(); self.oc.step()
        pi = torch.tanh(self.actor(s))
        la = -self.critic(torch.cat([s, pi], 1)).mean()
        self.oa.zero_grad(); la.backward(); self.oa.step()
        ll = -(self.log_alpha * (pi.detach().mean() + 1)).mean()
        self.ol.zero_grad(); ll.backward(); self.ol.step()
    def train(self, data):
        for s, a, r in data:
            self.update(s, a, r)
if __name__ == "__main__":
    Agent().train([(torch.randn(4, 3), torch.randn(4, 1), torch.randn(4, 1)) for _ in range(5)])
""",
    "ascent on the input beside descent": """
def train(loader, eps=0.03):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        delta = torch.zeros_like(x).requires_grad_(True)
        for _ in range(3):
            loss = F.cross_entropy(model(x + delta), y)
            opt.zero_grad()
            loss.backward()
            with torch.no_grad():
                delta += eps * delta.grad
                delta.grad.zero_()
            opt.step()
""",
    "gradients of gradients": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 1))
    def forward(self, x, w=None):
        return x @ (self.w if w is None else w)
def train(tasks):
    net = Net()
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    for batch in tasks:
        total = 0
        for xs, ys, xq, yq in batch:
            fast = net.w
            for k in range(3):
                g = torch.autograd.grad(F.mse_loss(net(xs, fast), ys), fast, create_graph=True)[0]
                fast = fast - 0.01 * g
            total = total + F.mse_loss(net(xq, fast), yq)
        opt.zero_grad()
        total.backward()
        opt.step()
""",
    "a schedule after a warm-up": """
def train(model, loader, epochs, warmup):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        if epoch > warmup:
            scheduler.step()
        for x, y in loader:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
""",
    "batch norm kept frozen": """
def finetune(model, loader):
    opt = torch.optim.SGD(model.parameters(), lr=1e-3)
    for epoch in range(10):
        model.train()
        for m in model.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()
        for x, y in loader:
            opt.zero_grad()
            F.cross_entropy(model(x), y).backward()
            opt.step()
""",
    "validation and early stop": """
def train(model, loader, val, opt):
    best, bad = 1e9, 0
    losses = []
    for epoch in range(100):
        model.train()
        run = 0.0
        for x, y in loader:
            opt.zero_grad()
            out = model(x)
            loss = F.cross_entropy(out, y)
            loss.backward()
            opt.step()
            run += loss.item() * x.size(0)
            losses.append(loss.detach().cpu())
        model.eval()
        with torch.no_grad():
            v = sum(F.cross_entropy(model(a), b).item() for a, b in val)
        if v < best:
            best, bad = v, 0
            torch.save(model.state_dict(), "m.pt")
        else:
            bad += 1
            if bad > 5:
                break
""",
    "an engine that steps by itself": """
import deepspeed
def main(args, net, loader):
    engine, optimizer, _, _ = deepspeed.initialize(args=args, model=net, model_parameters=net.parameters())
    for x, y in loader:
        loss = F.cross_entropy(engine(x), y)
        engine.backward(loss)
        engine.step()
""",
    "a loss scaled by a context": """
from apex import amp
def main(model, loader):
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    model, opt = amp.initialize(model, opt, opt_level="O1")
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad()
        with amp.scale_loss(loss, opt) as scaled:
            scaled.backward()
        opt.step()
""",
    "a wrapper with a schedule": """
class NoamOpt:
    def __init__(self, size, factor, warmup, optimizer):
        self.optimizer, self._step, self.warmup, self.factor, self.size = optimizer, 0, warmup, factor, size
    def step(self):
        self._step += 1
        rate = self.rate()
        for p in self.optimizer.param_groups:
            p["lr"] = rate
        self.optimizer.step()
    def rate(self):
        return self.factor * self.size ** -0.5 * min(self._step ** -0.5, self._step * self.warmup ** -1.5)
def train(loader):
    model = nn.Linear(8, 8)
    opt = NoamOpt(8, 1, 400, torch.optim.Adam(model.parameters(), lr=0, betas=(0.9, 0.98)))
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        opt.optimizer.zero_grad()
""",
    "local models": """
import copy
def rounds(clients):
    model = nn.Linear(4, 2)
    for r in range(50):
        states = []
        for data in clients:
            local = copy.deepcopy(model)
            opt = torch.optim.SGD(local.parameters(), lr=0.1)
            for x, y in data:
                opt.zero_grad()
                F.cross_entropy(local(x), y).backward()
                opt.step()
            states.append(local.state_dict())
        model.load_state_dict({k: sum(s[k] for s in states) / len(states) for k in states[0]})
""",
    "gradients that are read": """
def fisher(model, loader, optimizer):
    model.eval()
    f = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for x, y in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for n, p in model.named_parameters():
            f[n] += p.grad.data ** 2
    return f
""",
    "two steps of an own optimizer": """
class SAM(torch.optim.Optimizer):
    def __init__(self, params, base, rho=0.05, **kw):
        super().__init__(params, dict(rho=rho, **kw))
        self.base = base(self.param_groups, **kw)
    @torch.no_grad()
    def first_step(self, zero_grad=False):
        for g in self.param_groups:
            for p in g["params"]:
                e = p.grad * g["rho"]
                p.add_(e)
        if zero_grad: self.zero_grad()
    @torch.no_grad()
    def second_step(self, zero_grad=False):
        self.base.step()
        if zero_grad: self.zero_grad()
def train(model, loader):
    opt = SAM(model.parameters(), torch.optim.SGD, lr=0.1)
    for x, y in loader:
        F.cross_entropy(model(x), y).backward()
        opt.first_step(zero_grad=True)
        F.cross_entropy(model(x), y).backward()
        opt.second_step(zero_grad=True)
""",
    "two losses on one graph": """
def train(loader):
    enc, a, b = nn.Linear(4, 8), nn.Linear(8, 1), nn.Linear(8, 2)
    opt = torch.optim.Adam(list(enc.parameters()) + list(a.parameters()) + list(b.parameters()), lr=1e-3)
    for x, y, z in loader:
        h = enc(x)
        l1 = F.mse_loss(a(h), y)
        l2 = F.cross_entropy(b(h), z)
        opt.zero_grad()
        l1.backward(retain_graph=True)
        l2.backward()
        opt.step()
""",
    "a critic cleared twice": """
def train(loader):
    g, d = nn.Linear(4, 4), nn.Linear(4, 1)
    og, od = torch.optim.Adam(g.parameters(), lr=1e-4), torch.optim.Adam(d.parameters(), lr=1e-4)
    for x in loader:
        og.zero_grad(); od.zero_grad()
        fake = g(torch.randn(4, 4))
        lg = -d(fake).mean()
        lg.backward(retain_graph=True)
        od.zero_grad()
        ld = d(fake.detach()).mean() - d(x).mean()
        ld.backward()
        og.step()
        od.step()
""",
    "a sum under no_grad": """
def train(model, loader, opt):
    total = torch.zeros(1)
    for x, y in loader:
        loss = F.mse_loss(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        with torch.no_grad():
            total += loss
    return total
""",
    "gradients dropped through the groups": """
def train(loader):
    model = nn.Linear(3, 1)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        for g in opt.param_groups:
            for p in g["params"]:
                p.grad = None
        F.mse_loss(model(x), y).backward()
        opt.step()
""",
    "cleared by an unreadable function": """
from utils import clear_gradients
def train(loader):
    model = nn.Linear(3, 1)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in loader:
        clear_gradients(model)
        F.mse_loss(model(x), y).backward()
        opt.step()
""",
    "manual optimisation of Lightning": """
import pytorch_lightning as pl
class GAN(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.g, self.d = nn.Linear(2, 2), nn.Linear(2, 1)
    def training_step(self, batch, idx):
        og, od = self.optimizers()
        fake = self.g(torch.randn(4, 2))
        lg = -self.d(fake).mean()
        og.zero_grad()
        self.manual_backward(lg)
        og.step()
        ld = self.d(fake.detach()).mean() - self.d(batch).mean()
        od.zero_grad()
        self.manual_backward(ld)
        od.step()
    def configure_optimizers(self):
        return torch.optim.Adam(self.g.parameters(), lr=1e-4), torch.optim.Adam(self.d.parameters(), lr=1e-4)
""",
    "Accelerate clears": """
from accelerate import Accelerator
def train(model, loader):
    acc = Accelerator()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, loader = acc.prepare(model, optimizer, loader)
    for x, y in loader:
        loss = F.mse_loss(model(x), y)
        acc.backward(loss)
        optimizer.step()
""",
    "a sum of log-probabilities is trained": """
def train(policy, env):
    opt = torch.optim.Adam(policy.parameters(), lr=1e-2)
    for ep in range(100):
        logs = []
        state = env.reset()
        for t in range(100):
            p = policy(torch.tensor(state).float())
            d = torch.distributions.Categorical(p)
            a = d.sample()
            logs.append(d.log_prob(a))
            state, r, done, _ = env.step(a.item())
            if done:
                break
        loss = torch.stack(logs).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
""",
    "cleared at the top of each round": """
def train(model, loader, opt, k):
    for i, (x, y) in enumerate(loader):
        if i % k == 0:
            opt.zero_grad()
        F.mse_loss(model(x), y).backward()
        if (i + 1) % k == 0:
            opt.step()
""",
    "a gradient penalty": """
def train(G, D, loader):
    og = torch.optim.Adam(G.parameters(), lr=1e-4)
    od = torch.optim.Adam(D.parameters(), lr=1e-4)
    for i, x in enumerate(loader):
        od.zero_grad()
        z = torch.randn(4, 2)
        fake = G(z)
        a = torch.rand(4, 1)
        xi = (a * x + (1 - a) * fake).requires_grad_(True)
        di = D(xi)
        g = torch.autograd.grad(di, xi, torch.ones_like(di), create_graph=True, retain_graph=True)[0]
        loss = -D(x).mean() + D(fake).mean() + 10 * ((g.norm(2, dim=1) - 1) ** 2).mean()
        loss.backward()
        od.step()
        og.zero_grad()
        if i % 5 == 0:
            fake = G(z)
            (-D(fake).mean()).backward()
            og.step()
""",
    "phases of training and validation": """
def train(model, loaders, optimizer, scheduler):
    for epoch in range(20):
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()
            else:
                model.eval()
            running = 0.0
            for x, y in loaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    out = model(x)
                    loss = F.cross_entropy(out, y)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running += loss.item()
            if phase == "train":
                scheduler.step()
""",
}


@pytest.mark.parametrize("name", WRONG)
def test_faults_are_found(name: str, tmp_path: Path) -> None:
    code, text = WRONG[name]
    assert found(text, tmp_path) == {code}


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_are_silent(name: str, tmp_path: Path) -> None:
    assert found(RIGHT[name], tmp_path) == set()


UPDATE = """
def train(lr=0.1):
    m = nn.Linear(3, 1)
    for _ in range(100):
        m.zero_grad()
        loss = F.mse_loss(m(torch.randn(4, 3)), torch.randn(4, 1))
        loss.backward()
        with torch.no_grad():
            for p in m.parameters():
                {update}

train()
"""
UP = (
    "p.data += lr * p.grad",
    "p.data.add_(p.grad, alpha=lr)",
    "p.add_(lr * p.grad)",
    "p.data = p.data + lr * p.grad.data",
    "p -= -lr * p.grad",
    "p.data.add_(p.grad.data * lr)",
    "p.copy_(p + lr * p.grad)",
)
DOWN = (
    "p.data -= lr * p.grad",
    "p.data.add_(p.grad, alpha=-lr)",
    "p.sub_(lr * p.grad)",
    "p.data = p.data - lr * p.grad.data",
    "p += -lr * p.grad",
    "p.data.add_(-lr, p.grad.data)",
    "p.copy_(p - lr * p.grad)",
)


@pytest.mark.parametrize("update", UP)
def test_updates_that_climb_are_found(update: str, tmp_path: Path) -> None:
    assert found(UPDATE.format(update=update), tmp_path) == {"GL717"}


@pytest.mark.parametrize("update", DOWN)
def test_updates_that_descend_are_silent(update: str, tmp_path: Path) -> None:
    assert found(UPDATE.format(update=update), tmp_path) == set()
