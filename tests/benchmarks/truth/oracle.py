"""Runs a program with torch and asks autograd which parameters its own backward calls leave without a gradient."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from . import torchvision_operators

REFUSALS = ("does not require grad", "does not have a grad_fn")
"""What torch says when a loss hangs on no parameter: the program is broken as intended, and nothing gets a gradient."""

SCALES = (0.2, 0.7, 1.5)
"""Standard deviations of the parameters in the draws of `always_zero`: neither dead nor saturated in all of them."""

LEAST_DRAWS = 2


@dataclass(frozen=True)
class Outcome:
    """What autograd did: per root model class the trainable parameters, those with a gradient and those with zero.

    `taken` are those that an optimizer was given.
    `disputed` when a parameter gets a gradient from some loss, but has none whenever its own optimizer steps, as a
    discriminator whose own loss is cut: then the parameter is fed or starved, depending on whom one asks.
    """

    trainable: dict[str, frozenset[str]]
    reached: dict[str, frozenset[str]]
    zero: dict[str, frozenset[str]]
    problem: str | None = None
    refused: bool = False
    finite: bool = True
    disputed: bool = False
    taken: dict[str, frozenset[str]] = field(default_factory=dict)

    def starved(self, model: str) -> frozenset[str]:
        """The trainable parameters whose gradient is None after every backward call of the program."""
        return self.trainable.get(model, frozenset()) - self.reached.get(model, frozenset())

    def silent(self, model: str) -> frozenset[str]:
        """The trainable parameters whose gradient is None or exactly zero."""
        return self.starved(model) | self.zero.get(model, frozenset())


@dataclass
class _Watch:
    """What is gathered while a program runs; parameters are held so that their ids stay unique."""

    modules: list[nn.Module] = field(default_factory=list)
    reached: dict[int, nn.Parameter] = field(default_factory=dict)
    nonzero: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    stepped: set[int] = field(default_factory=set)
    refused: bool = False
    finite: bool = True
    backwards: int = 0

    def note(self) -> None:
        for module in self.modules:
            for parameter in module.parameters():
                if parameter.grad is not None:
                    self.reached[id(parameter)] = parameter
                    self._measure(parameter)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            self.held.update(id(parameter) for parameter in group["params"])
            self.stepped.update(id(parameter) for parameter in group["params"] if parameter.grad is not None)

    def _measure(self, parameter: nn.Parameter) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        if gradient.is_sparse:
            gradient = gradient.to_dense()
        self.finite = self.finite and bool(torch.isfinite(gradient).all())
        if bool(gradient.ne(0).any()):
            self.nonzero.add(id(parameter))


def run(text: str, scale: float | None = None, seed: int = 0, probe: Callable[..., Any] | None = None) -> Outcome:
    """Executes a program as `__main__` and judges its parameters.

    With a `scale`, every parameter is drawn anew from a normal distribution of that standard deviation when an
    optimizer takes it. `probe` becomes the global `__probe__` of the program.
    """
    watch = _Watch()
    problem = None
    with _fresh_torch(seed), _watching(watch, scale), contextlib.redirect_stdout(io.StringIO()), _user_main() as space:
        space["__probe__"] = probe
        try:
            exec(compile(text, "<program>", "exec"), space)
        except Exception as error:  # whatever a transformed program raises is its outcome
            problem = f"{type(error).__name__}: {error}"
    return _outcome(watch, problem)


def _outcome(watch: _Watch, problem: str | None) -> Outcome:
    trainable: dict[str, frozenset[str]] = {}
    reached: dict[str, frozenset[str]] = {}
    zero: dict[str, frozenset[str]] = {}
    taken: dict[str, frozenset[str]] = {}
    for root in _roots(watch.modules):
        name = type(root).__name__
        named = {n: p for n, p in root.named_parameters() if p.requires_grad}
        with_gradient = frozenset(n for n, p in named.items() if id(p) in watch.reached)
        trainable[name] = trainable.get(name, frozenset()) | frozenset(named)
        reached[name] = reached.get(name, frozenset()) | with_gradient
        taken[name] = taken.get(name, frozenset()) | {n for n, p in named.items() if id(p) in watch.held}
        zero[name] = frozenset(n for n in with_gradient if id(named[n]) not in watch.nonzero) | zero.get(
            name, frozenset()
        )
    if problem is None and watch.backwards == 0:
        problem = "the program never calls backward"
    disputed = bool(watch.held & set(watch.reached) - watch.stepped)
    return Outcome(trainable, reached, zero, problem, watch.refused, watch.finite, disputed, taken)


def _roots(modules: list[nn.Module]) -> list[nn.Module]:
    inner = {id(child) for module in modules for child in module.modules() if child is not module}
    return [module for module in modules if id(module) not in inner and any(True for _ in module.parameters())]


def always_zero(text: str) -> dict[str, frozenset[str]] | None:
    """Per root model the parameters whose gradient is missing or exactly zero, however the parameters are drawn.

    None when too few of the draws stay finite to tell.
    """
    outcomes = [run(text, scale, seed) for seed, scale in enumerate(SCALES, start=1)]
    finite = [outcome for outcome in outcomes if outcome.finite and outcome.problem is None]
    if len(finite) < LEAST_DRAWS:
        return None
    return {name: frozenset.intersection(*(outcome.silent(name) for outcome in finite)) for name in finite[0].trainable}


@contextlib.contextmanager
def _user_main() -> Iterator[dict[str, Any]]:
    """The namespace of the program, beside which its one helper module can be imported."""
    sys.modules.setdefault("torchvision_operators", torchvision_operators)
    yield {"__name__": "__main__", "__file__": "program.py"}


@contextlib.contextmanager
def _fresh_torch(seed: int) -> Iterator[None]:
    """Leaves the global state of torch as it was found."""
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_grad_enabled(True)


@contextlib.contextmanager
def _watching(watch: _Watch, scale: float | None) -> Iterator[None]:
    """Patches the three places where a program shows its models, its optimizers and its backward calls."""
    make, backward, take = nn.Module.__init__, torch.Tensor.backward, torch.optim.Optimizer.__init__

    def made(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        if type(self).__module__ == "__main__":
            watch.modules.append(self)

    def went_back(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        watch.backwards += 1
        try:
            backward(self, *args, **kwargs)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if not any(refusal in str(error) for refusal in REFUSALS):
                raise
            watch.refused = True
        watch.note()

    def took(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:
        take(self, *args, **kwargs)
        self.register_step_pre_hook(lambda optimizer, *_: watch.step(optimizer))
        if scale is not None:
            _draw_anew(self, scale)

    try:
        nn.Module.__init__, torch.Tensor.backward, torch.optim.Optimizer.__init__ = made, went_back, took  # type: ignore[method-assign]
        yield
    finally:
        nn.Module.__init__, torch.Tensor.backward, torch.optim.Optimizer.__init__ = make, backward, take  # type: ignore[method-assign]


def _draw_anew(optimizer: torch.optim.Optimizer, scale: float) -> None:
    with torch.no_grad():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.normal_(0.0, scale)
