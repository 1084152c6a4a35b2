"""The edits that take an activation away: around a call, or out of a `Sequential`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradlint.code import Code
from gradlint.finding import Fix

CONTAINER = "torch.nn.Sequential"


def without(code: Code, name: str) -> Fix | None:
    """Takes the activation `name` away that a finding stands on, or the only one at the end of a `Sequential`.

    The fix is unsafe: whoever reads the model's output elsewhere then gets scores in place of probabilities.
    """
    node = code.node
    if isinstance(node, ast.Call):
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr == name and not _is_module(code, node):
                return code.unsafe(code.unwrap(node, value))
            case ast.Call(args=[inner, *_]) if _calls(code, node, name):
                return code.unsafe(code.unwrap(node, inner))
    last = list(_last_layers(code, name))
    return code.unsafe(code.drop(last[0])) if len(last) == 1 else None


def _is_module(code: Code, call: ast.Call) -> bool:
    """Whether a call's function is one of torch's, or a layer of the model, rather than a tensor's method."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="self")):
            return True
    return bool(code.resolved(call.func))


def _calls(code: Code, call: ast.Call, name: str) -> bool:
    resolved = code.resolved(call.func)
    if resolved:
        return resolved.rpartition(".")[2] == name
    match call.func:
        case ast.Attribute(value=ast.Name(id="self")):
            return len(call.args) == 1
    return False


def _last_layers(code: Code, name: str) -> Iterator[ast.expr]:
    """The layers of an activation that end a `Sequential`."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Call) and code.resolved(node.func) == CONTAINER and node.args:
            match node.args[-1]:
                case ast.Call(func=func) as last if code.resolved(func).rpartition(".")[2].lower() == name:
                    yield last
