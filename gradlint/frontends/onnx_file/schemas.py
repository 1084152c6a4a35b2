"""What the onnx package knows of an operator's outputs: their types, and the values of attributes that are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import onnx
from onnx import defs

from gradlint.frontends.onnx_file.dtypes import of_text

KNOWN_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training"}
)
"""The domains of the standard; an operator of any other one is somebody's own."""

LATEST = 1 << 30
"""The version that is taken where a model names none for a domain."""


@dataclass(frozen=True, slots=True)
class Made:
    """The type of one output: that of the input at a position, or one of its own (None where neither is known)."""

    like: int | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """One operator of one version. `variadic` says that the last input or output may stand there many times."""

    outputs: tuple[Made, ...] = ()
    inputs: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    deprecated: bool = False


NOTHING = Schema()


def standard(domain: str) -> str:
    """The domain's name as the onnx package writes it."""
    return "" if domain == "ai.onnx" else domain


def versions(imports: Iterable[Any]) -> dict[str, int]:
    """The version of every domain that a model or a function imports."""
    return {standard(one.domain): one.version for one in imports}


@cache
def schema(op_type: str, domain: str, version: int) -> Schema | None:
    """What is known of an operator; None when there is none of that name in that version."""
    try:
        found = defs.get_schema(op_type, min(version, LATEST), domain)
    except (defs.SchemaError, TypeError):
        return None
    return Schema(
        outputs=tuple(_made(found, one) for one in found.outputs),
        inputs=tuple(one.name for one in found.inputs),
        defaults={name: value for name, value in map(_default, found.attributes.values()) if value is not None},
        deprecated=found.deprecated,
    )


def _made(found: Any, output: Any) -> Made:
    like = next((number for number, one in enumerate(found.inputs) if one.type_str == output.type_str), None)
    if like is not None and "(" not in output.type_str:
        return Made(like=like)
    allowed = {of_text(text) for text in output.types}
    return Made(dtype=allowed.pop() if len(allowed) == 1 else None)


def _default(attribute: Any) -> tuple[str, Any]:
    value = attribute.default_value
    if value.type == onnx.AttributeProto.UNDEFINED:
        return attribute.name, None
    return attribute.name, onnx.helper.get_attribute_value(value)


def output_dtype(known: Schema | None, position: int, inputs: Sequence[str | None]) -> str | None:
    """The element type of an output, from those of the inputs; None where it is not fixed by them."""
    if known is None or not known.outputs:
        return None
    made = known.outputs[min(position, len(known.outputs) - 1)]
    if made.like is None:
        return made.dtype
    return inputs[made.like] if made.like < len(inputs) else None
