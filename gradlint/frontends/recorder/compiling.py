"""Where torch's compiler breaks a model's graph: every model that ran is compiled once, with the inputs that it got.

Dynamo tells `InstructionTranslatorBase.log_graph_break` of every break, also of those in frames that it then leaves to
Python (torch 2.13); `torch._dynamo.explain` counts only the graphs that had something in them.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch.utils._pytree import tree_map

from gradlint.compilation import Break, Compilation, Recompilation
from gradlint.frame import Frame
from gradlint.frontends.recorder import exporting, lightweight
from gradlint.frontends.recorder.alarms import alarm
from gradlint.frontends.recorder.calls import Call
from gradlint.frontends.recorder.frames import RESUMED, definition, is_library, of_summaries
from gradlint.frontends.recorder.patches import replaced
from gradlint.frontends.recorder.rewrite import HOOK
from gradlint.frontends.recorder.session import Session
from gradlint.graph import Model

CALLS = 3
"""Calls with the same inputs: what is compiled anew at the second or third is compiled for nothing."""

MOST_SECONDS, LEAST_SECONDS = 40.0, 5.0
"""Time that one model's compilation may take; with less than the second it is not begun."""

WITHOUT_VALUES = "its parameters are too large for values here; give it more memory with --memory MIB"
WITHOUT_TIME = "no time was left for it; give it more with --timeout SECONDS"
"""Why the compiler was not asked about a model."""

INTENDED = ("torch.compiler.disable", "torch._dynamo.disable", "torch._dynamo.graph_break")
"""What the titles of breaks hold that the program asks for."""

_FIELD = re.compile(
    r"^  (Explanation|Hint): (.*?)(?=^  (?:Explanation|Hint|Developer debug context): |\Z)", re.M | re.S
)
_CHANGED = re.compile(r"\d+/\d+: *")
GONE = "Cache line invalidated"
"""How torch's reason begins when something died that was compiled: no guard of the program's own failed."""

REGISTRY = "graph_break_registry.json"


class _OutOfTimeError(Exception):
    """The time for the compilation is over."""


@dataclass(slots=True)
class _Heard:
    """What Dynamo said while a model ran."""

    breaks: dict[Frame | str, Break] = field(default_factory=dict)
    graphs: int = 0
    call: int = 0
    recompiled: dict[Frame, str] = field(default_factory=dict)


def compiled(session: Session, models: Iterable[Model], seconds: float) -> Iterator[Model]:
    """The models with what the compiler made of each, as long as the time lasts."""
    end = time.monotonic() + seconds
    for model in models:
        call = session.calls.get(session.judged.get(model.name, 0))
        if call is None:
            yield model
        else:
            yield replace(model, compilation=compilation(call, session.exported, end - time.monotonic()))


def compilation(call: Call, export: bool, seconds: float) -> Compilation:
    """What the compiler makes of a model, or why it was not asked to the end."""
    if any(parameter.is_meta for parameter in call.module.parameters()):
        return Compilation(0, untried=WITHOUT_VALUES)
    if seconds < LEAST_SECONDS:
        return Compilation(0, untried=WITHOUT_TIME)
    dynamo = lightweight.compiler()
    call = Call(call.module, *tree_map(_apart, (call.args, call.options)))
    heard = _Heard()
    try:
        with alarm(min(seconds, MOST_SECONDS), _ring), _listening(heard), _plain_hook(), _quiet():
            _run(dynamo, call, heard)
    except _OutOfTimeError:
        return Compilation(0, untried=WITHOUT_TIME)
    except Exception as problem:
        return Compilation(0, untried=f"the compiled model failed with {type(problem).__name__}")
    refusals = tuple(exporting.refusals(call.module, call.args, call.options)) if export else ()
    return Compilation(
        heard.graphs,
        tuple(heard.breaks.values()),
        tuple(Recompilation(frame, guard) for frame, guard in heard.recompiled.items()),
        refusals,
        export,
    )


def _ring() -> None:
    raise _OutOfTimeError


def _apart(value: Any) -> Any:
    """An input without the history and the hooks that the recording gave it."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().clone().requires_grad_(value.requires_grad and value.is_leaf)


def _run(dynamo: Any, call: Call, heard: _Heard) -> None:
    """Calls the compiled model; the first call counts the graphs, the others may compile nothing new."""

    def backend(graph: Any, _: Any) -> Any:
        heard.graphs += heard.call == 0
        return graph.forward

    dynamo.reset()
    with torch.compiler.set_stance("default"):
        compiled = torch.compile(call.module, backend=backend)
        for heard.call in range(CALLS):
            compiled(*call.args, **call.options)
    dynamo.reset()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Dynamo from writing to stderr what becomes a finding."""
    logger = logging.getLogger("torch._dynamo")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _plain_hook() -> Iterator[None]:
    """Lets what the recorder had routed past itself run as it stands in the source."""
    with replaced(builtins, HOOK, _as_written):
        yield


def _as_written(function: Any, *args: Any, **options: Any) -> Any:
    return function(*args, **options)


@contextlib.contextmanager
def _listening(heard: _Heard) -> Iterator[None]:
    translator = importlib.import_module("torch._dynamo.symbolic_convert").InstructionTranslatorBase
    conversion = importlib.import_module("torch._dynamo.convert_frame")
    reasons = conversion.get_and_maybe_log_recompilation_reasons

    def broken(translator: Any, code_options: Any, reason: str, exc: Any) -> None:  # noqa: ARG001
        if not getattr(exc, "logged", False):
            _note(heard, exc)
            with contextlib.suppress(AttributeError):
                exc.logged = True

    def recompiled(entry: Any, frame: Any, *rest: Any, **options: Any) -> Any:
        found = reasons(entry, frame, *rest, **options)
        if heard.call and found:
            _note_again(heard, frame.f_code, _guard(str(found[0])))
        return found

    with (
        replaced(translator, "log_graph_break", broken),
        replaced(conversion, "get_and_maybe_log_recompilation_reasons", recompiled),
    ):
        yield


def _note_again(heard: _Heard, code: CodeType, guard: str) -> None:
    """Notes a function that is compiled anew; the rest of one behind a break falls with its head."""
    mine = not is_library(code.co_filename) and not RESUMED.fullmatch(code.co_name)
    if mine and not guard.startswith(GONE):
        heard.recompiled.setdefault(definition(code), guard)


def _guard(text: str) -> str:
    """The guard that failed, as torch writes it: its first line, without the number of the cache entry."""
    return _CHANGED.sub("", text.strip().splitlines()[0]).removeprefix("- ").partition("  #")[0].strip()


def _note(heard: _Heard, problem: Any) -> None:
    text = str(getattr(problem, "msg", problem))
    first = text.partition("\n")[0]
    title = first if first in _ids() else getattr(problem, "gb_type", None) or type(problem).__name__
    if any(word in first for word in INTENDED):
        return
    frames = of_summaries(getattr(problem, "real_stack", ()))
    place = next((frame for frame in frames if frame.user), None)
    if place is None:
        return
    said = [(name, " ".join(words.split())) for name, words in _FIELD.findall(text)]
    explanation = next((words for name, words in said if name == "Explanation"), "")
    hints = tuple(words for name, words in said if name == "Hint")
    heard.breaks.setdefault(place, Break(_ids().get(title, ""), title, explanation, hints, frames))


@cache
def _ids() -> dict[str, str]:
    """The number of every reason in torch's own registry, by its title."""
    path = Path(torch.__file__).parent / "_dynamo" / REGISTRY
    try:
        registry = json.loads(path.read_text(encoding="utf-8"))
        return {entry["Gb_type"]: number for number, entries in registry.items() for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
