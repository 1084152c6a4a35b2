"""Whether a program compiles or exports what it defines."""

from __future__ import annotations

import ast
from collections.abc import Iterator

COMPILERS = frozenset(
    {"torch.compile", "torch.compiler.compile", "torch._dynamo.optimize", "torch.jit.trace", "torch.onnx.dynamo_export"}
)
EXPORTERS = frozenset({"torch.export.export", "torch.export.export_for_training", "torch.onnx.export"})
WORDS = ("compile", "export", "_dynamo", "jit")
"""Parts of their names: a text without them need not be searched."""

COMPILE = "compile"
OPTIONS = frozenset({"backend", "mode", "fullgraph", "dynamic", "options"})
"""The arguments of `nn.Module.compile`; the methods of the same name of other libraries have others."""


def compiles(text: str, tree: ast.Module) -> bool:
    """Whether a program names a compiler or an exporter of torch, or calls `compile` on a module."""
    return _names(text, tree, COMPILERS | EXPORTERS) or (COMPILE in text and any(map(_is_method, ast.walk(tree))))


def exports(text: str, tree: ast.Module) -> bool:
    """Whether a program names an exporter of torch."""
    return _names(text, tree, EXPORTERS)


def _names(text: str, tree: ast.Module, wanted: frozenset[str]) -> bool:
    if "torch" not in text or not any(word in text for word in WORDS):
        return False
    known = dict(_imported(tree))
    return any(_dotted(node, known) in wanted for node in ast.walk(tree) if isinstance(node, (ast.Attribute, ast.Name)))


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What the names that imports bind stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (head, head)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _dotted(node: ast.expr, known: dict[str, str]) -> str:
    """The full name of an expression; empty where it is none."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute):
        holder = _dotted(node.value, known)
        return f"{holder}.{node.attr}" if holder else ""
    return ""


def _is_method(node: ast.AST) -> bool:
    """Whether a node is a call of `compile` on something, with the arguments that `nn.Module.compile` takes."""
    match node:
        case ast.Call(func=ast.Attribute(attr="compile", value=ast.Name() | ast.Attribute()), args=[], keywords=given):
            return all(keyword.arg in OPTIONS for keyword in given)
    return False
