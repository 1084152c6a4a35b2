"""Calls inside of models that do something beside computing: printing, files, the clock, Python's random numbers."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.values import Arguments, Constant, Foreign, Symbol, Value
from gradlint.graph import NodeKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

FUNCTIONS = (
    "builtins.print", "builtins.open", "builtins.input", "builtins.breakpoint", "builtins.exec", "builtins.eval",
    "time.", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today", "random.", "numpy.random.",
    "uuid.", "logging.", "warnings.warn", "sys.stdout.", "sys.stderr.", "json.", "pickle.", "subprocess.", "socket.",
    "requests.", "urllib.", "shutil.", "os.system", "os.makedirs", "os.mkdir", "os.remove", "numpy.save", "numpy.load",
    "torch.save", "torch.load", "wandb.log", "os.path.exists", "os.path.isfile", "os.path.isdir", "os.path.getsize",
    "os.listdir", "os.scandir", "os.walk", "glob.glob", "secrets.",
)  # fmt: skip
"""How their full names begin."""

MADE = {"logging.getLogger": "logging.Logger"}
"""Functions that make an object with such methods, and its class."""

PLAIN = frozenset({"isEnabledFor", "getEffectiveLevel", "hasHandlers"})
"""Methods of a logger that say nothing."""


def note(run: Run, name: str, arguments: Arguments, at: ast.AST) -> bool:
    """Puts a call that no graph can hold on the tape, if it is made while a module runs; whether it is such a call."""
    if not run.modules or not name.startswith(FUNCTIONS) or name in MADE or _is_constant(name, arguments):
        return False
    run.add(NodeKind.CONSTANT, f"python:{name}", at)
    return True


def _is_constant(name: str, arguments: Arguments) -> bool:
    """Whether a text is evaluated that names nothing."""
    match arguments.positional:
        case (Constant(value=str() as text),) if name == "builtins.eval":
            return not any(char.isalpha() for char in text)
    return False


def made(run: Run, name: str, at: ast.AST) -> Value | None:
    """The object that a function makes whose methods are noted."""
    return Foreign(MADE[name], made=run.frame(at)) if name in MADE else None


def method(run: Run, receiver: Foreign, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """A method of such an object."""
    if receiver.name not in MADE.values():
        return None
    if name in PLAIN:
        return Symbol()
    note(run, f"{receiver.name}.{name}", arguments, at)
    return receiver if name == "getChild" else Constant(None)
