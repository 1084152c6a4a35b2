"""How the models of each kind of target are found, built, fed and run."""

from __future__ import annotations

import ast
import contextlib
import gc
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import nn

from gradlint.errors import GradlintError, TargetError
from gradlint.finding import Failure
from gradlint.frontends.compilers import compiles, exports
from gradlint.frontends.recorder import patches
from gradlint.frontends.recorder import session as sessions
from gradlint.frontends.recorder.alarms import alarm
from gradlint.frontends.recorder.feeding import hub
from gradlint.frontends.recorder.feeding.construct import assemble, constructions, rebuild
from gradlint.frontends.recorder.feeding.examples import shown
from gradlint.frontends.recorder.feeding.feed import Feed, feed
from gradlint.frontends.recorder.feeding.roots import Target, named_target, root_targets
from gradlint.frontends.recorder.feeding.trial import seeded
from gradlint.frontends.recorder.loading import project, project_root
from gradlint.frontends.recorder.mode import TooLargeError
from gradlint.frontends.recorder.modules import holds_weights
from gradlint.frontends.recorder.replaying.replay import ReplayResult, replay
from gradlint.frontends.recorder.session import Session
from gradlint.frontends.recorder.storageless import Storageless
from gradlint.frontends.recorder.unready import MISSPELT, unready
from gradlint.graph import Hidden, Model
from gradlint.inputs import parse_inputs

DEFAULT_SECONDS = 60.0
ALWAYS, NEVER = "always", "never"
FEEDING_SHARE = 0.85
"""Share of a target's time after which no further model is tried: a late result is better than a killed one."""

REPLAY_SHARE = 0.4
"""Share of a target's time that its own training step may take."""

SHORTAGES = ("can't allocate memory", "do not fit into the memory limit")


def capture_file(session: Session, job: dict[str, Any], failures: list[Failure]) -> Iterator[Model]:
    """The models of a Python file: those that its own training step trains, then the others."""
    path = pathlib.Path(job["path"])
    deadline = time.monotonic() + FEEDING_SHARE * job.get("seconds", DEFAULT_SECONDS)
    with project(project_root(path)) as absent:
        module, tree = sessions.import_file(session, path, absent)
        _note_compilers(session, job, path.read_text(errors="replace"), tree)
        found = _selected(job, tree, module)
        trained = _trained(session, module, tree, job)
        yield from trained
        done = {model.name for model in trained}
        for target in found:
            if target.name not in done and not _has_run(session, target):
                with timed(target.name, deadline - time.monotonic()):
                    yield from _fed(session, target, tree, module, job, failures)


def _note_compilers(session: Session, job: dict[str, Any], text: str, tree: ast.Module | None) -> None:
    """Notes whether the program, where there is one, or the run that was asked for compiles and exports its models."""
    asked = job.get("compile") == ALWAYS
    session.compiled = asked or (tree is not None and compiles(text, tree))
    session.exported = asked or (tree is not None and exports(text, tree))
    session.keeps_calls = job.get("compile", NEVER) != NEVER and session.compiled


@contextlib.contextmanager
def timed(name: str, seconds: float) -> Iterator[None]:
    """Raises `TargetError` in the block when it takes longer."""

    def ring() -> None:
        raise TargetError(f"{name}: it was not built and fed in time: add `gradlint_inputs()`, or --timeout SECONDS")

    if seconds <= 0:
        ring()
    with alarm(seconds, ring):
        yield


def _has_run(session: Session, target: Target) -> bool:
    """Whether a factory built one of the models that took part in the training step."""
    code = getattr(target.object, "__code__", None)
    return code is not None and any(
        code is frame for built in session.modules.built.values() for frame, _ in built.frames
    )


def _selected(job: dict[str, Any], tree: ast.Module, module: ModuleType) -> list[Target]:
    symbol = job.get("symbol")
    if not symbol:
        return root_targets(tree, module)
    target = named_target(symbol.removesuffix("()"), tree, module)
    if target is None:
        raise TargetError(f'the file has no class or function named "{symbol}"')
    return [target]


def _trained(session: Session, module: ModuleType, tree: ast.Module, job: dict[str, Any]) -> list[Model]:
    """The models that took part in the file's own training step, judged at its loss."""
    with session.recording():
        result = replay(module, tree, session.monitor, REPLAY_SHARE * job.get("seconds", DEFAULT_SECONDS))
    session.monitor.settle()
    if result.error is not None:
        session.monitor.forward_failed(result.error)
    if not _judged(session, result):
        return []
    losses = tuple(session.monitor.losses)
    wanted = (job.get("symbol") or "").removesuffix("()")
    seen = session.monitor.optimizers > 0
    return [
        sessions.model_of(
            session, root, type(root).__name__, job["path"], targets=losses, reach_at="loss", judged=True, trained=seen
        )
        for root in _one_a_class(session)
        if wanted in ("", type(root).__name__)
    ]


def _judged(session: Session, result: ReplayResult) -> bool:
    return bool(result.backward_calls) or bool(session.monitor.events and result.status == "backward-error")


def _one_a_class(session: Session) -> list[nn.Module]:
    """The user's models that ran; of several instances of a class the one that is trained."""
    chosen: dict[str, nn.Module] = {}
    for root in session.modules.roots():
        name = type(root).__name__
        if _ran(session, root) and (
            name not in chosen or _optimized(session, chosen[name]) < _optimized(session, root)
        ):
            chosen[name] = root
    return list(chosen.values())


def _ran(session: Session, root: nn.Module) -> bool:
    parts = {id(part) for part in root.modules()}
    return any(called in parts for called in session.modules.started) or any(
        id(parameter) in session.monitor.arrived for parameter in root.parameters()
    )


def _optimized(session: Session, root: nn.Module) -> int:
    return sum(id(parameter) in session.monitor.optimized for parameter in root.parameters())


def _fed(
    session: Session, target: Target, tree: ast.Module, module: ModuleType, job: dict[str, Any], failures: list[Failure]
) -> Iterator[Model]:
    """One model, built and fed, judged at its outputs."""
    if fault := _unready(target):
        yield Model(target.name, job["path"], target.line, "none", hidden=(fault,), complete=False, closed=False)
        return
    try:
        if not _learns(target, tree, module):
            return
        try:
            model, fed = _built(session, target, tree, module, job)
            yield run(session, model, fed, _name_of(target, model), job, line=target.line)
        except Exception as problem:
            if not _is_shortage(problem):
                raise
            gc.collect()
            with torch.device("meta"):
                model, fed = _built(session, target, tree, module, job)
                yield run(session, model, fed, _name_of(target, model), job, line=target.line)
    except GradlintError as problem:
        message = f"{target.name}: {problem}"
        failures.append(Failure(path=job["path"], code="GL003", message=message, line=target.line))


def _unready(target: Target) -> Hidden | None:
    """The fault of a class whose constructor registers nothing, proved by a try to build it."""
    found = unready(target.object) if isinstance(target.object, type) else None
    if found is None or found.holder == MISSPELT:
        return found
    try:
        target.object()
    except AttributeError as problem:
        return found if BEFORE in str(problem) else None
    except Exception:
        return None
    return None


BEFORE = "before Module.__init__() call"


def _learns(target: Target, tree: ast.Module, module: ModuleType) -> bool:
    """Whether a class or factory makes something with weights; true when it cannot be built."""
    try:
        with torch.device("meta"), Storageless():
            first = next(iter(constructions(target, shown(tree, module), module, None)), None)
    except GradlintError:
        return True
    return first is None or holds_weights(first[0])


def _built(
    session: Session, target: Target, tree: ast.Module, module: ModuleType, job: dict[str, Any]
) -> tuple[nn.Module, Feed]:
    """A model and its inputs, on the device of the context."""
    setting = job.get("model") or {}
    seen, inputs = shown(tree, module), parse_inputs(job.get("inputs", ()))

    with Storageless(), patches.weighed(session.recorder):
        _, plan, fed = assemble(target, seen, module, setting, inputs)
    with session.recording():
        model = rebuild(target, plan, module)
    return model.train(setting.get("mode") != "eval"), fed


def _is_shortage(problem: BaseException | None) -> bool:
    """Whether a failure, or what caused it, is a lack of memory."""
    while problem is not None:
        if isinstance(problem, (TooLargeError, MemoryError)) or any(text in str(problem) for text in SHORTAGES):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def _name_of(target: Target, model: nn.Module) -> str:
    """The class's name; of a model that a factory made, that of the class it made."""
    return target.name if target.kind == "class" else type(model).__name__


def run(
    session: Session,
    model: nn.Module,
    fed: Feed,
    name: str,
    job: dict[str, Any],
    line: int | None = None,
    trained: bool = False,
) -> Model:
    """One forward and one backward pass of a built model."""
    session.inputs[id(model)] = fed.description
    session.modules.built.setdefault(id(model), _unseen(model))
    before = len(session.monitor.events)
    outputs: list[torch.Tensor] = []
    _settle_shapes(session, model, fed)
    with session.recording():
        sessions.mark_inputs(session, fed.args, fed.kwargs)
        try:
            outputs = sessions.outputs_of(_called(session, model, fed))
        except Exception as problem:
            session.monitor.forward_failed(problem)
            if len(session.monitor.events) == before:
                raise TargetError(f"the forward pass failed: {sessions.told(problem)}") from problem
    nodes = sessions.probe(session, outputs)
    return sessions.model_of(
        session, model, name, job["path"], targets=nodes, reach_at="outputs", judged=True, trained=trained, line=line
    )


def _settle_shapes(session: Session, model: nn.Module, fed: Feed) -> None:
    """Lets lazy layers see their inputs once, which gives their parameters shapes; what fails now fails again."""
    lazy = {id(parameter) for parameter in model.parameters() if nn.parameter.is_lazy(parameter)}
    if lazy:
        session.monitor.lazy |= lazy
        with contextlib.suppress(Exception), torch.no_grad(), seeded():
            model(*fed.args, **fed.kwargs)


def _called(session: Session, model: nn.Module, fed: Feed) -> Any:
    """The outputs of one forward; of a model without values, along the other branches when the first ones fail."""
    try:
        return model(*fed.args, **fed.kwargs)
    except Exception:
        if not any(parameter.is_meta for parameter in model.parameters()):
            raise
    session.recorder.branch = False
    try:
        return model(*fed.args, **fed.kwargs)
    finally:
        session.recorder.branch = True


def _unseen(model: nn.Module) -> Any:
    from gradlint.frontends.recorder.modules import Built

    return Built(model, (), None)


def capture_module(session: Session, job: dict[str, Any], failures: list[Failure]) -> Iterator[Model]:
    """A class or factory of an importable module (`package.module:Net`)."""
    sys.path.insert(0, job["cwd"])
    yield from capture_file(session, job, failures)


def capture_hub(session: Session, job: dict[str, Any], _: list[Failure]) -> Iterator[Model]:
    """A model built from its published configuration, offline (`hf:bert`, `timm:resnet18`).

    It is recorded on the meta device, where nothing is allocated; with random weights when its forward needs values,
    or when the compiler or the size of its gradients is asked for and it fits into memory.
    """
    _note_compilers(session, job, "", None)
    meta = not session.compiled and session.projections == 1
    try:
        yield _published(session, job, meta=meta)
    except Exception as problem:
        known = isinstance(problem, TargetError)
        if not (known and session.built_fits() if meta else known or _is_shortage(problem)):
            raise
        session.forget()
        yield _published(session, job, meta=not meta)


def _published(session: Session, job: dict[str, Any], meta: bool) -> Model:
    library, _, name = job["symbol"].partition(":")
    build = hub.build_hf if library == "hf" else hub.build_timm
    with session.recording():
        model = build(name, meta=meta)
    model.train()
    with Storageless():
        fed = feed(model, None, parse_inputs(job.get("inputs", ())))
    return run(session, model, fed, type(model).__name__, job)


CAPTURES: dict[str, Callable[[Session, dict[str, Any], list[Failure]], Iterator[Model]]] = {
    "file": capture_file,
    "symbol": capture_file,
    "module": capture_module,
    "hub": capture_hub,
}
