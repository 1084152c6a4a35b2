"""The names of the project's modules: what an import gives, and a name's value when it is first asked for.

A module that is imported is not run from top to bottom: only the statements that bind a name, when the name is needed.
"""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gradlint.frontends.static.heap import Heap
from gradlint.frontends.static.project import PACKAGE, ModuleSource
from gradlint.frontends.static.values import Constant, External, ModuleValue, Scope, Unknown, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

BUILTINS = frozenset(vars(builtins))
STARS = {"torch.nn": str.istitle, "torch.nn.functional": str.islower, "math": str.islower}
"""Libraries whose names a `from … import *` is known to bring, and how such names are written."""

NUMERIC = frozenset({"math", "numpy", "torch"})
NUMBERS = frozenset({"pi", "e", "tau", "inf", "nan"})
"""Numbers that these libraries define alike."""

LAZY_PACKAGE = "transformers"


def scope(run: Run, module: ModuleSource) -> Scope:
    """The names of a module."""
    found = run.scopes.get(module.path)
    if found is None:
        names: dict[str, Value] = {"__name__": Constant(module.name), "__file__": Constant(module.path)}
        found = run.scopes[module.path] = Scope(names, module)
    return found


def name(run: Run, module: ModuleSource, wanted: str) -> Value | None:
    """The value of a module's name; None where the module does not bind it."""
    names = scope(run, module).names
    if wanted in names:
        return names[wanted]
    fresh = [s for s in module.bindings.get(wanted, ()) if id(s) not in run.executed]
    if fresh:
        _define(run, module, fresh)
    if wanted in names or (module.path, wanted) in run.missing:
        return names.get(wanted)
    run.missing.add((module.path, wanted))
    found = _from_stars(run, module, wanted)
    if found is not None:
        names[wanted] = found
    return found


def member(run: Run, module: ModuleSource, wanted: str) -> Value | None:
    """An attribute of a module: a name that it binds, or a module inside of a package."""
    if module.name == LAZY_PACKAGE and (home := run.project.library_class(module, wanted)):
        return name(run, home, wanted)
    found = name(run, module, wanted)
    if found is not None:
        return found
    return _inner(run, module, wanted)


def _inner(run: Run, package: ModuleSource, wanted: str) -> Value | None:
    """A module inside of a package."""
    inner = run.project.find(package, wanted, 1) if Path(package.path).name == PACKAGE else None
    return ModuleValue(inner) if inner is not None else None


def _define(run: Run, module: ModuleSource, statements: list[ast.stmt]) -> None:
    from gradlint.frontends.static.run import Activation, RaisedError

    with apart(run):
        run.activation = Activation(scope(run, module), "<module>")
        for statement in statements:
            if id(statement) in run.executed:
                continue
            run.executed.add(id(statement))
            try:
                run.execute((statement,))
            except RaisedError:
                continue


def evaluated(run: Run, module: ModuleSource, at: ast.expr) -> Value:
    """The value that an expression of a module's top level has."""
    from gradlint.frontends.static.run import Activation

    with apart(run):
        run.activation = Activation(scope(run, module), "<module>")
        return run.evaluate(at)


@contextmanager
def apart(run: Run) -> Iterator[None]:
    """Definitions belong to no branch, loop, forward pass or grad mode that happens to run while they are needed."""
    from gradlint.frontends.static.run import Switch

    kept = run.heap, run.activation, run.modules, run.grad, run.loops, run.conditions, run.pending
    run.heap, run.modules, run.grad, run.loops, run.conditions, run.pending = (
        Heap(),
        [],
        [Switch(True, None)],
        [],
        0,
        [],
    )
    try:
        yield
    finally:
        run.heap, run.activation, run.modules, run.grad, run.loops, run.conditions, run.pending = kept


def _from_stars(run: Run, module: ModuleSource, wanted: str) -> Value | None:
    """What a `from … import *` brings; modules that import each other know a name from one of them only."""
    unread: Value | None = None
    for star in reversed(module.stars):
        package = star.module or ""
        source = run.project.find_naming(module, package, star.level, wanted)
        if source is not None and source is not module:
            found = name(run, source, wanted)
            if found is not None and not isinstance(found, Unknown):
                return found
            unread = unread or found
        elif not star.level and package in STARS and STARS[package](wanted[:1]) and wanted not in BUILTINS:
            return External(f"{package}.{wanted}")
    return unread


def import_module(run: Run, importer: ModuleSource, dotted: str, level: int = 0) -> Value:
    """The module that `import dotted` names."""
    source = run.project.find(importer, dotted, level)
    if source is not None:
        return ModuleValue(source)
    if level and not importer.user:
        return External(f"{importer.package(level)}.{dotted}")
    return Unknown(f"module {'.' * level}{dotted} is not in the project") if level else External(dotted)


def import_name(run: Run, importer: ModuleSource, dotted: str, level: int, wanted: str) -> Value:
    """What `from dotted import wanted` gives."""
    source = run.project.find(importer, dotted, level)
    if source is None:
        return _from_folder(run, importer, dotted, level, wanted)
    found = member(run, source, wanted) if source is not importer else _inner(run, source, wanted)
    return Unknown(f"{dotted or '.'} defines no {wanted}") if found is None else found


def of_library(name: str) -> Value:
    """What a library defines under a full name: a number that everybody knows, else the name itself."""
    module, _, last = name.rpartition(".")
    return Constant(getattr(math, last)) if module in NUMERIC and last in NUMBERS else External(name)


def _from_folder(run: Run, importer: ModuleSource, dotted: str, level: int, wanted: str) -> Value:
    """A module in a folder that is no package, or a library's name."""
    inner = run.project.find(importer, f"{dotted}.{wanted}" if dotted else wanted, level)
    if inner is not None:
        return ModuleValue(inner)
    if level and not importer.user:
        return External(".".join(filter(None, (importer.package(level), dotted, wanted))))
    return Unknown(f"{'.' * level}{dotted} is not in the project") if level else of_library(f"{dotted}.{wanted}")
