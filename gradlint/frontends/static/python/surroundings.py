"""What a program asks about its surroundings: environment variables, and which names a library has."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint import ops
from gradlint.frontends.static.torch import layer_facts
from gradlint.frontends.static.values import Arguments, Constant, External, Symbol, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

ENVIRONMENT = "os.environ"
NAMES = ".__dir__"
"""Ends the name of what `dir(module)` gives."""
REPARAMETRISATIONS = frozenset({"weight_norm", "spectral_norm", "orthogonal"})
"""What `torch.nn.utils.parametrizations` has since torch 2.1."""


def contained(run: Run, item: Value, container: External) -> bool | None:
    """`name in os.environ`, `name in dir(torch.nn)`; None where that is not known.

    The switches of a library that are set by the environment stand at their defaults; a user's own may be set.
    """
    if container.name == ENVIRONMENT:
        return None if run.activation.module.user else False
    known = isinstance(item, Constant) and isinstance(item.value, str) and container.name.endswith(NAMES)
    return has_name(container.name.removesuffix(NAMES), item.value) if known else None  # type: ignore[attr-defined]


def has_name(module: str, name: str) -> bool | None:
    """Whether a module of torch has a name; None where that is not known."""
    if module == "torch.nn.utils.parametrizations":
        return name in REPARAMETRISATIONS or None
    if module in ("torch", "torch.nn.functional", "torch.Tensor") and ops.lookup("torch", name) is not None:
        return True
    return True if module == "torch.nn" and layer_facts.facts(name) is not None else None


def _variable(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    """`os.environ.get(name, default)`, `os.getenv`: of a library the default."""
    if run.activation.module.user:
        return None
    given = arguments.positional[1] if len(arguments.positional) > 1 else arguments.named.get("default")
    return Constant(None) if given is None else given


def _names(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    match arguments.positional:
        case (External(name=name),):
            return External(name + NAMES)
    return None


FUNCTIONS: dict[str, Callable[[Run, Arguments, ast.AST], Value | None]] = {
    "os.environ.get": _variable,
    "os.getenv": _variable,
    "builtins.dir": _names,
    "inspect.signature": lambda run, arguments, at: Symbol(),
}
