"""The shapes of results, where they follow from shapes and numbers that are known.

A shape is a tuple of sizes, None for a size that is not known; None alone where not even the rank is known. Arguments
come as plain objects (`plain_values.plain`), tensors as themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradlint import ops
from gradlint.frontends.static.python.plain_values import NotKnownError
from gradlint.frontends.static.record.passages import found
from gradlint.frontends.static.shapes.of_layers import register_convolutions
from gradlint.frontends.static.shapes.of_views import of_extremum
from gradlint.frontends.static.shapes.rules import RULES, Shape, UnknownShapeError, broadcast
from gradlint.frontends.static.values import Tensor, Value

FIRST = {"input": "x", "self": "x"}
"""torch's names of the first argument, which the rules call `x`."""

register_convolutions()

EXTREMA = frozenset({"max", "min", "median", "nanmedian"})
"""Reductions that are of a whole tensor, along an axis, or of two tensors."""

SAME_KINDS = (ops.Kind.ACTIVATION, ops.Kind.DROPOUT, ops.Kind.NORM, ops.Kind.CAST, ops.Kind.SCAN)
"""Families whose result has the shape of their first tensor."""

OTHERWISE = frozenset({"glu", "multi_head_attention_forward", "renorm", "norm_except_dim", "to_dense"})
"""Members of these families for which that does not hold."""


def of_result(native: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Shape:
    """The shape of the first result of an op."""
    name = native.removeprefix("get:")
    found_rule = RULES.get(name) or RULES.get(name.rstrip("_"))
    try:
        if name in EXTREMA:
            return of_extremum(args, options)
        if found_rule is not None:
            return found_rule[1](**_bound(found_rule[0], args, options))
        return _by_family(name, args, options)
    except (UnknownShapeError, NotKnownError, AttributeError, TypeError, ValueError, LookupError, ArithmeticError):
        return None


def _bound(names: tuple[str, ...], args: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    rest = names[-1].startswith("*")
    plain = names[:-1] if rest else names
    bound = dict(zip(plain, args, strict=False))
    if rest and len(args) > len(plain):
        bound[names[-1][1:]] = _many(args[len(plain) :])
    known = {name.lstrip("*") for name in names}
    renamed = {FIRST.get(name, name): value for name, value in options.items()}
    whole = {**bound, **{name: value for name, value in renamed.items() if name in known}}
    return {name: value for name, value in whole.items() if not name.startswith("-")}


def _many(args: tuple[Any, ...]) -> Any:
    """`x.view(2, 3)` and `x.view((2, 3))` mean the same."""
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else args


def _by_family(name: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Shape:
    known = found(name)
    tensors = [value for value in (*args, *options.values()) if isinstance(value, Tensor)]
    if known is None or not tensors or known.name in OTHERWISE or any(map(_is_not_known, (*args, *options.values()))):
        return None
    if known.kind in SAME_KINDS or name.endswith("_like"):
        return tensors[0].shape
    if known.kind in (ops.Kind.ELEMENTWISE, ops.Kind.COMPARISON):
        return broadcast([tensor.shape for tensor in tensors])
    if known.kind is ops.Kind.LOSS:
        return () if options.get("reduction", "mean") in ("mean", "sum") and "loss" in known.name + name else None
    return None


def _is_not_known(value: Any) -> bool:
    """Whether an argument may be a tensor of any shape."""
    return isinstance(value, Value) and not isinstance(value, Tensor)
