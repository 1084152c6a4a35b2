"""Whether `torch.export` takes a model, and why not."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradlint.compilation import Refusal
from gradlint.frame import Frame
from gradlint.frontends.recorder.frames import is_library, of_summaries

MODES = {"non-strict": False, "strict": True}

_STACK = re.compile(r'File "(?P<path>[^"\n]+)", line (?P<line>\d+), in (?P<function>[\w<>.]+)')
_REST = re.compile(r"\n\s*\n| \((?:unhinted|Size-like)|\n\s*(?:Developer|User Stack|from user code|Caused by)")
_DRESS = re.compile(r"\x1b\[[0-9;]*m")


def refusals(model: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> Iterator[Refusal]:
    """Why each mode of `torch.export.export` refuses a model; nothing for one that it takes."""
    for mode, strict in MODES.items():
        try:
            torch.export.export(model, args, options or None, strict=strict)
        except Exception as problem:
            yield Refusal(mode, _reason(problem), _frames(problem))


def _reason(problem: BaseException) -> str:
    """The first lines of torch's own message, up to its stacks and its advice for torch's developers."""
    text = _DRESS.sub("", str(getattr(problem, "msg", None) or problem)).strip()
    head = _REST.split(text, maxsplit=1)[0]
    return " ".join(head.split())[:300] or type(problem).__name__


def _frames(problem: BaseException) -> tuple[Frame, ...]:
    """Where the program stood: by torch's own stack, by the exception's, else by the text of the message."""
    known = of_summaries(getattr(problem, "real_stack", None) or traceback.extract_tb(problem.__traceback__))
    own = tuple(frame for frame in known if not is_library(frame.path))
    return own or tuple(reversed([_told(match) for match in _STACK.finditer(str(problem))]))


def _told(match: re.Match[str]) -> Frame:
    path, line = match["path"], int(match["line"])
    return Frame(path, line, 1, line, 1, match["function"], not is_library(path))
