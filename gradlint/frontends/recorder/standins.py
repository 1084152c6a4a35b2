"""Stand-ins for libraries that a file imports and this environment lacks.

A model seldom needs the logger, the plotter or the trainer that its file imports. Only imports that nothing caught are
stood in for, so `try: import apex` still takes its own way out. Whatever is asked of a stand-in is another stand-in;
`LightningModule` is a real module with Lightning's own methods.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn


class Absent:
    """Something of a library that is not installed: can be called, subclassed, indexed and used as a decorator."""

    def __init__(self, *args: Any, **options: Any) -> None:
        return

    def __call__(self, *args: Any, **options: Any) -> Any:
        if len(args) == 1 and not options and (inspect.isfunction(args[0]) or inspect.isclass(args[0])):
            return args[0]
        return Absent()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent()

    def __getitem__(self, key: Any) -> Any:
        return Absent()

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def __bool__(self) -> bool:
        return False

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (Absent,)


class LightningModule(nn.Module):
    """What Lightning's module offers to a training step."""

    current_epoch = 0
    global_step = 0
    automatic_optimization = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__()
        self.trainer: Any = Absent()
        self.logger: Any = Absent()

    @property
    def device(self) -> torch.device:
        """The device of the first parameter."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def hparams(self) -> Any:
        """The arguments that `save_hyperparameters` found."""
        return self.__dict__.setdefault("_saved", SimpleNamespace())

    def save_hyperparameters(self, *names: Any, **_: Any) -> None:
        """Keeps the arguments of the constructor that calls it."""
        frame = sys._getframe(1)
        values = inspect.getargvalues(frame)
        chosen = [name for name in names if isinstance(name, str)] or [name for name in values.args if name != "self"]
        vars(self.hparams).update({name: values.locals[name] for name in chosen if name in values.locals})

    def log(self, *args: Any, **options: Any) -> None:
        """Logs nothing."""

    def log_dict(self, *args: Any, **options: Any) -> None:
        """Logs nothing."""

    def manual_backward(self, loss: torch.Tensor, *args: Any, **options: Any) -> None:
        """The backward pass of manual optimization."""
        loss.backward(*args, **options)

    def optimizers(self) -> Any:
        """What `configure_optimizers` makes."""
        return self.configure_optimizers()

    def configure_optimizers(self) -> Any:
        """No optimizer."""

    def freeze(self) -> None:
        """Switches the gradients of all parameters off."""
        self.requires_grad_(False).eval()


class _Module(ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return LightningModule if name == "LightningModule" else Absent()


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports stand-ins for `names` and everything below them."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if fullname.partition(".")[0] in self.names:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        return None
