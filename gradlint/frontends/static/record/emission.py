"""Puts the call of an op on the tape: its results, the edges from everything that it read, and what it wrote."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.python.plain_values import OPEN, plain
from gradlint.frontends.static.record import passages
from gradlint.frontends.static.shapes import dtypes
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Constant,
    External,
    Sequence,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import Initialisation, NodeKind, Passage, Reason, ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

REPEATED = "repeated"
"""Literal of a call that has one tensor at two positions."""

AXIS = "dim"
"""The argument whose None is a literal: an axis that is left to the framework, unlike one that is not known."""

TEXT_LIMIT = 60
"""Characters of a literal string argument that are kept."""

TUPLE_LIMIT = 8
"""Numbers of a literal tuple argument that are kept."""

BASE, VIEWS = " base", " views"
"""Where a view remembers the tensor whose memory it shares, and that tensor its views: no attribute has these names."""

NUMBERS = " numbers"
"""Where a tensor of one axis keeps its numbers, as far as these are known: a schedule of rates, say."""

ASIDE = " aside"
"""Marks a tensor that a constructor computed from a parameter and keeps as a plain attribute."""

REQUIRES_GRAD = "requires_grad"

Shape = tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Source:
    """A value that a call reads: its node, the place of the argument that holds it, and what is known of it."""

    node: int
    place: int | str
    dtype: str | None
    wanted: bool | None
    outside: bool


@dataclass(frozen=True, slots=True)
class Output:
    """One result of a call. `view_of` is the tensor whose memory it shares."""

    dtype: str | None = None
    shape: Shape = None
    view_of: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an op that is on the tape: its number, what it read, and how it is to be written down.

    `given` are the positions and names of all arguments, literal or not.
    """

    number: int
    native: str
    at: ast.AST
    sources: tuple[Source, ...]
    literals: dict[str, Any] = field(default_factory=dict)
    constant: bool = False
    carrier: ValueKind = ValueKind.TENSOR
    given: tuple[str, ...] = ()


def requires_grad(run: Run, value: Tensor | Unknown) -> bool | None:
    """Whether a tensor requires a gradient; None where that is not known."""
    if isinstance(value, Unknown):
        return None
    if value.carrier is not ValueKind.TENSOR or not passages.carries(value.dtype):
        return False
    own = value.state.get(REQUIRES_GRAD)
    if isinstance(own, bool) or value.parameter:
        return own is not False
    if value.node == NO_NODE:
        return False
    return run.tape.nodes[value.node].requires_grad


def sources(run: Run, args: Arguments) -> tuple[Source, ...]:
    """The tensors among arguments, each node once, with the position or the name of the argument that holds it."""
    found: dict[int, Source] = {}
    named: list[tuple[int | str, Value]] = [*enumerate(args.positional), *args.named.items()]
    for place, value in named:
        inner = (value,) if isinstance(value, Tensor) else run.tensors_in(value)
        if inner and isinstance(value, Sequence) and not value.exact:
            run.doubt()
        for tensor in inner:
            node = run.read(tensor)
            if node != NO_NODE and node not in found:
                found[node] = _source(run, node, place, tensor)
    return tuple(found.values())


def _source(run: Run, node: int, place: int | str, value: Tensor | Unknown) -> Source:
    outside = isinstance(value, Tensor) and value.carrier is not ValueKind.TENSOR
    dtype = value.dtype if isinstance(value, Tensor) and not outside else None
    return Source(node, place, dtype, requires_grad(run, value), outside)


def literals(args: Arguments) -> dict[str, Any]:
    """The numbers, texts and short tuples among the arguments, by position or by name."""
    named = {**{str(position): value for position, value in enumerate(args.positional)}, **args.named}
    found = ((key, literal(value)) for key, value in named.items())
    known = {key: value for key, value in found if value is not None}
    axis = named.get(AXIS)
    if isinstance(axis, Constant) and axis.value is None:
        known[AXIS] = None
    return known | {REPEATED: True} if _repeats(args) else known


def _repeats(args: Arguments) -> bool:
    """Whether one tensor stands at two positions, as in `x * x`."""
    tensors = [
        value.node if value.node != NO_NODE else id(value) for value in args.positional if isinstance(value, Tensor)
    ]
    return len(set(tensors)) < len(tensors)


def literal(value: Value) -> Any:
    """A value as a literal of a node; None where it is none."""
    if isinstance(value, External):
        return dtypes.canonical(value.name) if value.name.startswith("torch.") else None
    known = plain(value) if isinstance(value, (Constant, Sequence)) else OPEN
    if isinstance(known, (tuple, list)):
        short = len(known) <= TUPLE_LIMIT and all(type(item) is int for item in known)
        return list(known) if short else None
    if isinstance(known, str):
        return known if len(known) < TEXT_LIMIT else None
    return known if isinstance(known, (bool, int, float)) else None


def begin(
    run: Run,
    native: str,
    args: Arguments,
    at: ast.AST,
    constant: bool = False,
    carrier: ValueKind = ValueKind.TENSOR,
) -> Call:
    """A call of an op on these arguments."""
    given = (*map(str, range(len(args.positional))), *args.named)
    return Call(run.tape.call(), native, at, sources(run, args), literals(args), constant, carrier, given)


def result(run: Run, call: Call, output: Output, position: int = 0) -> Tensor:
    """One value that a call makes, its `position`-th, with the edges from what the call read."""
    node = _node(run, call, output, inplace=False)
    _link(run, call, node, passages.Made(position, output.dtype))
    made = Tensor(node, output.shape, output.dtype, call.carrier)
    if output.view_of is not None:
        made.state[BASE] = output.view_of
        output.view_of.state.setdefault(VIEWS, []).append(made)
    return made


def _node(run: Run, call: Call, output: Output, inplace: bool) -> int:
    return run.add(
        NodeKind.OP,
        call.native,
        call.at,
        call=call.number,
        value=call.carrier,
        dtype=output.dtype,
        shape=output.shape,
        literals=call.literals,
        inplace=inplace,
    )


def _link(run: Run, call: Call, node: int, made: passages.Made) -> None:
    """Draws the edges from everything that a call read to one value that it made."""
    raw = run.tape.nodes[node]
    wanted: set[bool | None] = set()
    for source in call.sources:
        fact = _fact(call, source, made, run.grad_enabled)
        if fact is None:
            continue
        run.tape.link(source.node, node, *fact)
        if fact[0] is not Passage.BLOCKED and not source.outside:
            wanted.add(source.wanted)
    raw.requires_grad = _any(wanted) if run.grad_enabled else False


def _any(answers: set[bool | None]) -> bool | None:
    """Whether one of several is true; None where that is not known."""
    return True if True in answers else None if None in answers else False


def _fact(call: Call, source: Source, made: passages.Made, enabled: bool) -> passages.Fact | None:
    if source.outside:
        return passages.OPEN
    read = passages.Read(source.place, source.dtype, source.wanted)
    return passages.passage(call.native, read, made, enabled, call.constant)


MADE_INSIDE = " made inside"
"""Where a parameter keeps that it was made while a forward pass ran."""

INITIALISED, PARTIAL = " initialised", "__setitem__"
"""Where a tensor keeps what filled it, and the name of a write into a part of it."""


def filled(run: Run, target: Tensor, name: str, given: dict[str, Any], at: ast.AST | None) -> None:
    """Keeps what filled a tensor, or a part of it, with the tensor whose memory that is."""
    owner, whole = target, name != PARTIAL
    while isinstance(base := owner.state.get(BASE), Tensor):
        same = owner.shape is not None and None not in owner.shape and owner.shape == base.shape
        whole = whole and (CUT in owner.state or same)
        owner = base
    frames = list(run.frames(at)) if at is not None else []
    place = next((frame for frame in frames if frame.user), None)
    library = bool(frames) and not frames[0].user
    made = Initialisation(name if whole else PARTIAL, given if whole else {}, place, library)
    run.write(owner.state, INITIALISED, (*owner.state.get(INITIALISED, ()), made))


def overwrite(run: Run, call: Call, target: Tensor, output: Output | None = None) -> Tensor:
    """The same tensor with the content that a call wrote into it; a trainable leaf stays what it is."""
    filled(run, target, call.native, _behind_the_target(call), call.at)
    if is_leaf_update(run, target):
        if run.grad_enabled and target.parameter:
            run.leaf_writes.append(run.frame(call.at))
        return target
    output = output or Output(target.dtype, target.shape)
    node = _node(run, call, output, inplace=True)
    run.tape.nodes[node].overwrote = target.node
    _link(run, call, node, passages.Made(0, output.dtype))
    run.write(target, "node", node)
    if target.state.get(NUMBERS):
        run.write(target.state, NUMBERS, None)
    if target.leaf:
        run.write(target, "leaf", False)
    spread(run, target, node, call.at)
    return target


def _behind_the_target(call: Call) -> dict[str, Any]:
    """The arguments of an in-place call behind the tensor that it writes into; None for one that is not known."""
    named = dict.fromkeys(call.given) | call.literals
    shifted = {str(int(key) - 1) if key.isdigit() else key: value for key, value in named.items()}
    return {key: value for key, value in shifted.items() if key != TARGET}


TARGET = "-1"


def is_leaf_update(run: Run, target: Tensor) -> bool:
    """A leaf that requires grad can only be written by an initialiser or an optimizer: it stays the same parameter."""
    return (target.parameter or target.leaf) and requires_grad(run, target) is not False


def spread(run: Run, written: Tensor, write: int, at: ast.AST | None) -> None:
    """Lets the tensors that share memory with a written one see the write."""
    seen = {id(written)}
    queue = list(_sharing(written))
    while queue:
        other = queue.pop()
        if id(other) in seen or is_leaf_update(run, other) or other.node == NO_NODE:
            continue
        seen.add(id(other))
        node = run.add(
            NodeKind.OP,
            run.tape.nodes[write].native,
            at,
            call=run.tape.nodes[write].call,
            inplace=True,
            dtype=other.dtype,
            shape=other.shape,
        )
        run.tape.nodes[node].overwrote = other.node
        run.tape.link(other.node, node)
        run.tape.link(write, node, *_unless_cut(other, written))
        raw = run.tape.nodes[node]
        raw.requires_grad = _any({run.tape.nodes[other.node].requires_grad, run.tape.nodes[write].requires_grad})
        run.write(other, "node", node)
        if other.state.get(NUMBERS):
            run.write(other.state, NUMBERS, None)
        queue.extend(_sharing(other))


def spread_node(run: Run, written: Tensor, node: int) -> None:
    """Gives all tensors that share memory with one the same node."""
    for other in _sharing(written):
        if not is_leaf_update(run, other) and other.node != NO_NODE:
            run.write(other, "node", node)


def _sharing(tensor: Tensor) -> Iterator[Tensor]:
    base = tensor.state.get(BASE)
    if isinstance(base, Tensor):
        yield base
    yield from tensor.state.get(VIEWS, ())


def _unless_cut(one: Tensor, other: Tensor) -> passages.Fact:
    """A write through `.data` or a detached view brings values, but no history."""
    cut = CUT in one.state or CUT in other.state
    return (Passage.BLOCKED, Reason.DETACH) if cut else passages.OPEN


CUT = " cut"
"""Marks a view that has no history of its own: `.data`, `.detach()`."""


def emit(run: Run, native: str, args: Arguments, at: ast.AST, output: Output) -> Tensor:
    """A call with one result."""
    return result(run, begin(run, native, args, at), output)


def outside(
    run: Run,
    native: str,
    read: Iterable[int],
    at: ast.AST,
    fact: passages.Fact,
    carrier: ValueKind,
    dtype: str | None = None,
) -> Tensor:
    """A value outside of torch (or one that comes back from there) with the same fact on every edge."""
    node = run.add(NodeKind.OP, native, at, call=run.tape.call(), value=carrier, dtype=dtype)
    for source in read:
        run.tape.link(source, node, *fact)
    run.tape.nodes[node].requires_grad = False if fact[0] is Passage.BLOCKED else None
    return Tensor(node, None, dtype, carrier)


def data(shape: Shape = None, dtype: str | None = None) -> Tensor:
    """A tensor that no op of the graph has made: it has no history."""
    return Tensor(NO_NODE, shape, dtype, leaf=True)
