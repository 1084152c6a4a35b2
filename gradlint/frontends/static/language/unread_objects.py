"""Objects that could not be read: what is put into them may come out again, whichever way it went in.

A graph that keeps features (`graph.ndata["h"] = h`), a message that is passed (`graph.update_all(...)`) and a cache all
look like this. An attribute, an item or a method's result of such an object knows the object it is of.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.record.emission import BASE
from gradlint.frontends.static.values import NO_NODE, Bound, Function, Partial, Symbol, Tensor, Unknown, Value
from gradlint.graph import NodeKind, Passage, Reason

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def absorb(run: Run, value: Value, contents: tuple[Value, ...], at: ast.AST | None) -> None:
    """Lets an object keep what was put into it, or into a part of it."""
    if not run.nodes_in(contents):
        return
    root = _root_of(value)
    why = value.why if isinstance(value, Unknown) else "it is put into what is not known"
    grown = run.opaque(why, (value, root, *contents), at)
    for holder in (value, root):
        _keep(run, holder, grown.node)


def call_back(run: Run, arguments: tuple[Value, ...], at: ast.AST | None) -> None:
    """A call that could not be read gets functions: what they compute may go into the objects that it gets beside."""
    functions = tuple(value for value in arguments if isinstance(value, (Bound, Function, Partial)))
    for value in arguments if functions else ():
        if isinstance(value, Tensor) or (isinstance(value, (Unknown, Symbol)) and held_by(run, value) != NO_NODE):
            absorb(run, value, functions, at)


def _keep(run: Run, holder: Value, node: int) -> None:
    if isinstance(holder, Symbol):
        run.write(run.kept, id(holder), node)
        run.keep.append(holder)
    elif isinstance(holder, Unknown) or (isinstance(holder, Tensor) and not holder.parameter):
        run.write(holder, "node", node)


def part(run: Run, value: Unknown | Tensor, why: str, node: int, at: ast.AST | None) -> Unknown:
    """What an attribute, an item or a method of an object gives that stands for the tensors of `node`."""
    root = _root_of(value)
    held = held_by(run, root)
    if held > node != NO_NODE:
        node = run.linked(NodeKind.OPAQUE, "opaque", (node, held), at, Passage.UNKNOWN, Reason.OPAQUE)
    return Unknown(why, max(node, held), root)


def part_of_symbol(run: Run, value: Symbol) -> Value:
    """The same of an object that was taken for a plain value, as long as no tensor was put into it."""
    root = _root_of(value)
    held = held_by(run, root)
    return Symbol(holder=root) if held == NO_NODE else Unknown("a part of what is not known", held, root)


def held_by(run: Run, value: Value) -> int:
    """The node of what an object holds."""
    if isinstance(value, Symbol):
        return run.kept.get(id(value), NO_NODE)
    return value.node if isinstance(value, (Unknown, Tensor)) else NO_NODE


def _root_of(value: Value) -> Value:
    holder = value.holder if isinstance(value, (Unknown, Symbol)) else None
    root = value if holder is None else holder
    while isinstance(root, Tensor) and isinstance(base := root.state.get(BASE), Tensor):
        root = base
    return root
