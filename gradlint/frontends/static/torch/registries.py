"""The registry of timm: a model's name stands for a function of the package, which is found in its source."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gradlint.frontends.static import modules_of_project
from gradlint.frontends.static.project import ModuleSource
from gradlint.frontends.static.values import Arguments, Class, Constant, Function, Mapping, Sequence, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

REGISTRY = "timm.models._registry."
MODELS = "timm.models"
SETTINGS = "PretrainedCfg"
DEFAULTS = "default_cfgs"
"""Where a file of timm lists the settings of its models, by name and tag."""

_ENTRY = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)
NONE = Constant(None)


def call(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A question to the registry; None for any other call, or for a model that the package does not have."""
    handler = _HANDLERS.get(name.removeprefix(REGISTRY)) if name.startswith(REGISTRY) else None
    wanted = run.constant(args.positional[0]) if handler and args.positional else None
    return handler(run, wanted) if handler and isinstance(wanted, str) else None


def _home(run: Run, model: str) -> ModuleSource | None:
    """The file that registers a model."""
    package = run.project.find(run.activation.module, MODELS)
    path = _entries(str(Path(package.path).parent)).get(model) if package is not None else None
    return run.project.module(path, f"{MODELS}.{Path(path).stem}") if path else None


@functools.cache
def _entries(folder: str) -> dict[str, str]:
    """The path of the file that registers each model of the package."""
    return {
        found: str(path)
        for path in sorted(Path(folder).glob("*.py"))
        for found in _ENTRY.findall(path.read_text(encoding="utf-8", errors="replace"))
    }


def _split(run: Run, wanted: str) -> Value:
    model, _, tag = wanted.partition(".")
    return Sequence([Constant(model), Constant(tag)], "tuple")


def _entry(run: Run, wanted: str) -> Value | None:
    home = _home(run, wanted.partition(".")[0])
    found = modules_of_project.name(run, home, wanted.partition(".")[0]) if home is not None else None
    return found if isinstance(found, Function) else None


def _is_model(run: Run, wanted: str) -> Value | None:
    return Constant(True) if _home(run, wanted) is not None else None


def _settings(run: Run, wanted: str) -> Value | None:
    """The settings that belong to a model's name: the entry of its file's table, which is read alone."""
    model = wanted.partition(".")[0]
    home = _home(run, model)
    written = _written(home.tree, model, wanted) if home is not None else None
    if home is None:
        return None
    if written is None:
        return NONE
    given = modules_of_project.evaluated(run, home, written)
    cls = modules_of_project.member(run, package, SETTINGS) if (package := _settings_home(run)) else None
    if not isinstance(given, Mapping) or not isinstance(cls, Class):
        return None
    named = {key: value for key, value in given.items.items() if isinstance(key, str)}
    return run.call(cls, Arguments((), named, given.exact), written)


def _settings_home(run: Run) -> ModuleSource | None:
    return run.project.find(run.activation.module, f"{MODELS}._pretrained")


def _written(tree: ast.Module, model: str, wanted: str) -> ast.expr | None:
    """The expression of a model's entry in the table: that of its tag, else the first of the model."""
    table = next((_dict(s.value) for s in tree.body if isinstance(s, ast.Assign) and _names(s) == [DEFAULTS]), None)
    if table is None:
        return None
    entries = {k.value: v for k, v in zip(table.keys, table.values, strict=True) if isinstance(k, ast.Constant)}
    exact = entries.get(wanted) or entries.get(model)
    return exact or next((v for key, v in entries.items() if str(key).partition(".")[0] == model), None)


def _dict(value: ast.expr) -> ast.Dict | None:
    inner = value.args[0] if isinstance(value, ast.Call) and value.args else value
    return inner if isinstance(inner, ast.Dict) else None


def _names(statement: ast.Assign) -> list[str]:
    return [target.id for target in statement.targets if isinstance(target, ast.Name)]


_HANDLERS: dict[str, Callable[[Run, str], Value | None]] = {
    "split_model_name_tag": _split,
    "model_entrypoint": _entry,
    "is_model": _is_model,
    "get_pretrained_cfg": _settings,
}
