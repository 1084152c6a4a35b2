"""Makes the surroundings of a training step small and quiet: one process, small batches, no waiting, no files."""

from __future__ import annotations

import argparse
import builtins
import contextlib
import functools
import inspect
import multiprocessing.process
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed
import torch.multiprocessing
import torch.utils.data
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gradlint.frontends.recorder.replaying.placeholder import placeholders
from gradlint.frontends.recorder.replaying.watching import replaced

LARGEST_BATCH = 8
IN_PROCESS = {
    "num_workers": 0,
    "pin_memory": False,
    "prefetch_factor": None,
    "persistent_workers": False,
    "timeout": 0,
    "multiprocessing_context": None,
}
ALONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@contextlib.contextmanager
def arranged() -> Iterator[None]:
    """Inside the block, data loaders, processes and command lines are as a short run of one process needs them."""
    with contextlib.ExitStack() as stack:
        for owner, name, build in _changes():
            if hasattr(owner, name):
                stack.enter_context(replaced(owner, name, build))
        stack.enter_context(_environment())
        yield


def _changes() -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
    yield torch.utils.data.DataLoader, "__init__", _loading
    yield argparse.ArgumentParser, "parse_known_args", _parsing
    yield torch.multiprocessing, "spawn", lambda _: _spawn
    yield multiprocessing.process.BaseProcess, "start", lambda _: lambda process: process.run()
    yield multiprocessing.process.BaseProcess, "join", lambda _: _nothing
    yield DistributedDataParallel, "__init__", lambda _: _wrap
    yield DistributedDataParallel, "forward", lambda _: lambda self, *args, **kwargs: self.module(*args, **kwargs)
    yield DistributedDataParallel, "no_sync", lambda _: lambda _self: contextlib.nullcontext()
    for name in (
        "init_process_group",
        "destroy_process_group",
        "barrier",
        "all_reduce",
        "broadcast",
        "broadcast_object_list",
    ):
        yield torch.distributed, name, lambda _: _nothing
    yield torch.distributed, "get_rank", lambda _: lambda *_, **__: 0
    yield torch.distributed, "get_world_size", lambda _: lambda *_, **__: 1
    yield torch, "save", lambda _: _nothing
    yield torch, "compile", lambda _: _uncompiled
    yield nn.Module, "compile", lambda _: _nothing
    yield time, "sleep", lambda _: _nothing
    yield builtins, "input", lambda _: lambda *_: ""


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _spawn(function: Callable[..., Any], args: tuple[Any, ...] = (), *_: Any, **__: Any) -> None:
    function(0, *args)


def _wrap(self: nn.Module, module: nn.Module, *_: Any, **__: Any) -> None:
    nn.Module.__init__(self)
    self.module = module


def _uncompiled(model: Any = None, **_: Any) -> Any:
    return model if model is not None else lambda function: function


def once(action: Callable[[], Any]) -> Callable[[], None]:
    """A function that runs `action` at its first call only."""
    return functools.cache(lambda: action() and None)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    added = {name: value for name, value in ALONE.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _loading(original: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def init(*arguments: Any, **keywords: Any) -> None:
        given = signature.bind(*arguments, **keywords).arguments
        if _holds_placeholder(given["dataset"]):
            raise FileNotFoundError("the data of the loader is missing")
        settings = given | {name: value for name, value in IN_PROCESS.items() if name in given}
        if isinstance(settings.get("batch_size"), int):
            settings["batch_size"] = min(settings["batch_size"], LARGEST_BATCH)
        original(**settings)

    return init


def _holds_placeholder(dataset: Any) -> bool:
    return any(True for _ in placeholders((dataset, getattr(dataset, "__dict__", {}))))


def _parsing(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def parse(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        words = [] if args is None else list(args)
        commands = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        if not words and commands:
            words = [_command(commands[0])]
        for action in self._actions:
            _provide(action)
        return original(self, words, namespace)

    return parse


def _command(action: Any) -> str:
    names = [str(name) for name in action.choices]
    return next((name for name in names if "train" in name), names[0])


def _provide(action: argparse.Action) -> None:
    """Gives an argument that the user would have to type a value that its type and name allow."""
    if not isinstance(action, argparse._SubParsersAction) and (action.required or not action.option_strings):
        if action.default is None:
            action.default = _plausible(action)
        action.required = False
        if not action.option_strings and action.nargs is None:
            action.nargs = "?"


def _plausible(action: argparse.Action) -> Any:
    if action.choices:
        value: Any = next(iter(action.choices))
    elif action.type in (int, float):
        value = 1 if action.type is int else 0.001
    else:
        value = action.dest
    return [value] if action.nargs in ("+", "*") or isinstance(action.nargs, int) else value
