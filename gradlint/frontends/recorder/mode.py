"""The recorder itself: a torch function mode that writes each value, op, frame and gradient fact of a run on a tape."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradlint.errors import GradlintError
from gradlint.frontends.recorder import autograd, escapes, facts, gauge, gradmode
from gradlint.frontends.recorder.devices import MOVES, on_cpu
from gradlint.frontends.recorder.fills import Fill, Fills
from gradlint.frontends.recorder.frames import RawFrames, take
from gradlint.frontends.recorder.natives import INITIALISERS, SETTER, is_housekeeping, is_silent, is_write, native_name
from gradlint.frontends.recorder.taint import NESTING, Origin, origins, tracked
from gradlint.frontends.recorder.tape import RawNode, Tape
from gradlint.frontends.recorder.tensors import located, storage_key, tensors_in
from gradlint.graph import NodeKind, Passage, Reason

Handler = Callable[["Recorder", str, Any, tuple[Any, ...], dict[str, Any], FrameType], Any]


@dataclass(frozen=True, slots=True)
class CustomCalls:
    """The applications of a custom autograd function: the arguments and the place of the first one, and of each the
    nodes that it read, in the order of its tensors, with the node that it made."""

    args: tuple[Any, ...]
    frames: RawFrames
    links: list[tuple[tuple[int, ...], int]] = field(default_factory=list)


class TooLargeError(GradlintError):
    """The parameters take more memory than the run may use."""


class Recorder(TorchFunctionMode):
    """Records every call on tensors while it is entered.

    `owner` names the module that is running, `grad` watches the grad mode, `tape` receives nodes and edges. `branch` is
    the truth of a tensor without storage.
    """

    def __init__(self, tape: Tape, owner: Callable[[], int | None], bytes_allowed: float = math.inf) -> None:
        super().__init__()
        self.tape = tape
        self.owner = owner
        self.bytes_allowed = bytes_allowed
        self.bytes_built = 0
        self.branch = True
        self.grad = gradmode.GradMode()
        self.fills = Fills()
        self.writes: dict[int, int] = {}
        self.aliased: set[int | None] = set()
        self.pointers: list[int] = []
        self.depth = 0
        self.made_inside: list[torch.nn.Parameter] = []
        self.customs: dict[type, CustomCalls] = {}
        self.faults: list[tuple[BaseException, tuple[Any, ...], str]] = []

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        name = native_name(function)
        frame = sys._getframe(1)
        if name == "_set_grad_enabled":
            self.grad.switch(bool(args[0] if args else options.get("arg")), frame)
            return function(*args, **options)
        if is_silent(name) or is_housekeeping(frame.f_code.co_filename):
            if is_write(name) and frame.f_code.co_filename.endswith(INITIALISERS):
                self.fills.note(args[0], (name, args[1:], options, take(frame)))
            return function(*args, **options)
        if "device" in options or name in MOVES:
            function, args, options = on_cpu(name, function, args, options)
        if name == "type" and len(args) == 1 and not options:
            return function(*args, **options)
        special = escapes.HANDLERS.get(name)
        if special is not None:
            return special(self, name, function, args, options, frame)
        if name.startswith(SETTER):
            return function(*args, **options)
        return self.record(function, name, args, options, frame)

    def __enter__(self) -> Recorder:
        self.depth += 1
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        self.depth -= 1
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def weigh(self, parameter: torch.Tensor) -> None:
        """Counts the memory of a new parameter; raises `TooLargeError` when all of them take more than is allowed."""
        if parameter.device.type != "meta":
            self.bytes_built += parameter.numel() * parameter.element_size()
            if self.bytes_built > self.bytes_allowed:
                raise TooLargeError("the parameters do not fit into the memory limit")

    def filled(self, tensor: torch.Tensor, fill: Fill, frame: FrameType) -> None:
        """An initialiser filled a tensor; one that was computed and is no parameter's memory gets a new node."""
        self.fills.note(tensor, fill)
        found = autograd.marked(tensor)
        if self.listening() and found is not None and self.is_computed(found[0]) and not self.fills.is_owned(tensor):
            self.tape.link(found[0], self.adopt_version(tensor, fill[0], frame))

    def listening(self) -> bool:
        """Whether calls are being recorded here and now: the mode is entered and not inside of a recorded call."""
        return self.depth > 0 and _active(self)

    def number(self, tensor: torch.Tensor, kind: type, frame: FrameType, name: str = "") -> Any:
        """A tensor read as a Python number that remembers where it came from."""
        with torch._C.DisableTorchFunction():
            value = escapes.leave(self, name or f"__{kind.__name__}__", kind, (tensor,), {}, frame)
        return tracked(value, frozenset({len(self.tape.nodes) - 1}))

    def as_arrays(self, value: Any, frame: FrameType, depth: int = NESTING) -> Any:
        """Arguments with every tensor in them turned into an array that remembers where it came from."""
        if isinstance(value, torch.Tensor):
            with torch._C.DisableTorchFunction():
                return escapes.leave(self, "__array__", torch.Tensor.__array__, (value,), {}, frame)
        if depth and type(value) in (list, tuple):
            return type(value)(self.as_arrays(item, frame, depth - 1) for item in value)
        return value

    def record(
        self,
        function: Any,
        name: str,
        args: tuple[Any, ...],
        options: dict[str, Any],
        frame: FrameType,
        custom: type | None = None,
    ) -> Any:
        """Runs one call and writes it down; `custom` is the class of a user's autograd function."""
        tensors, places = located(args, options)
        sources = [self.node_of(tensor) for tensor in tensors]
        versions = [autograd.version(tensor) for tensor in tensors]
        leaves = {
            id(t): node
            for t, node in zip(tensors, sources, strict=True)
            if autograd.history(t) is None and t.requires_grad
        }
        wanted = [tensor.requires_grad for tensor in tensors]
        curve = self._curve(name, function, args, options, sources) if gauge.is_curve(name) else None
        try:
            result = function(*args, **options)
        except RuntimeError as error:
            self.faults.append((error, take(frame), name))
            raise
        written = [t for t, before in zip(tensors, versions, strict=True) if autograd.version(t) != before]
        if is_write(name) and tensors and tensors[0].is_inference():
            written = tensors[:1]
        made = [t for t in tensors_in((result,)) if not any(t is source for source in tensors)]
        if not made and not written:
            return result
        self.fills.made(made, name, args, options, frame, tensors)
        for tensor in written:
            self.fills.note(tensor, (name, args[1:], options, take(frame)))
        if name == "get:data" and not _is_leaf_update(tensors[0]):
            self.aliased.add(storage_key(tensors[0]))
        call = self.tape.call()
        reads = facts.Reads(
            name,
            tensors,
            places,
            sources,
            wanted,
            origins((*args, *options.values())),
            facts.is_constant(name, args, options),
        )
        for position, tensor in enumerate([*made, *(t for t in written if not _is_leaf_update(t))]):
            node = self._new(tensor, name, call, frame, args, options, inplace=position >= len(made))
            self._link(node, tensor, position, reads, leaves)
            if position >= len(made):
                self._written(tensor, node)
                self._refilled(tensor, node)
            autograd.mark(tensor, node)
            self._gauge(tensor, node, curve)
            if custom is not None:
                self.customs.setdefault(custom, CustomCalls(args, take(frame))).links.append((tuple(sources), node))
        for tensor in written:
            if _is_leaf_update(tensor):
                _remark(tensor)
        return result

    def _new(
        self,
        tensor: torch.Tensor,
        name: str,
        call: int,
        frame: FrameType,
        args: tuple[Any, ...],
        options: dict[str, Any],
        inplace: bool,
    ) -> int:
        enabled = torch.is_grad_enabled()
        return self.tape.add(
            RawNode(
                kind=NodeKind.OP,
                native=name,
                call=call,
                owner=self.owner(),
                frames=take(frame),
                dtype=facts.dtype_name(tensor.dtype),
                shape=facts.shape_of(tensor),
                literals=facts.literals(args, options),
                grad_enabled=enabled,
                grad_frame=None if enabled else self.grad.place,
                inplace=inplace,
                requires_grad=tensor.requires_grad,
            )
        )

    def _curve(
        self, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], sources: list[int]
    ) -> gauge.Curve | None:
        """What tells the dead units of an activation, to be asked before its input is written."""
        tensor = args[0] if args else None
        if not isinstance(tensor, torch.Tensor) or not tensor.dim():
            return None
        axis = gauge.feature_axis(self._natives_before(sources[:1]), tensor.shape)
        return gauge.curve(name, function, args, options, axis)

    def _natives_before(self, sources: list[int]) -> list[str]:
        names: list[str] = []
        while sources and len(names) < gauge.NEAR:
            names.append(self.tape.nodes[sources[0]].native)
            sources = self.tape.sources.get(sources[0], [])
        return names

    def _gauge(self, tensor: torch.Tensor, node: int, curve: gauge.Curve | None) -> None:
        """Measures a value of a forward pass or of what follows from one."""
        if self.owner() is None and not tensor.requires_grad:
            return
        reading = self.tape.nodes[node].reading = gauge.read(tensor)
        if reading is not None and curve is not None:
            reading.dead, reading.saturated = curve.dead, curve.saturated

    def _link(self, node: int, tensor: torch.Tensor, position: int, reads: facts.Reads, leaves: dict[int, int]) -> None:
        """Draws the edges from everything that a call read to one value that it made."""
        reached = autograd.arrivals(tensor, leaves) if tensor.requires_grad else set()
        for source, passage, reason in facts.passages(reads, tensor, position, reached):
            self.tape.link(source, node, passage, reason)
        for source in reached - set(reads.sources):
            self.tape.link(source, node)

    def _refilled(self, tensor: torch.Tensor, node: int) -> None:
        """Ties a copy of a parameter that an initialiser filled, outside of any forward pass, to what it was before."""
        found = autograd.marked(tensor)
        apart = self.owner() is None and node not in self.tape.sources and not self.fills.is_owned(tensor)
        if apart and found is not None and self.is_computed(found[0]):
            self.tape.link(found[0], node, Passage.BLOCKED, Reason.NON_DIFFERENTIABLE)

    def _written(self, tensor: torch.Tensor, node: int) -> None:
        key = storage_key(tensor)
        if key is not None:
            self.writes[key] = node

    def node_of(self, tensor: torch.Tensor) -> int:
        """The node of a tensor's present content; a new one for a tensor never seen or changed unseen."""
        found = autograd.marked(tensor)
        if found is None:
            return self.adopt(tensor)
        node, fresh = found
        if self.aliased and (key := storage_key(tensor)) in self.aliased and self.writes.get(key or 0, -1) > node:
            return self._refresh(tensor, node)
        return node if fresh else self._refresh(tensor, node)

    def adopt(self, tensor: torch.Tensor, kind: NodeKind = NodeKind.CONSTANT, name: str = "") -> int:
        """A node for a tensor that no recorded call made, linked through autograd where it has a history."""
        node = self.tape.add(
            RawNode(
                kind=kind if autograd.history(tensor) is None else NodeKind.OPAQUE,
                native="",
                name=name,
                owner=self.owner(),
                dtype=facts.dtype_name(tensor.dtype),
                shape=facts.shape_of(tensor),
                requires_grad=tensor.requires_grad,
            )
        )
        for source in autograd.arrivals(tensor, {}) if autograd.history(tensor) is not None else ():
            self.tape.link(source, node)
        autograd.mark(tensor, node)
        if kind is NodeKind.INPUT or (self.owner() is not None and not _is_leaf_update(tensor)):
            self.tape.nodes[node].reading = gauge.read(tensor)
        return node

    def adopt_version(self, tensor: torch.Tensor, name: str, frame: FrameType) -> int:
        """A new node for a tensor whose content or gradient was changed by a call; the caller draws its edges."""
        node = self._new(tensor, name, self.tape.call(), frame, (), {}, inplace=True)
        autograd.mark(tensor, node)
        return node

    def is_result(self, data: torch.Tensor, parameter: torch.Tensor) -> bool:
        """Whether a new parameter takes over a value that a model computed or learns, outside of any constructor."""
        if autograd.history(data) is not None:
            return True
        found = autograd.marked(data)
        learnt = data.requires_grad and self.owner() is not None
        if found is None or not (learnt or self.is_computed(found[0])):
            return False
        return not any(code.co_name == "__init__" for code, _ in escapes.made_at(parameter))

    def is_computed(self, node: int) -> bool:
        """Whether a value was computed by a call (a cut-off result), rather than handed in."""
        return self.tape.nodes[node].kind is NodeKind.OP and node in self.tape.sources

    def _refresh(self, tensor: torch.Tensor, old: int) -> int:
        """A new node for a value that was written through a view; a leaf keeps its node."""
        if _is_leaf_update(tensor):
            _remark(tensor)
            return old
        node = self.adopt(tensor, NodeKind.OPAQUE)
        self.tape.nodes[node].native = "copy_slices"
        self.tape.link(old, node, *_unless(tensor.requires_grad, self.tape.nodes[old].requires_grad))
        key = storage_key(tensor)
        write = self.writes.get(key) if key is not None else None
        if write is not None and write < node:
            self.tape.nodes[node].frames = self.tape.nodes[write].frames
            self.tape.nodes[node].native = self.tape.nodes[write].native
            self.tape.link(write, node, *_unless(tensor.requires_grad, self.tape.nodes[write].requires_grad))
        return node

    def foreign(
        self,
        name: str,
        frame: FrameType,
        made: torch.Tensor,
        origin: Origin,
        tensors: Iterable[torch.Tensor],
        masked: bool = False,
        of_type: str = "",
    ) -> None:
        """Writes down a tensor that was built outside of torch's functions from tracked numbers or from tensors.

        `masked` says that the new tensor was told to require a gradient, which hides the cut behind it; `of_type` is
        the type of the array that it was built from.
        """
        sources = [self.node_of(tensor) for tensor in tensors]
        said = {facts.OF_TYPE: of_type} if of_type else {}
        node = self._new(made, name, self.tape.call(), frame, (), said, inplace=False)
        computed = any(self.is_computed(source) for source in (*sources, *origin))
        cut = Reason.MASKED if masked and computed else facts.rewrap_reason(name)
        for source in sources:
            self.tape.link(source, node, Passage.BLOCKED, cut or Reason.REWRAP)
        for source in origin:
            self.tape.link(source, node, *((Passage.BLOCKED, cut) if cut else ()))
        autograd.mark(made, node)


def _active(mode: TorchFunctionMode) -> bool:
    """Whether a mode is on torch's stack of modes (it is taken off while one of its calls runs)."""
    stack = torch.overrides._get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return any(active is mode for active in stack)


def _unless(result: bool, source: bool) -> tuple[Passage, Reason | None]:
    """An edge of an unseen write is open unless the source wanted a gradient and the result has none."""
    return (Passage.BLOCKED, Reason.DETACH) if source and not result else (Passage.FLOWS, None)


def _is_leaf_update(tensor: torch.Tensor) -> bool:
    """A leaf that requires grad can only be written by an initialiser or an optimizer: it stays the same parameter."""
    return tensor.requires_grad and autograd.history(tensor) is None


def _remark(tensor: torch.Tensor) -> None:
    found = autograd.marked(tensor)
    if found is not None:
        autograd.mark(tensor, found[0])
