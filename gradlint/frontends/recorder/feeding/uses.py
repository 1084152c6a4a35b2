"""What code does with its parameters and with the fields of its configurations, read from the syntax tree."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

Uses = Mapping[str, frozenset[str]]
"""For every name: "called", "iterated", "indexed", "number", "attribute", "mapping", "key", "unpacked",
"tensor", "tensors", "array", "optional", "made", "text", "modules", "items:NAMES", "given:COUNT", "key:WORD",
"compared:WORD"."""

_ITERATORS = frozenset({"len", "enumerate", "zip", "list", "tuple", "sum", "reversed", "sorted", "map"})
_OF_MAPPINGS = frozenset({"items", "keys", "values"})
_OF_TENSORS = frozenset({"size", "numel"})
_TOLD_BY_TENSORS = frozenset({"device", "dtype", "shape", "size"})
_OF_TEXTS = frozenset({"upper", "lower", "startswith", "endswith", "strip", "split"})
_TAKING_TENSORS = {"from_pretrained": "tensor", "copy_": "tensor", "from_numpy": "array"}
_MODULES = frozenset({"self", "nn", "torch", "F", "math", "np", "numpy", "functional", "super"})
_MAX_LITERAL_AXIS = 8


def parameter_uses(maker: Any, tree: ast.AST | None = None) -> Uses:
    """What the constructor or factory `maker` does with each of its parameters; empty when its source is not at hand.

    `tree` is the file that defines it, which spares reading the source again.
    """
    node = _definition(maker, tree) if tree is not None else None
    node = node or _source(maker)
    if node is None:
        return {}
    init = next((one for one in ast.walk(node) if isinstance(one, ast.FunctionDef) and one.name == "__init__"), node)
    kept = _kept(init)
    own = set(ast.walk(init))
    return _collected(_name_uses(one, kept, whole=one in own) for one in ast.walk(node))


def _definition(maker: Any, tree: ast.AST) -> ast.AST | None:
    """The function, or the constructor with the methods that use what it keeps."""
    kinds = (ast.ClassDef,) if inspect.isclass(maker) else (ast.FunctionDef,)
    return next(
        (one for one in ast.walk(tree) if isinstance(one, kinds) and one.name == getattr(maker, "__name__", "")), None
    )


def _source(maker: Any) -> ast.AST | None:
    function = maker.__init__ if inspect.isclass(maker) else maker
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None


def read_fields(tree: ast.AST) -> frozenset[str]:
    """Every field that a file reads of a configuration."""
    return frozenset(found for node in ast.walk(tree) if isinstance(node, ast.expr) and (found := _field(node)))


def field_uses(tree: ast.AST) -> Uses:
    """What a file does with `config.field` and `config["field"]`, by field; `dims = config["layers"]` is followed."""
    kept = {
        name: field
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (field := _field(node.value))
        for target in node.targets
        if (name := _kept_name(target))
    }
    return _collected(_field_uses(node, kept) for node in ast.walk(tree))


def _kept_name(node: ast.expr) -> str:
    """A local variable, or an attribute of the model itself."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=attribute):
            return f"self.{attribute}"
    return ""


def _collected(found: Iterator[Iterator[tuple[str, str]]]) -> Uses:
    gathered: dict[str, set[str]] = {}
    for uses in found:
        for name, use in uses:
            gathered.setdefault(name, set()).add(use)
    return {name: frozenset(every) for name, every in gathered.items()}


def _kept(tree: ast.AST) -> dict[str, str]:
    """`layers` by `layers` for `self.layers = layers`: the parameters that a constructor keeps as attributes."""
    assignments = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    pairs = [pair for node in assignments for target in node.targets for pair in _pairs(target, node.value)]
    return {
        target.attr: value.id
        for target, value in pairs
        if isinstance(target, ast.Attribute) and isinstance(value, ast.Name)
    }


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """`a, b = x, y` as two assignments."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def _name_uses(node: ast.AST, kept: Mapping[str, str], *, whole: bool) -> Iterator[tuple[str, str]]:
    """The uses of plain names, where `whole`, and of the attributes that keep a parameter."""
    match node:
        case ast.Subscript(
            value=ast.Attribute(value=ast.Name(id="self"), attr=attribute), slice=ast.Constant(value=str() as key)
        ) if attribute in kept:
            yield from ((kept[attribute], "key"), (kept[attribute], f"key:{key}"))
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"), attr=attribute)) if attribute in kept:
            yield kept[attribute], "attribute"
        case _ if not whole:
            pass
        case ast.Attribute(value=ast.Name(id=name), attr=method) if name not in _MODULES:
            if method in _OF_TEXTS:
                yield name, "text"
            elif method not in _OF_TENSORS:
                yield name, "mapping" if method in _OF_MAPPINGS else "attribute"
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as key)):
            yield from ((name, "key"), (name, f"key:{key}"))
        case ast.keyword(arg=None, value=ast.Name(id=name)):
            yield name, "unpacked"
        case ast.Call(func=ast.Name(id=name)):
            yield name, "made"
    for part, use in _value_uses(node):
        match part:
            case ast.Name(id=name) if whole:
                yield name, use
            case ast.Attribute(value=ast.Name(id="self"), attr=attribute) if attribute in kept:
                yield kept[attribute], use


def _field(node: ast.expr) -> str:
    """The field of `config.field`, `self.config.field` or `config["field"]`, else an empty string."""
    match node:
        case ast.Attribute(value=ast.Name(id=base), attr=field) if base not in _MODULES:
            return field
        case ast.Attribute(value=ast.Attribute(), attr=field):
            return field
        case ast.Subscript(slice=ast.Constant(value=str() as field)):
            return field
    return ""


def _field_uses(node: ast.AST, kept: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for part, use in _value_uses(node):
        field = kept.get(_kept_name(part), "") or _field(part)
        if field:
            yield field, use
    match node:
        case ast.Attribute(value=ast.Attribute(attr=field), attr=read) if read not in _OF_TENSORS:
            yield field, "attribute"
        case ast.Attribute(value=ast.Subscript(slice=ast.Constant(value=str() as field)), attr=read) if (
            read not in _OF_TENSORS | _OF_MAPPINGS
        ):
            yield field, "attribute"
        case ast.Subscript(
            value=ast.Attribute(attr=field) | ast.Subscript(slice=ast.Constant(value=str() as field)),
            slice=ast.Constant(value=str()),
        ):
            yield field, "attribute"


def _value_uses(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Every expression that is a child of `node`, with what `node` does to it."""
    match node:
        case ast.Call(func=function, args=args, keywords=keywords):
            yield function, "called"
            if not keywords and not any(isinstance(one, ast.Starred) for one in args):
                yield function, f"given:{len(args)}"
            if isinstance(function, ast.Attribute) and function.attr in _OF_TENSORS:
                yield function.value, "tensor" if args or function.attr == "numel" else "attribute"
            yield from _argument_uses(function, [*args, *(one.value for one in keywords if one.arg)])
        case ast.Starred(value=value):
            yield value, "iterated"
        case ast.For(target=target, iter=iterable) | ast.comprehension(target=target, iter=iterable):
            yield iterable, "iterated"
            names = [one.id for one in getattr(target, "elts", ()) if isinstance(one, ast.Name)]
            if isinstance(target, ast.Tuple) and len(names) == len(target.elts) and not isinstance(iterable, ast.Call):
                yield iterable, f"items:{' '.join(names)}"
        case ast.Assign(targets=[ast.Tuple()], value=ast.Tuple(elts=parts)):
            yield from ((part, "read") for part in parts)
        case ast.Assign(targets=[ast.Tuple(elts=names) | ast.List(elts=names)], value=value):
            yield value, f"pair:{len(names)}"
        case ast.Attribute(value=ast.Subscript(value=value, slice=ast.Constant(value=int())), attr=attribute) if (
            attribute in _TOLD_BY_TENSORS
        ):
            yield value, "tensors"
        case (
            ast.Subscript(value=value, slice=ast.Constant(value=int())) | ast.Subscript(value=value, slice=ast.Slice())
        ):
            yield value, "indexed"
        case ast.Subscript(value=value, slice=ast.UnaryOp() | ast.Name() | ast.BinOp()):
            yield value, "indexed"
        case ast.BinOp(left=left, op=op, right=right):
            yield from (
                (part, "iterated" if _is_list(other, op) else "number")
                for part, other in ((left, right), (right, left))
            )
        case ast.Compare():
            yield from _comparisons(node)


def _argument_uses(function: ast.expr, arguments: list[ast.expr]) -> Iterator[tuple[ast.expr, str]]:
    match function:
        case ast.Attribute(attr="ModuleList"):
            yield from ((one, "modules") for one in arguments[:1])
        case ast.Attribute(attr="register_buffer"):
            yield from ((one, "tensor") for one in arguments[1:2])
        case ast.Attribute(attr=name) if name in _TAKING_TENSORS:
            yield from ((one, _TAKING_TENSORS[name]) for one in arguments[:1])
        case (
            ast.Name(id="range" | "int" | "round" | "float") | ast.Attribute(value=ast.Name(id="nn" | "torch" | "math"))
        ):
            yield from ((one, "number") for one in arguments)
        case ast.Name(id="max" | "min") if len(arguments) > 1:
            yield from ((one, "number") for one in arguments)
        case ast.Name(id=name) if name in _ITERATORS:
            yield from ((one, "iterated") for one in arguments)
        case ast.Attribute(attr="cat" | "prod" | "cumsum" | "stack"):
            yield from ((one, "iterated") for one in arguments)


def _is_list(node: ast.expr, op: ast.operator) -> bool:
    return isinstance(node, (ast.List, ast.ListComp)) and isinstance(op, (ast.Add, ast.Mult))


def _comparisons(node: ast.Compare) -> Iterator[tuple[ast.expr, str]]:
    match node:
        case ast.Compare(left=left, comparators=[ast.Constant(value=str() as word)]):
            yield left, f"compared:{word}"
        case ast.Compare(
            left=left,
            ops=[ast.In() | ast.NotIn()],
            comparators=[ast.Tuple(elts=words) | ast.List(elts=words) | ast.Set(elts=words)],
        ):
            texts = [one.value for one in words if isinstance(one, ast.Constant)]
            yield from ((left, f"compared:{text}") for text in texts if isinstance(text, str))
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot()], comparators=[ast.Constant(value=None)]):
            yield left, "optional"
        case ast.Compare(left=left, comparators=[ast.Constant(value=int() | float())]):
            yield left, "number"
