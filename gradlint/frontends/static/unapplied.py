"""Functions of a file that initialise a module's weights, and that nothing in the file names."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from gradlint.frontends.static.project import ModuleSource
from gradlint.graph import Initialisation

INITIALISERS = "init"
"""The last part of the name of torch's module of initialisers: `nn.init`, `init`."""

BASES = frozenset({"nn.Module", "torch.nn.Module", "Module"})
"""Base classes that call no initialiser by themselves."""


def unapplied(module: ModuleSource) -> tuple[Initialisation, ...]:
    """The initialising functions and methods of a file that nothing names, with their places."""
    fillers = [function for function in _functions(module.tree) if _fills(function)]
    named = _names(module.tree) if fillers else Counter()
    return tuple(Initialisation(f.name, {}, module.frame(f, f.name)) for f in fillers if not named[f.name])


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions of a file, and the methods of classes that are nothing but modules."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            yield statement
        elif isinstance(statement, ast.ClassDef) and {ast.unparse(base) for base in statement.bases} <= BASES:
            yield from (inner for inner in statement.body if isinstance(inner, ast.FunctionDef))


def _fills(function: ast.FunctionDef) -> bool:
    """Whether a function with no decorator calls an initialiser on a part of what it is handed."""
    if function.decorator_list or function.name.startswith("__") or not function.args.args:
        return False
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args)
    return any(_is_initialiser(call.func) and isinstance(call.args[0], ast.Attribute) for call in calls)


def _is_initialiser(function: ast.expr) -> bool:
    match function:
        case ast.Attribute(value=ast.Attribute(attr=holder) | ast.Name(id=holder), attr=name):
            return holder == INITIALISERS and name.endswith("_")
    return False


def _names(tree: ast.Module) -> Counter[str]:
    """How often each name, attribute and text stands in a file."""
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.Constant(value=str(name)):
                found[name] += 1
    return found
