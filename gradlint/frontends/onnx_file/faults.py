"""What keeps any runtime from running a file that can be read: operators that there are not, shapes that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import onnx
from onnx import defs, shape_inference

from gradlint.errors import did_you_mean
from gradlint.frontends.onnx_file.dtypes import name_of, of_type
from gradlint.frontends.onnx_file.schemas import KNOWN_DOMAINS
from gradlint.frontends.onnx_file.wording import shown
from gradlint.recording import Fault

EXPERIMENTAL = frozenset(
    {
        "ATen",
        "Affine",
        "ConstantFill",
        "Crop",
        "DynamicSlice",
        "GRUUnit",
        "GivenTensorFill",
        "ImageScaler",
        "ParametricSoftplus",
        "Scale",
        "ScaledTanh",
    }
)
"""Operators that the standard had on trial, without a version, up to onnx 1.4; files and runtimes have them still."""

PLUGIN = "_TRT"
"""How the names of TensorRT's own operators end, which exporters also put into the standard's domain."""

HOLDERS = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators of the standard inside of which the author's own nodes stand."""

_ERROR = re.compile(
    r"\(op_type: ?(?P<op>[^,()\s]*)(?:, node name: (?P<name>[^()\n]*))?\): (?P<why>.*?)(?=\n\(op_type:|\Z)", re.S
)
_KIND = re.compile(r"\[\w+Error\] *")
_DECLARED = re.compile(
    r"Inferred (?:shape|elem type) (?:and|differs from) existing (?:shape|elem type)(?: differ in (?P<what>[^:]*))?: "
    r"\((?P<made>[^()]*)\) vs \((?P<told>[^()]*)\)"
)
_FOLLOWS = "instead is null"
_NARROW = "has unsupported type"
"""A type that the standard leaves out: runtimes have kernels for many of these."""

_NESTED = "Inference error(s):"
MOST_SHOWN = 160
"""Characters of the checker's own words that are quoted."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A node whose operator its version of the standard does not have; `number` counts the file's nodes from 1."""

    op_type: str
    domain: str
    version: int
    label: str
    number: int


def unknown(found: Iterable[Unknown]) -> Iterator[Fault]:
    """One fault for every operator that there is not, at the first node that asks for it."""
    told: dict[tuple[str, str, int], Fault] = {}
    for one in found:
        known = (one.op_type, one.domain, one.version)
        if known not in told and _is_missing(one):
            told[known] = _missing(one)
            yield told[known]


def _is_missing(one: Unknown) -> bool:
    """Whether the standard has no such operator: one that is newer than the onnx package may have it."""
    trial = one.op_type in EXPERIMENTAL or one.op_type.endswith(PLUGIN)
    if trial or one.domain not in KNOWN_DOMAINS or not 0 < one.version <= _latest(one.domain):
        return False
    so_far = [ended for version, ended in _changes(one) if version <= one.version]
    # An operator that was deprecated from its beginning (GroupNormalization of opset 18) was there all the same.
    return not so_far or (so_far[-1] and not all(so_far))


@cache
def _history() -> Mapping[str, Mapping[str, tuple[tuple[int, bool], ...]]]:
    """Every operator by domain: the versions that changed it, and whether that was its end."""
    found: dict[str, dict[str, tuple[tuple[int, bool], ...]]] = {}
    for one in defs.get_all_schemas_with_history():
        own = found.setdefault(one.domain, {})
        own[one.name] = tuple(sorted((*own.get(one.name, ()), (one.since_version, one.deprecated))))
    return found


def _changes(one: Unknown) -> tuple[tuple[int, bool], ...]:
    """The versions that changed an operator, and whether each was its end."""
    return _history().get(one.domain, {}).get(one.op_type, ())


@cache
def _latest(domain: str) -> int:
    """The newest version of a domain that the onnx package knows."""
    if not domain:
        return int(defs.onnx_opset_version())
    return max((version for every in _history().get(domain, {}).values() for version, _ in every), default=0)


def _missing(one: Unknown) -> Fault:
    standard = f"version {one.version} of {one.domain}" if one.domain else f"opset {one.version} of ONNX"
    why = f"cannot be run: {standard} has no operator `{shown(one.op_type)}` ({shown(one.label)})"
    return Fault(one.number, why, _remedy(one))


def _remedy(one: Unknown) -> str:
    """What to do about an operator: another version that has it, another name, a domain of its own."""
    changes = _changes(one)
    begin = next((version for version, ended in changes if version > one.version and not ended), None)
    if begin is not None:
        return f"it came with version {begin}: import that one, or export the model anew"
    if changes:
        end = next(version for version, ended in reversed(changes) if ended)
        return f"it was taken out with version {end}: import an older one, or export the model anew"
    near = did_you_mean(one.op_type, _history().get(one.domain, {}))
    return f"give an operator of your own a domain of its own, and import that{near}"


def misfits(model: onnx.ModelProto, numbers: Mapping[str, int]) -> Iterator[Fault]:
    """One fault for every node that cannot be computed from what it reads; `numbers` are those of nodes by label."""
    errors = _errors(model)
    if not errors:
        return
    types = _types(model)
    spoiled: set[str] = set()
    for index, node in enumerate(model.graph.node):
        why = errors.get(index)
        if why is not None and spoiled.isdisjoint(node.input):
            label = node.name or next(filter(None, node.output), "")
            yield _misfit(node, shown(label), numbers.get(label, index + 1), why, types)
        if why is not None or not spoiled.isdisjoint(node.input):
            spoiled.update(filter(None, node.output))


def _misfit(node: onnx.NodeProto, label: str, number: int, why: str, types: Mapping[str, str]) -> Fault:
    here = f"`{shown(node.op_type)}` ({label})"
    told = _DECLARED.search(why)
    if told is not None:
        what = told["what"] or "its element type"
        text = f"contradicts itself: of what {here} makes, {what} is {told['made']}, and it says {told['told']}"
        return Fault(number, text, "correct what the file says of it, or drop it and infer it anew")
    reads = ", ".join(types.get(name, "?") for name in node.input if name)
    text = f"cannot be run: {here} of {reads or 'nothing'}, {_begun(why)[:MOST_SHOWN].rstrip(' .')}"
    return Fault(number, text, "make the operands fit where the file is written; every runtime refuses it as it is")


def _begun(why: str) -> str:
    """A sentence as it goes on behind a comma."""
    return why if why[1:2].isspace() else f"{why[:1].lower()}{why[1:]}"


def _errors(model: onnx.ModelProto) -> dict[int, str]:
    """What onnx's own inference says of nodes, by their place in the graph; nothing of what follows from it."""
    if not _said(model, check_type=True):
        return {}
    named = onnx.ModelProto()
    named.CopyFrom(model)
    for index, node in enumerate(named.graph.node):
        node.name = str(index)
    said = _said(named, check_type=False) or _said(named, check_type=True)
    own = {(one.domain, one.name) for one in model.functions}
    found = {}
    for error in map(_error, _ERROR.finditer(said)):
        index = int(error.name) if error.name.isdecimal() else len(named.graph.node)
        if index < len(named.graph.node) and _is_the_author_s(named.graph.node[index], error, own):
            found[index] = error.why
    return found


class _Error(NamedTuple):
    """What inference says of a node: the innermost reason, and whether that lies in the body of the node."""

    name: str
    why: str
    nested: bool


def _error(match: re.Match[str]) -> _Error:
    text = match["why"]
    inner = _innermost(text)
    return _Error(match["name"] or "", " ".join(_KIND.sub("", inner).split()), _is_nested(text))


def _is_nested(text: str) -> bool:
    return _NESTED in text or _KIND.sub("", text).lstrip().startswith("(op_type:")


def _innermost(text: str) -> str:
    *_, last = text.split(_NESTED)
    first = _ERROR.search(last) if _is_nested(text) else None
    return first["why"] if first else last


def _is_the_author_s(node: onnx.NodeProto, error: _Error, functions: set[tuple[str, str]]) -> bool:
    """Whether an error is a fault of its own in what the file holds: bodies of the standard's operators are not."""
    if _FOLLOWS in error.why or _NARROW in error.why or not error.why:
        return False
    return not error.nested or node.op_type in HOLDERS or (node.domain, node.op_type) in functions


def _said(model: onnx.ModelProto, check_type: bool) -> str:
    """The message with which onnx's inference refuses a model; empty when it does not."""
    try:
        shape_inference.infer_shapes(model, check_type=check_type, strict_mode=True)
    except shape_inference.InferenceError as error:
        return str(error)
    except Exception:
        # What else it raises is about functions and versions, which are read and told of elsewhere.
        return ""
    return ""


def _types(model: onnx.ModelProto) -> dict[str, str]:
    """The types of values as far as they can be inferred, as text: `float32[batch, 4]`."""
    try:
        graph = shape_inference.infer_shapes(model).graph
    except Exception:
        graph = model.graph
    told = {one.name: _text(one.type) for one in (*graph.input, *graph.value_info)}
    weights = {one.name: f"{name_of(one.data_type)}{_sizes(one.dims)}" for one in graph.initializer}
    return told | weights


def _text(kind: onnx.TypeProto) -> str:
    tensor = kind.tensor_type
    sizes = [axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in tensor.shape.dim]
    return f"{of_type(kind) or 'a value'}{_sizes(sizes) if tensor.HasField('shape') else ''}"


def _sizes(sizes: Sequence[int | str]) -> str:
    return shown(f"[{', '.join(map(str, sizes))}]")
