"""Whom gradlint blames in programs that also cut gradients on purpose: the line that is marked, and no other."""

from __future__ import annotations

import pathlib

import pytest

pytest.importorskip("torch")

import gradlint
from gradlint.finding import Finding

MARK = "# here"

HEAD = """
import copy

import torch
import torch.nn.functional as F
from torch import nn
"""

ROLLOUT = """
class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(3, 8), nn.Linear(8, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.hidden(x))).squeeze(1)


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters())
state, advantage = torch.randn(16, 3), torch.randn(16)
with torch.no_grad():
    old = policy(state)
for _ in range(3):
    new = (policy(state) > 0).float()  # here
    loss = -(torch.exp(new - old) * advantage).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

MOVING_AVERAGE = """
class Online(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.predictor = nn.Linear(6, 4), nn.Linear(4, 4)

    def forward(self, x):
        z = (self.trunk(x) > 0.1).float()  # here
        return self.predictor(z)


@torch.no_grad()
def update(slow, fast):
    for one, other in zip(slow.parameters(), fast.parameters()):
        one.mul_(0.99).add_(other, alpha=0.01)


online = Online()
target = copy.deepcopy(online).requires_grad_(False)
optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
for _ in range(3):
    x = torch.randn(8, 6)
    loss = F.mse_loss(online(x), target.trunk(x))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    update(target, online)
"""

STRAIGHT_THROUGH = """
class Codes(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.book, self.decoder = nn.Linear(8, 4), nn.Embedding(6, 4), nn.Linear(4, 8)

    def forward(self, x):
        z = self.encoder(x)
        code = self.book(torch.cdist(z, self.book.weight).argmin(1))
        commitment = F.mse_loss(torch.tensor(code.tolist()), z.detach())  # here
        return self.decoder(z + (code - z).detach()), commitment


model = Codes()
optimizer = torch.optim.Adam(model.parameters())
for _ in range(3):
    x = torch.randn(16, 8)
    rebuilt, commitment = model(x)
    loss = F.mse_loss(rebuilt, x) + commitment
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

FIXED_POINT = """
class Equilibrium(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.state, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 1)

    def step(self, z, x):
        return torch.tanh(self.state(z) + x)

    def forward(self, x):
        x = self.embed(x)
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(4):
                z = self.step(z, self.state(x))
        return self.head(self.step(z, x.argsort(1).float()))  # here


model = Equilibrium()
optimizer = torch.optim.Adam(model.parameters())
for _ in range(3):
    loss = model(torch.randn(8, 4)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

ADVERSARIES = """
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 4)

    def forward(self, z):
        return self.last(torch.relu(self.first(z)))


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)

    def forward(self, x):
        return {score}


def penalty(critic, fake):
    between = (0.5 * torch.randn(6, 4) + 0.5 * fake).requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


generator, critic = Generator(), Critic()
generator_optimizer = torch.optim.Adam(generator.parameters())
critic_optimizer = torch.optim.Adam(critic.parameters())
for _ in range(3):
    fake = generator(torch.randn(6, 2))
    critic_loss = {critic_loss}
    critic_optimizer.zero_grad()
    critic_loss.backward()
    critic_optimizer.step()

    generator_loss = {generator_loss}
    generator_optimizer.zero_grad()
    generator_loss.backward()
    generator_optimizer.step()
"""

SCORE = "self.last(torch.relu(self.first(x)))"
LOSSES = {"critic_loss": "critic(fake.detach()).mean()", "generator_loss": "-critic(fake).mean()"}
PENALTY = {"critic_loss": "critic(fake.detach()).mean() + penalty(critic, fake.detach())"}

CRITIC_CUT = ADVERSARIES.format(score=f"torch.tensor({SCORE}.tolist())  # here", **LOSSES)
OWN_LOSS_CUT = ADVERSARIES.format(
    score=SCORE, **LOSSES | {"critic_loss": "critic(fake.detach()).mean().detach()  # here"}
)
FOR_THE_OTHER_LOSS = ADVERSARIES.format(
    score=SCORE, **LOSSES | {"generator_loss": "-critic(fake.argsort(1).float()).mean()  # here"}
)
SAMPLED_ANEW = ADVERSARIES.format(
    score=SCORE, **LOSSES | {"generator_loss": "-critic((generator(torch.randn(6, 2)) > 0).float()).mean()  # here"}
)
GRADIENT_PENALTY = ADVERSARIES.format(
    score=SCORE, **LOSSES | PENALTY | {"generator_loss": "-critic(torch.tensor(fake.tolist())).mean()  # here"}
)

PROGRAMS = {
    "rollout": (ROLLOUT, "non-differentiable-op"),
    "moving average": (MOVING_AVERAGE, "non-differentiable-op"),
    "straight through": (STRAIGHT_THROUGH, "scalar-round-trip"),
    "fixed point": (FIXED_POINT, "non-differentiable-op"),
    "critic cut": (CRITIC_CUT, "scalar-round-trip"),
    "own loss cut": (OWN_LOSS_CUT, "loss-detached"),
    "for the other loss": (FOR_THE_OTHER_LOSS, "non-differentiable-op"),
    "sampled anew": (SAMPLED_ANEW, "non-differentiable-op"),
    "gradient penalty": (GRADIENT_PENALTY, "scalar-round-trip"),
}


MENDED = {
    "(policy(state) > 0).float()": "policy(state)",
    "(self.trunk(x) > 0.1).float()": "self.trunk(x)",
    "torch.tensor(code.tolist())": "code",
    "x.argsort(1).float()": "x",
    f"torch.tensor({SCORE}.tolist())": SCORE,
    ".mean().detach()": ".mean()",
    "fake.argsort(1).float()": "fake",
    "(generator(torch.randn(6, 2)) > 0).float()": "generator(torch.randn(6, 2))",
    "torch.tensor(fake.tolist())": "fake",
}

UNUSED = """
class Stages(nn.Module):
    def __init__(self):
        super().__init__()
        body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
        self.first, self.second, self.third = body[0], body[1], body[2]  # here

    def forward(self, x):
        return self.third(torch.relu(self.first(x)))


model = Stages()
optimizer = torch.optim.Adam(model.parameters())
for _ in range(3):
    loss = model(torch.randn(8, 4)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


Found = dict[str, list[Finding]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The findings on every program as it stands, on its mended twin, and on the one with an unused part."""
    texts = {"unused": UNUSED} | {name: text for name, (text, _) in PROGRAMS.items()}
    texts |= {f"{name} mended": mended(text) for name, (text, _) in PROGRAMS.items()}
    folder = tmp_path_factory.mktemp("blame")
    files = {name: folder / f"{name.replace(' ', '_')}.py" for name in texts}
    for name, file in files.items():
        file.write_text(HEAD + texts[name])
    findings = gradlint.check_paths([str(file) for file in files.values()], depth="trace").findings
    return {name: [one for one in findings if pathlib.Path(one.path).name == file.name] for name, file in files.items()}


def mended(text: str) -> str:
    for wrong, right in MENDED.items():
        text = text.replace(wrong, right)
    return text


def marked(text: str) -> int:
    return next(number for number, line in enumerate((HEAD + text).splitlines(), start=1) if MARK in line)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_mistake_is_blamed_and_not_what_is_meant(name: str, found: Found) -> None:
    text, rule = PROGRAMS[name]
    errors = {(finding.name, finding.line) for finding in found[name] if finding.severity == "error"}
    assert errors == {(rule, marked(text))}


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_the_mistake_nothing_is_blamed(name: str, found: Found) -> None:
    assert mended(PROGRAMS[name][0]) != PROGRAMS[name][0]
    assert not [finding for finding in found[f"{name} mended"] if finding.severity == "error"]


def test_an_unused_part_is_named_where_the_model_keeps_it(found: Found) -> None:
    (finding,) = found["unused"]
    assert (finding.name, finding.line) == ("unused-parameter", marked(UNUSED))
