"""What a traced file writes goes into a scratch folder: logs, checkpoints and output folders are not worth a failure.

The sandbox refuses writes elsewhere in any case; this keeps ordinary scripts, which make their output folder while they
are imported, from ending there.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import torch

from gradlint.frontends.recorder.patches import replaced

WRITING = frozenset("wax+")
"""Characters of an opening mode that ask for writing."""


@contextlib.contextmanager
def redirected() -> Iterator[None]:
    """Sends what is written inside the block into the private temporary folder."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="written-"))
    with contextlib.ExitStack() as stack:
        for holder, name, new in (
            (builtins, "open", _opening(root, builtins.open)),
            (io, "open", _opening(root, io.open)),
            (os, "mkdir", _making(os.mkdir)),
            (os, "makedirs", _making_all(os.makedirs)),
            (torch, "save", lambda *args, **options: None),
        ):
            stack.enter_context(replaced(holder, name, new))
        yield


def _scratch(root: pathlib.Path, path: Any) -> pathlib.Path:
    """The place in the scratch folder that stands for a path."""
    return root / os.path.abspath(os.fsdecode(path)).lstrip(os.sep).replace(":", "")


def _is_private(path: Any) -> bool:
    return os.path.abspath(os.fsdecode(path)).startswith((tempfile.gettempdir(), os.devnull))


def _opening(root: pathlib.Path, original: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if isinstance(file, int) or not WRITING & set(mode) or _is_private(file):
            return original(file, mode, *args, **options)
        place = _scratch(root, file)
        place.parent.mkdir(parents=True, exist_ok=True)
        return original(place, mode.replace("x", "w"), *args, **options)

    return opened


def _making(original: Callable[..., Any]) -> Callable[..., Any]:
    def made(path: Any, *args: Any, **options: Any) -> None:
        if _is_private(path):
            original(path, *args, **options)
        elif os.path.isdir(path):
            raise FileExistsError(path)

    return made


def _making_all(original: Callable[..., Any]) -> Callable[..., Any]:
    def made(name: Any, mode: int = 0o777, exist_ok: bool = False) -> None:
        if _is_private(name):
            original(name, mode, exist_ok)
        elif os.path.isdir(name) and not exist_ok:
            raise FileExistsError(name)

    return made
