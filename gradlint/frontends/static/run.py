"""The one explicit working state of an evaluation, and the services that all parts of the evaluator share.

Parts of the evaluator are functions that take the `Run` first and reach each other through it: `run.evaluate`,
`run.execute`, `run.call`, `run.get`, `run.iterate`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradlint.frame import Frame
from gradlint.frontends.static.heap import ITEMS, Heap, tick
from gradlint.frontends.static.language import attributes, branches, calls, expressions, iteration, statements, truth
from gradlint.frontends.static.record import emission, tensors_inside
from gradlint.frontends.static.record.tape import PHI, RawNode, Tape, frames_of
from gradlint.frontends.static.steps.training_state import TrainingState
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Choice,
    Class,
    Constant,
    Instance,
    Layer,
    Scope,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import NodeKind, Passage, Reason
from gradlint.training import Condition, Event

if TYPE_CHECKING:
    from gradlint.frontends.static.language.branches import Pending
    from gradlint.frontends.static.project import ModuleSource, Project

STEPS = 100_000
"""Expressions and statements that one program of a file may evaluate."""

STEPS_OF_FILE = 300_000
"""Expressions and statements that all programs of a file together may evaluate."""

NODES = 30_000
"""Values that one run may put on its tape."""


class ExhaustedError(Exception):
    """The budget of a run is spent."""


class RaisedError(Exception):
    """The program certainly raises here, or ends."""


@dataclass(slots=True, frozen=True)
class Gap:
    """Something that stayed unknown, and where."""

    frame: Frame | None
    why: str


@dataclass(slots=True, eq=False)
class Activation:
    """A running function, class body or module.

    `outer` is the activation that called it and `call` the expression there; `receiver` is the first argument and
    `owner` the class of a method (for `super()`); `returned` and `yielded` collect what it gives back.
    """

    scope: Scope
    name: str = ""
    outer: Activation | None = None
    call: ast.AST | None = None
    receiver: Value | None = None
    owner: Class | None = None
    node: ast.AST | None = None
    depth: int = 0
    returned: list[Value] = field(default_factory=list)
    yielded: list[Value] | None = None
    exact: bool = True
    on_yield: Any = None

    @property
    def module(self) -> ModuleSource:
        """The module whose text is running."""
        return self.scope.module

    def frame(self, at: ast.AST) -> Frame:
        """The position of an expression of this activation."""
        return self.scope.module.frame(at, self.name)


@dataclass(slots=True, eq=False)
class Switch:
    """One change of the grad mode, and the place that made it."""

    enabled: bool
    place: Frame | None


@dataclass(slots=True, eq=False)
class Loop:
    """A loop that is running: its place, the pass that it is in (from 0), and whether the number of passes is known.

    Of a `sampled` one a few passes stand for all; it began at `birth`.
    """

    place: Frame
    iteration: int = 0
    exact: bool = False
    sampled: bool = False
    birth: int = field(default_factory=tick)


@dataclass(slots=True, eq=False)
class Run:
    """The state of one evaluation; see the field groups below.

    `modules` are the modules whose forward is running (`Instance` or `Layer`, innermost last); `grad` the grad-mode
    switches; `loops` the loops that are running; `conditions` the number of conditions not known around us,
    `doubts` those that are tests with the branch that we are in, `training` what is known of training.
    `built` lists the modules in the order of their making, `called` and `places` the places of their calls (in the
    program that runs, and in all), `outputs` what each outermost call gave, `inputs` what it got, `leaves` the node of
    each tensor without a history, `optimized` the tensors that an optimizer was given, `frozen` the places that turned
    a tensor's gradient off, `kept` the node of what was put into an unknown plain value, all by the identity of the
    value (the values are kept alive by `keep`). `partly` are the
    modules of which some op may not have been read, `open` those of which some part may be read unseen, `odd` the
    functions that a decorator may have changed; `trying` counts the handlers around us that wait for arguments that do
    not fit, `patched` says that the program replaced something in a library.
    """

    project: Project
    tape: Tape = field(default_factory=Tape)
    heap: Heap = field(default_factory=Heap)
    activation: Activation = None  # type: ignore[assignment]
    modules: list[Instance | Layer] = field(default_factory=list)
    grad: list[Switch] = field(default_factory=lambda: [Switch(True, None)])
    loops: list[Loop] = field(default_factory=list)
    conditions: int = 0
    doubts: list[Condition] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    steps: int = 0
    spent: int = 0
    limit: int = 0
    scopes: dict[str, Scope] = field(default_factory=dict)
    built: dict[int, Instance | Layer] = field(default_factory=dict)
    makers: dict[int, Value | None] = field(default_factory=dict)
    called: dict[int, tuple[ast.AST, Activation]] = field(default_factory=dict)
    places: dict[int, tuple[ast.AST, Activation]] = field(default_factory=dict)
    outputs: dict[int, list[Value]] = field(default_factory=dict)
    inputs: dict[int, tuple[str, ...]] = field(default_factory=dict)
    leaves: dict[int, int] = field(default_factory=dict)
    optimized: dict[int, Tensor] = field(default_factory=dict)
    pointers: list[int] = field(default_factory=list)
    frozen: dict[int, Frame] = field(default_factory=dict)
    leaf_writes: list[Frame] = field(default_factory=list)
    declared: dict[int, dict[str, str]] = field(default_factory=dict)
    hooks: dict[int, list[tuple[bool, Value]]] = field(default_factory=dict)
    reparametrised: dict[int, list[tuple[str, str, list[Tensor], Tensor, Layer | None]]] = field(default_factory=dict)
    customs: dict[Any, Any] = field(default_factory=dict)
    training: TrainingState = field(default_factory=TrainingState)
    answers: dict[int, Value] = field(default_factory=dict)
    missing: set[tuple[str, str]] = field(default_factory=set)
    ran: set[int] = field(default_factory=set)
    executed: set[int] = field(default_factory=set)
    keep: list[Any] = field(default_factory=list)
    partly: set[int] = field(default_factory=set)
    kept: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    odd: set[int] = field(default_factory=set)
    trying: int = 0
    patched: bool = False

    # --- evaluation

    def evaluate(self, at: ast.expr) -> Value:
        """The value of an expression in the running activation."""
        self.steps += 1
        if self.steps > STEPS:
            raise ExhaustedError
        return expressions.HANDLERS[type(at)](self, at)

    def execute(self, body: Iterable[ast.stmt]) -> str | None:
        """Runs statements; what ended them early ("return", "break", "continue"), or None. Raises `RaisedError`."""
        for statement in body:
            self.steps += 1
            if self.steps > STEPS:
                raise ExhaustedError
            signal = statements.HANDLERS[type(statement)](self, statement)
            if signal:
                return signal
        return None

    def call(self, function: Value, arguments: Arguments, at: ast.AST) -> Value:
        """The result of calling anything; `at` is the call expression."""
        return calls.call(self, function, arguments, at)

    def get(self, value: Value, name: str, at: ast.AST) -> Value:
        """An attribute, by the rules of Python for the project's objects and by the vocabulary for a library's."""
        return attributes.get(self, value, name, at)

    def set(self, value: Value, name: str, content: Value, at: ast.AST) -> None:
        """Assigns an attribute."""
        attributes.assign(self, value, name, content, at)

    def iterate(self, value: Value, at: ast.AST) -> tuple[list[Value], bool]:
        """The items that iteration over a value gives, and whether these are all."""
        return iteration.iterate(self, value, at)

    def truth(self, value: Value) -> bool | None:
        """Whether a value counts as true; None where that is not known."""
        return truth.truth(self, value)

    # --- places

    def frame(self, at: ast.AST) -> Frame:
        """The position of an expression of the running function."""
        return self.activation.frame(at)

    def frames(self, at: ast.AST) -> tuple[Frame, ...]:
        """The frames that led to an expression, innermost first."""
        return frames_of(at, self.activation)

    # --- the grad mode

    @property
    def grad_enabled(self) -> bool:
        """Whether autograd records."""
        return self.grad[-1].enabled

    @property
    def grad_place(self) -> Frame | None:
        """The place that switched the grad mode off; None while it is on."""
        return None if self.grad[-1].enabled else self.grad[-1].place

    # --- writing

    def write(self, target: Any, key: Any, content: Any) -> None:
        """Changes an entry of a dict or list, or an attribute (by name) of a value, so that a branch can take it back.

        In use: `run.write(instance.attributes, "w", t)`, `run.write(sequence.items, 0, t)`, `run.write(t, "node", n)`.
        """
        if type(target) is list and key != ITEMS:
            content = [*target[:key], content, *target[key:][1:]]
            key = ITEMS
        self.heap.write(target, key, content)

    def extend(self, target: Sequence, items: Iterable[Value]) -> None:
        """Appends to a list, so that a branch can take it back. What other passes of a loop append stays unknown."""
        if target.exact and any(loop.sampled and target.birth < loop.birth for loop in self.loops):
            self.write(target, "exact", False)
        if self.heap.watchers:
            self.heap.write(target, "items", [*target.items, *items])
        else:
            target.items.extend(items)

    # --- the graph

    def add(self, kind: NodeKind, native: str, at: ast.AST | None, **facts: Any) -> int:
        """A new value on the tape, in the running function, module and grad mode; raises `ExhaustedError`.

        `facts` are further fields of `RawNode`: call, name, value, dtype, shape, literals, inplace.
        """
        if len(self.tape.nodes) - self.limit > NODES:
            raise ExhaustedError
        node = RawNode(kind, native, at, self.activation, **facts)
        node.owner = self.modules[-1] if self.modules else None
        if not self.grad[-1].enabled:
            node.grad_enabled, node.grad_frame = False, self.grad[-1].place
        return self.tape.add(node)

    def read(self, value: Value) -> int:
        """The node of a tensor, or of what stands for the tensors in a value; `NO_NODE` where there are none.

        A tensor without a node gets one: a leaf (parameter, buffer or constant).
        """
        if isinstance(value, Tensor):
            return value.node if value.node != NO_NODE else self._leaf(value)
        if isinstance(value, Unknown):
            return value.node
        nodes = self.nodes_in(value)
        return nodes[0] if len(nodes) == 1 else self._phi(nodes) if nodes else NO_NODE

    def _leaf(self, tensor: Tensor) -> int:
        kind = NodeKind.PARAMETER if tensor.parameter else NodeKind.CONSTANT
        node = RawNode(kind, "", None, None, value=tensor.carrier, dtype=tensor.dtype, shape=tensor.shape)
        tensor.node = self.tape.add(node)
        self.leaves[id(tensor)] = tensor.node
        self.keep.append(tensor)
        return tensor.node

    def _phi(self, nodes: Iterable[int]) -> int:
        return self.linked(NodeKind.OP, PHI, nodes, None, Passage.FLOWS)

    def linked(
        self,
        kind: NodeKind,
        native: str,
        sources: Iterable[int],
        at: ast.AST | None,
        passage: Passage,
        reason: Reason | None = None,
    ) -> int:
        """A new value with the same kind of edge from every source."""
        node = self.add(kind, native, at, call=self.tape.call())
        for source in sources:
            self.tape.link(source, node, passage, reason)
        return node

    def tensors_in(self, value: Any) -> list[Tensor | Unknown]:
        """All tensors (and unknown values that stand for some) inside of a value: containers, objects, modules."""
        return tensors_inside.collect(self, value)

    def nodes_in(self, value: Any) -> list[int]:
        """The nodes of `tensors_in`, each once."""
        return list(dict.fromkeys(node for t in self.tensors_in(value) if (node := self.read(t)) != NO_NODE))

    def opaque(self, why: str, inputs: Iterable[Value], at: ast.AST | None, name: str = "") -> Unknown:
        """What an unreadable call gives: anything, computed from any of the tensors inside of its inputs."""
        given = tuple(inputs)
        sources = self.nodes_in(given)
        self.gap(at, why)
        for value in self.tensors_in(given):
            if isinstance(value, Tensor) and value.leaf:
                emission.filled(self, value, "opaque", {}, at)
        if not sources:
            return Unknown(why)
        self.doubt()
        return Unknown(why, self.linked(NodeKind.OPAQUE, name or "opaque", sources, at, Passage.UNKNOWN, Reason.OPAQUE))

    def join(self, values: Iterable[Value]) -> Value:
        """One value that stands for several alternatives."""
        return branches.join(self, values)

    def settled(self, value: Value) -> Value:
        """A choice among tensors (None aside) as one tensor; anything else as it is."""
        return branches.settled(self, value) if isinstance(value, Choice) else value

    # --- what is known

    def constant(self, value: Value | None, default: Any = None) -> Any:
        """The Python value of a constant, of a sequence or a dict of constants; the default where it is not known."""
        return truth.constant(value, default)

    def gap(self, at: ast.AST | None, why: str) -> None:
        """Notes that something stayed unknown."""
        self.gaps.append(Gap(self.frame(at) if at is not None and self.activation else None, why))

    def doubt(self) -> None:
        """Notes that the modules that are running may compute more than was read."""
        if self.modules:
            self.partly.update(map(id, self.modules))

    def module_parameters(self, value: Value) -> dict[str, Tensor]:
        """The parameters of a module by their dotted names, in the order of `named_parameters()`, each tensor once."""
        return dict(tensors_inside.named_parameters(value))

    def submodules(self, value: Value) -> Iterator[tuple[str, Instance | Layer]]:
        """A module and all modules inside of it by their dotted names, each once, as `named_modules()`."""
        return tensors_inside.named_modules(value)

    def is_module(self, value: Value) -> bool:
        """Whether a value is an `nn.Module` of any kind."""
        return tensors_inside.is_module(value)

    def size(self, value: Value | None) -> int | None:
        """A constant integer, else None."""
        found = self.constant(value)
        return found if type(found) is int else None


def symbol(kind: str = "") -> Symbol:
    """A plain value of a type."""
    return Symbol(kind)


NONE = Constant(None)
