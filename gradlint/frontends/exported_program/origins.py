"""Where a call of an exported program comes from: its function in torch, its module, and the author's lines.

torch writes `torch_fn`, `nn_module_stack` and `stack_trace` into the metadata of every call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache

from gradlint import ops

MODULES = "nn_module_stack"
FUNCTION = "torch_fn"
TRACE = "stack_trace"

_FORWARD = re.compile(r'^ *File "([^"\n]*)", line \d+, in forward\n([^\n]*)', re.MULTILINE)
_DIRECT = ".forward("
_STRICT = "/torch/_functorch/autograd_function.py"
_TRACER = "/torch/_dynamo/"
"""In stack traces: a `forward` and its line, a call of one by name, and torch's own code in a strict export."""

_AGAIN = re.compile(r"@\d+$")
_ROOT = re.compile(r"^(?:L\[.self.\]|L__self__|_export_root)(?:\.|$)")


def module_of(metadata: Mapping[str, str]) -> str:
    """The dotted path of the innermost module that was running: `layers.0`, empty for the model itself."""
    innermost = metadata.get(MODULES, "").rpartition(";")[2].split(",")
    if len(innermost) < 2:
        return ""
    return _AGAIN.sub("", _ROOT.sub("", innermost[1]))


def in_custom_function(metadata: Mapping[str, str]) -> bool:
    """Whether a call stands in the forward of an autograd function, whose backward torch.export leaves out."""
    return _in_custom_function(metadata.get(TRACE, ""), metadata.get(MODULES, ""))


@lru_cache
def _in_custom_function(trace: str, modules: str) -> bool:
    """Traces name frames called `forward` only: one more than there are modules belongs to an autograd function."""
    if not modules or _STRICT in trace:
        return bool(modules)
    lines = [line for path, line in _FORWARD.findall(trace) if _TRACER not in path]
    called = sum(_DIRECT in line for line in lines[:-1])
    return len(lines) - called > len(modules.split(";"))


def root_class(metadata: Mapping[str, str]) -> str:
    """The name of the model's class; empty when the call does not tell."""
    outermost = metadata.get(MODULES, "").partition(";")[0].split(",")
    if len(outermost) < 3 or outermost[1]:
        return ""
    name = outermost[2].rpartition(".")[2]
    return name if name.isidentifier() else ""


@cache
def base_name(target: str) -> str:
    """`add_` for `torch.ops.aten.add_.Tensor`, `mul` for `_operator.mul`."""
    parts = target.removeprefix("torch.ops.").split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def native_of(target: str, metadata: Mapping[str, str]) -> str:
    """The op as the author called it (`long`, for `aten.to.dtype`), where that is the same op; else aten's own name."""
    return _native(base_name(target), metadata.get(FUNCTION, "").rpartition(".")[2].strip())


@cache
def _native(own: str, written: str) -> str:
    if not written.isidentifier() or written == own:
        return own
    here, there = ops.lookup("torch", own), ops.lookup("torch", written)
    if here is None or there is None or own.endswith("_") != written.endswith("_"):
        return own
    casts = here.kind is there.kind is ops.Kind.CAST
    return written if casts or here.name == there.name else own
