"""What the models of transformers return: records, some fields of which hooks of the library fill on request."""

from __future__ import annotations

import ast
from collections.abc import Sequence as Items
from dataclasses import replace
from typing import TYPE_CHECKING

from gradlint.frontends.static.torch.hub_classes import descends
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Choice,
    Class,
    Constant,
    Instance,
    Sequence,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import NodeKind, Passage, Reason

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

OUTPUTS = frozenset({"ModelOutput"})
COLLECTED = ("hidden_states", "attentions")
"""How the fields are called that no text of a model fills."""

WHY = "the library collects it of the layers"


def field(run: Run, record: Instance, name: str, at: ast.AST) -> Value:
    """A field of any object; of a model's output one that is collected may be None, or made like the first tensor."""
    content = record.attributes[name]
    if not name.endswith(COLLECTED) or not _is_none(content) or not descends(record.cls, OUTPUTS):
        return content
    first = next((v for v in record.attributes.values() if isinstance(v, (Tensor, Unknown))), None)
    source = run.read(first) if first is not None else NO_NODE
    if source == NO_NODE:
        return content
    node = run.linked(NodeKind.OPAQUE, "opaque", (source,), at, Passage.UNKNOWN, Reason.OPAQUE)
    return Choice((content, Unknown(WHY, node)))


def passed_on(cls: Class, arguments: Arguments) -> Arguments:
    """The arguments of a new output: what was collected for another one counts as this one's own."""
    if not descends(cls, OUTPUTS) or not any(_is_collected(value) for value in arguments.named.values()):
        return arguments
    named = {name: Constant(None) if _is_collected(value) else value for name, value in arguments.named.items()}
    return replace(arguments, named=named)


def items(record: Instance) -> Items[Value]:
    """What an output holds by position: every field that is set."""
    return [value for value in record.attributes.values() if not _is_none(value)]


def item(run: Run, record: Instance, key: Value, at: ast.AST) -> Value:
    """An item of an object that keeps its items as attributes, as model outputs and configs do."""
    known = items(record)
    match run.constant(key):
        case str(name) if name in record.attributes:
            return field(run, record, name, at)
        case slice() as part:
            return Sequence(list(known[part]), "tuple")
        case int(position) if -len(known) <= position < len(known):
            return known[position]
    return run.opaque("an item of an object", tuple(known), at, "getitem")


def _is_none(value: Value) -> bool:
    return isinstance(value, Constant) and value.value is None


def _is_collected(value: Value) -> bool:
    return isinstance(value, Choice) and any(isinstance(o, Unknown) and o.why == WHY for o in value.options)
