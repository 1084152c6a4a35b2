"""Classes whose constructor registers nothing: its name is misspelt, or it assigns before `super().__init__()`."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradlint.frontends.constructors import filled_attributes
from gradlint.frontends.static.project import ModuleSource
from gradlint.frontends.static.record.tensors_inside import is_module_base, is_module_class
from gradlint.frontends.static.values import Class, External
from gradlint.graph import Hidden, Model

if TYPE_CHECKING:
    from gradlint.frame import Frame
    from gradlint.frontends.static.run import Run

CONSTRUCTOR = "__init__"
LIKENESS = 0.75
"""Similarity above which a method's name is a misspelt `__init__`: `_init_`, `__int__`, `__init` are above 0.85."""

MISSPELT, EARLY = "misspelt", "early"
Fault = tuple[str, ast.stmt, tuple[str, ...]]


def unready(run: Run, module: ModuleSource) -> Iterator[Model]:
    """A model for every class of a file whose constructor registers nothing, with the fault as something hidden."""
    scope = run.scopes[module.path]
    for cls in scope.names.values():
        if isinstance(cls, Class) and cls.scope.module is module and is_module_class(cls):
            fault = next(iter((*_misspelt(cls), *_early(cls))), None)
            if fault is not None:
                yield _model(module, cls, *fault)


def _model(module: ModuleSource, cls: Class, kind: str, at: ast.stmt, names: tuple[str, ...]) -> Model:
    found = Hidden("unready", kind, "", names, 0, _place(module, cls, at))
    path = module.source.path
    return Model(cls.name, path, cls.node.lineno, "source", hidden=(found,), complete=False)


def _place(module: ModuleSource, cls: Class, at: ast.stmt) -> Frame:
    """The first line of a statement."""
    end = len(module.source.line(at.lineno).rstrip().encode())
    head = ast.Pass(lineno=at.lineno, col_offset=at.col_offset, end_lineno=at.lineno, end_col_offset=end)
    return module.frame(head, cls.name)


def _methods(tree: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _misspelt(cls: Class) -> Iterator[Fault]:
    methods = _methods(cls.node)
    for name, method in methods.items() if CONSTRUCTOR not in methods else ():
        like = "_" in name and difflib.SequenceMatcher(None, name, CONSTRUCTOR).ratio() > LIKENESS
        if like and not name.startswith("init_") and (held := tuple(target for target, _ in filled_attributes(method))):
            yield MISSPELT, method, held


def _early(cls: Class) -> Iterator[Fault]:
    """Of a class right below a library's module: what it registers before that is ready to."""
    method = _methods(cls.node).get(CONSTRUCTOR)
    if method is None or not all(isinstance(base, External) and _needs_to_be_made(base) for base in cls.bases):
        return
    if _is_ready_at_once(method):
        return
    calls = [n for n in ast.walk(method) if isinstance(n, ast.Call) and _is_super_call(n)]
    ready = min((call.lineno for call in calls), default=method.end_lineno or 0)
    filled = filled_attributes(method)
    early = [(name, node) for name, node in filled if node.lineno < ready and _makes_module(node.value)]
    if early:
        yield EARLY, early[0][1], tuple(name for name, _ in early)


def _needs_to_be_made(base: External) -> bool:
    """Whether a class of modules keeps its parts in tables that its constructor makes; Jittor looks them up later."""
    return is_module_base(base) and not base.name.startswith("jittor.")


def _is_ready_at_once(method: ast.FunctionDef) -> bool:
    """Whether nothing but a docstring stands before the base class's constructor."""
    body = method.body[1:] if ast.get_docstring(method) is not None else method.body
    first = body[0].value if body and isinstance(body[0], ast.Expr) else None
    return isinstance(first, ast.Call) and _is_super_call(first)


def _is_super_call(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == CONSTRUCTOR


def _makes_module(value: ast.expr) -> bool:
    """Whether an expression calls a class of `torch.nn` by its usual name."""
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="nn") | ast.Attribute(attr="nn"), attr=name)):
            return name[:1].isupper()
    return False
