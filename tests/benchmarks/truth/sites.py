"""Finds where a value with a gradient flows on in a program: runs it once with every expression watched."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from . import oracle
from .edits import Positions

_WATCHED = (ast.Name, ast.Attribute, ast.Call, ast.BinOp, ast.UnaryOp, ast.Subscript, ast.IfExp)
_FACTS_OF_SHAPE = frozenset({"shape", "size", "dtype", "device", "ndim", "dim", "numel", "grad", "new_zeros"})

Span = tuple[int, int, int, int]


@dataclass(frozen=True)
class Site:
    """One expression whose every value was a floating tensor that requires a gradient.

    The call that makes a parameter is none: what is put around it takes the parameter away from its module.

    `kind` says what becomes of the value: assign, return, argument, element, operand, receiver or other. `target` is
    the single name that it is assigned to, `callee` the text of the module that it is the result of.
    """

    node: ast.expr
    statement: ast.stmt
    function: ast.FunctionDef | None
    owner: ast.ClassDef | None
    kind: str
    dims: int
    last: int
    target: str | None = None
    callee: str | None = None
    leaf: bool = False


@dataclass(frozen=True)
class Anatomy:
    """A program with its sites, the assignments that build a model, and what autograd makes of it untouched."""

    name: str
    text: str
    tree: ast.Module
    positions: Positions
    sites: tuple[Site, ...]
    builds: tuple[tuple[ast.stmt, str, tuple[str, ...]], ...]
    base: oracle.Outcome


@dataclass
class _Seen:
    """What one expression was, over all its evaluations."""

    tensor: bool = True
    dims: set[int] = field(default_factory=set)
    last: int = 1 << 30
    leaf: bool = False
    parameter: bool = False
    module: nn.Module | None = None

    def add(self, value: Any) -> None:
        if isinstance(value, nn.Module):
            self.module = value
        self.tensor = self.tensor and _flows(value)
        if self.tensor:
            self.dims.add(value.dim())
            self.last = min(self.last, value.shape[-1] if value.dim() else 1)
            self.leaf = self.leaf or value.is_leaf
            self.parameter = self.parameter or isinstance(value, nn.Parameter)


def _flows(value: Any) -> bool:
    usual = isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return usual and value.requires_grad and torch.is_grad_enabled()


class _Watcher(ast.NodeTransformer):
    """Wraps every loaded expression as `__probe__((line, column, end line, end column), expression)`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        where = _span(node)
        if isinstance(node.func, ast.Attribute):
            node.func.value = self.visit(node.func.value)
        elif not isinstance(node.func, ast.Name):
            node.func = self.visit(node.func)
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        return _wrapped(node, where)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        where = _span(node) if isinstance(node, ast.expr) else None
        loaded = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        super().generic_visit(node)
        if where is not None and loaded and isinstance(node, _WATCHED):
            return _wrapped(node, where)
        return node


def _wrapped(node: ast.expr, where: Span) -> ast.expr:
    key = ast.Tuple([ast.Constant(part) for part in where], ast.Load())
    call = ast.Call(ast.Name("__probe__", ast.Load()), [key, node], [])
    return ast.copy_location(call, node)


def _span(node: ast.expr) -> Span:
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0


def dissect(name: str, text: str) -> Anatomy:
    """Runs a program under watch; raises ValueError when it does not train as it stands."""
    seen: dict[Span, _Seen] = {}

    def probe(where: Span, value: Any) -> Any:
        seen.setdefault(where, _Seen()).add(value)
        return value

    watched = ast.fix_missing_locations(_Watcher().visit(ast.parse(text)))
    watched_outcome = oracle.run(ast.unparse(watched), probe=probe)
    base = oracle.run(text)
    for outcome in (watched_outcome, base):
        if outcome.problem or outcome.refused:
            raise ValueError(f"{name} does not train: {outcome.problem or 'backward refused'}")
    tree = ast.parse(text)
    places = _Places(tree, Positions(text), seen)
    return Anatomy(name, text, tree, places.positions, places.sites(), places.builds(), base)


class _Places:
    """Joins what was seen with where it stands in the tree."""

    def __init__(self, tree: ast.Module, positions: Positions, seen: dict[Span, _Seen]) -> None:
        self.tree, self.positions, self.seen = tree, positions, seen
        self.methods = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def sites(self) -> tuple[Site, ...]:
        found = (self._site(node) for node in ast.walk(self.tree) if isinstance(node, _WATCHED))
        return tuple(site for site in found if site is not None)

    def builds(self) -> tuple[tuple[ast.stmt, str, tuple[str, ...]], ...]:
        """Assignments `name = <module>` outside of classes, with the names of the module's children."""
        found = []
        for node in ast.walk(self.tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as value):
                    module = self._seen(value).module
                    if module is not None and self._around(node, ast.ClassDef) is None:
                        found.append((node, name, tuple(child for child, _ in module.named_children())))
        return tuple(found)

    def _seen(self, node: ast.expr) -> _Seen:
        return self.seen.get(_span(node), _Seen(tensor=False))

    def _site(self, node: ast.expr) -> Site | None:
        what, statement = self._seen(node), self._around(node, ast.stmt)
        if not what.tensor or not isinstance(statement, ast.stmt) or not self._usable(node):
            return None
        if what.parameter and isinstance(node, ast.Call):
            return None
        function, owner = self._around(node, ast.FunctionDef), self._around(node, ast.ClassDef)
        return Site(
            node=node,
            statement=statement,
            function=function if isinstance(function, ast.FunctionDef) else None,
            owner=owner if isinstance(owner, ast.ClassDef) else None,
            kind=self._kind(node),
            dims=min(what.dims),
            last=what.last,
            target=_single_target(statement) if self.parents[node] is statement else None,
            callee=self._callee(node),
            leaf=what.leaf,
        )

    def _usable(self, node: ast.expr) -> bool:
        above = self.parents[node]
        if isinstance(above, ast.Attribute):
            return above.attr not in _FACTS_OF_SHAPE
        if isinstance(getattr(node, "ctx", ast.Load()), ast.Store):
            return False
        return not isinstance(self._around(node, ast.JoinedStr), ast.JoinedStr) and not isinstance(above, ast.Expr)

    def _callee(self, node: ast.expr) -> str | None:
        match node:
            case ast.Call(func=ast.Attribute() as function, args=[_], keywords=[]):
                module = self._is_self(function.value) and function.attr not in self.methods
                return self.positions.source(function) if module else None
        return None

    @staticmethod
    def _is_self(node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == "self"

    def _kind(self, node: ast.expr) -> str:
        match self.parents[node]:
            case ast.Assign() | ast.AugAssign():
                return "assign"
            case ast.Return():
                return "return"
            case ast.Call() | ast.keyword():
                return "argument"
            case ast.List() | ast.Tuple() | ast.ListComp() | ast.GeneratorExp() | ast.Dict():
                return "element"
            case ast.BinOp() | ast.UnaryOp():
                return "operand"
            case ast.Attribute():
                return "receiver"
        return "other"

    def _around(self, node: ast.AST, kind: type[ast.AST]) -> ast.AST | None:
        above = self.parents.get(node)
        while above is not None and not isinstance(above, kind):
            above = self.parents.get(above)
        return above


def _single_target(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return None
