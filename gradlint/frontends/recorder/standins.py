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

from gradlint.frontends.recorder.replaying.placeholder import Placeholder


class Absent:
    """Something of a library that is not installed: can be subclassed, indexed and used as a decorator.

    Called, it gives data that was never read. Handed a tensor or a module it raises what its import would have raised,
    so that no result is made up.
    """

    def __init__(self, name: str = "", *_: Any, **__: Any) -> None:
        self._absent = name

    def __call__(self, *args: Any, **options: Any) -> Any:
        if len(args) == 1 and not options and (inspect.isfunction(args[0]) or inspect.isclass(args[0])):
            return args[0]
        if any(isinstance(value, (torch.Tensor, nn.Module)) for value in (*args, *options.values())):
            raise self._cause()
        return Made(self._absent, self._cause())

    def _cause(self) -> ImportError:
        library = self._absent.partition(".")[0]
        return ModuleNotFoundError(f"No module named '{library}'", name=library)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return Absent(f"{self._absent}.{name}")

    def __getitem__(self, key: Any) -> Any:
        return Absent(self._absent)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def __bool__(self) -> bool:
        return False

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        module = self._absent.endswith(("Module", "Model"))
        return (nn.Module,) if module and nn.Module not in bases else ()


class Made(Placeholder):
    """What calling something absent gave: data, or a decorator that was told its settings."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        if len(args) == 1 and not options and (inspect.isfunction(args[0]) or inspect.isclass(args[0])):
            return args[0]
        return super().__call__(*args, **options)


class LightningModule(nn.Module):
    """What Lightning's module offers to a training step."""

    current_epoch = 0
    global_step = 0
    automatic_optimization = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__()
        self.trainer: Any = Absent("lightning.Trainer")
        self.logger: Any = Absent("lightning.Logger")

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
        torch.autograd.backward(loss, *args, **options)

    def optimizers(self) -> Any:
        """What `configure_optimizers` makes."""
        return self.configure_optimizers()

    def configure_optimizers(self) -> Any:
        """No optimizer."""

    def freeze(self) -> None:
        """Switches the gradients of all parameters off."""
        self.requires_grad_(False).eval()


class _Module(ModuleType):
    __path__: list[str] = []  # noqa: RUF012 - what makes a module a package
    __version__ = "99.0.0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return LightningModule if name == "LightningModule" else Absent(f"{self.__name__}.{name}")


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
