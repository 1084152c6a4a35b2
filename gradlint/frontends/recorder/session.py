"""One target in, one recording out: what runs inside the worker's child."""

from __future__ import annotations

import ast
import contextlib
import gc
import math
import pathlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
import torch.utils.checkpoint  # before its functions are spared the compiler
from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder import (
    autograd,
    custom,
    describing,
    facts,
    hidden,
    lightweight,
    patches,
    rewrite,
    zeros,
)
from gradlint.frontends.recorder.calls import Call
from gradlint.frontends.recorder.frames import is_library
from gradlint.frontends.recorder.loading import load_with
from gradlint.frontends.recorder.mode import Recorder
from gradlint.frontends.recorder.modules import Modules, watched
from gradlint.frontends.recorder.monitor import GradientMonitor
from gradlint.frontends.recorder.standins import StandIns
from gradlint.frontends.recorder.tape import Tape
from gradlint.frontends.recorder.tensors import tensors_in
from gradlint.graph import Model, NodeKind
from gradlint.recording import Recording
from gradlint.training import TrainingStep

lightweight.spare_compiler()


@dataclass(slots=True)
class Session:
    """The state of one recording: everything that happens in it goes on one tape.

    `compiled` and `exported` say that the program compiles and exports; `calls` are the first calls of the
    models, where they are kept, and `judged` the identities of the modules behind the models by name. `projections` is
    the number of backward passes, each from a fresh random projection of the outputs, by which gradients are measured:
    one tells which parameters get a gradient, more of them how large it is.
    """

    bytes_allowed: float = math.inf
    tape: Tape = field(default_factory=Tape)
    modules: Modules = field(default_factory=Modules)
    recorder: Recorder = field(init=False)
    monitor: GradientMonitor = field(init=False)
    asides: dict[int, list[hidden.Aside]] = field(default_factory=dict)
    outputs: dict[int, list[int]] = field(default_factory=dict)
    inputs: dict[int, tuple[str, ...]] = field(default_factory=dict)
    keeps_calls: bool = False
    compiled: bool = False
    exported: bool = False
    projections: int = 1
    calls: dict[int, Call] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        autograd.new_epoch()
        self.recorder = Recorder(self.tape, self.modules.owner, self.bytes_allowed)
        self.monitor = GradientMonitor(self.recorder, self.modules)
        self.modules.first_call = self._first_call
        self.modules.returned = self._returned

    def _first_call(self, root: nn.Module, inputs: Any, options: dict[str, Any]) -> None:
        if self.keeps_calls:
            self.calls.setdefault(id(root), Call(root, tuple(inputs), dict(options)))
        with torch._C.DisableTorchFunction():
            self.inputs.setdefault(id(root), tuple(map(describing.signature, tensors_in(inputs))))
            self.asides.setdefault(id(root), list(hidden.aside(root, self.modules)))
            self.monitor.weigh(root)

    def _returned(self, root: nn.Module, output: Any) -> None:
        with torch._C.DisableTorchFunction():
            nodes = [self.recorder.node_of(tensor) for tensor in outputs_of(output)]
        self.outputs.setdefault(id(root), []).extend(nodes)

    def built_fits(self) -> bool:
        """Whether the models that were built would fit into memory with real weights."""
        sizes = {id(p): p.numel() * p.element_size() for p in self.monitor.parameters()}
        return sum(sizes.values()) <= self.bytes_allowed

    def forget(self) -> None:
        """Drops the modules and failures of an attempt that came to nothing."""
        self.modules.built.clear()
        self.monitor.events.clear()

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """While this is entered, everything is written down."""
        rewrite.route(self.recorder)
        with lightweight.eager(), patches.installed(self.recorder), watched(self.modules), self.recorder:
            yield


def outputs_of(value: Any, depth: int = 6) -> list[torch.Tensor]:
    """The tensors of a forward's result: in tuples, dicts, dataclasses and distributions too."""
    if isinstance(value, torch.Tensor):
        return [value]
    if not depth or value is None or isinstance(value, (str, bytes, int, float, nn.Module)):
        return []
    if isinstance(value, dict):
        items: Any = value.values()
    elif isinstance(value, (list, tuple, set)):
        items = value
    else:
        items = getattr(value, "__dict__", {}).values()
    return [tensor for item in items for tensor in outputs_of(item, depth - 1)]


def finished(session: Session, models: Sequence[Model]) -> Recording:
    """The recording of a session, decoded."""
    owners = module_names(session)
    zeros.settle(session.tape)
    return Recording(
        nodes=session.tape.decoded_nodes(facts.canonical, owners),
        edges=session.tape.decoded_edges(),
        models=tuple(models),
        training=TrainingStep(tuple(session.monitor.events)),
    )


def module_names(session: Session) -> Any:
    """A function from the identity of a module to its dotted name in the model around it."""
    names: dict[int | None, str] = {}
    for root in (*session.modules.started.values(), *session.modules.roots()):
        for name, part in root.named_modules():
            if name or id(part) not in names:
                names[id(part)] = name
    return lambda owner: names.get(owner, "")


def import_file(session: Session, path: pathlib.Path, absent: StandIns) -> tuple[ModuleType, ast.Module]:
    """The user's file, imported under the recorder; `TargetError` with the line that failed."""
    try:
        with session.recording():
            return load_with(absent, path)
    except (Exception, SystemExit) as problem:
        raise TargetError(f"the file cannot be imported: {told(problem)}") from problem


def told(problem: BaseException) -> str:
    """An exception in one line, with the user's own line where it came from."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = next((f for f in reversed(frames) if not is_library(f.filename) and "/gradlint/" not in f.filename), None)
    text = " ".join(f"{type(problem).__name__}: {problem}".split())[:300]
    return f"{text} (line {place.lineno})" if place else text


def model_of(
    session: Session,
    root: nn.Module,
    name: str,
    default_path: str,
    *,
    targets: Sequence[int],
    reach_at: str,
    judged: bool,
    trained: bool,
    line: int | None = None,
) -> Model:
    """A live module, after its run, as the graph's model."""
    session.judged[name] = id(root)
    asides = [*session.asides.get(id(root), []), *hidden.made_inside(root, session.recorder.made_inside)]
    return Model(
        name=name,
        path=describing.path_of(root, default_path),
        line=line or describing.place_of(type(root)),
        capture="recorded",
        inputs=session.inputs.get(id(root), ()),
        reach_at=reach_at,
        parameters=describing.parameters(root, session.monitor, judged, reach_at == "loss"),
        hidden=tuple(hidden.described(found, session.tape, session.monitor.optimized) for found in asides),
        functions=tuple(custom.checks(session.recorder.customs, session.tape)),
        outputs=tuple(session.outputs.get(id(root), ())),
        calls=describing.calls(root, session.modules),
        built=describing.built(root, session.modules),
        targets=tuple(targets),
        trained=trained,
        compiled=session.compiled,
    )


def probe(session: Session, outputs: Sequence[torch.Tensor]) -> list[int]:
    """A backward pass from a random projection of every floating output; the nodes of these outputs."""
    floating = [tensor for tensor in outputs if tensor.is_floating_point()]
    nodes = [session.recorder.node_of(tensor) for tensor in floating]
    wanted = [tensor for tensor in floating if tensor.requires_grad]
    session.monitor.before_backward((), None, False)
    error: BaseException | None = None
    again = session.projections - 1 if not any(tensor.is_meta for tensor in wanted) else 0
    if wanted:
        try:
            _project(wanted, keep=again > 0)
        except RuntimeError as problem:
            error = problem
    session.monitor.after_backward((), None, error)
    if wanted and error is None:
        _measure_again(session, wanted, again)
    gc.collect(0)
    return nodes


def _project(outputs: Sequence[torch.Tensor], keep: bool) -> None:
    torch.autograd.backward([(tensor * torch.randn_like(tensor)).sum() for tensor in outputs], retain_graph=keep)


def _measure_again(session: Session, outputs: Sequence[torch.Tensor], times: int) -> None:
    """More backward passes through the same graph; a graph that some op allows to be walked but once ends it."""
    with contextlib.suppress(RuntimeError):
        for left in reversed(range(times)):
            session.monitor.clear()
            _project(outputs, keep=left > 0)
            session.monitor.measure_again()


def mark_inputs(session: Session, args: Sequence[Any], options: dict[str, Any]) -> None:
    """Gives the inputs of a forward their nodes."""
    for position, tensor in enumerate(tensors_in((*args, *options.values()))):
        session.recorder.adopt(tensor, NodeKind.INPUT, str(position))
