"""The JSON of an exported program, as far as a graph needs it (torch/_export/serde/schema.py, major version 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter
from pydantic.dataclasses import dataclass

Argument = dict[str, Any]
"""A tagged value: one key such as `as_tensor`, `as_ints`, `as_graph`, and what it holds."""

DTYPES: Mapping[int, str] = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}
"""Element types by their number in the file."""

MOST_ELEMENTS = 1 << 62
"""Elements that a tensor may say that it has."""


def _numbers(sizes: Any) -> Any:
    """Sizes as numbers: None for one that is symbolic, or nonsense."""
    if not isinstance(sizes, list):
        return sizes
    found = [size.get("as_int") if isinstance(size, dict) else None for size in sizes]
    return [size if type(size) is int and 0 <= size < MOST_ELEMENTS else None for size in found]


Sizes = Annotated[list[int | None], BeforeValidator(_numbers)]


@dataclass(frozen=True, slots=True)
class TensorMeta:
    """What the file says of one tensor."""

    dtype: int
    sizes: Sizes
    requires_grad: bool = False

    @property
    def dtype_name(self) -> str | None:
        """`float32`; None for a type that is not known."""
        return DTYPES.get(self.dtype)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The sizes; None where one of them is not known."""
        known = tuple(size for size in self.sizes if size is not None)
        return known if len(known) == len(self.sizes) else None

    @property
    def elements(self) -> int:
        """The number of elements; 0 where the shape is not known."""
        count = 1
        for size in self.shape or (0,):
            count *= size
        return count


@dataclass(frozen=True, slots=True)
class NamedArgument:
    """An argument of a call; `name` is that in the op's schema."""

    name: str = ""
    arg: Argument = field(default_factory=dict)
    kind: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One call."""

    target: str
    inputs: list[NamedArgument] = field(default_factory=list)
    outputs: list[Argument] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """A list of calls in an order in which everything is made before it is read."""

    inputs: list[Argument] = field(default_factory=list)
    outputs: list[Argument] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    tensor_values: dict[str, TensorMeta] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signature:
    """What the inputs and outputs of the graph stand for, each under one key such as `parameter` or `user_output`."""

    input_specs: list[dict[str, Argument | None]] = field(default_factory=list)
    output_specs: list[dict[str, Argument | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class GraphModule:
    """The graph and its signature."""

    graph: Graph
    signature: Signature


@dataclass(frozen=True, slots=True)
class Program:
    """One exported program."""

    graph_module: GraphModule
    torch_version: str = ""


@dataclass(frozen=True, slots=True)
class Payload:
    """One tensor beside the program: the member that holds its numbers, which nobody reads, and its meta data."""

    path_name: str = ""
    is_param: bool = False
    tensor_meta: TensorMeta | None = None


@dataclass(frozen=True, slots=True)
class PayloadConfig:
    """The tensors beside a program by their dotted names."""

    config: dict[str, Payload] = field(default_factory=dict)


PROGRAM = TypeAdapter(Program)
PAYLOADS = TypeAdapter(PayloadConfig)
GRAPH = TypeAdapter(Graph)


def names_in(argument: Argument) -> Sequence[str]:
    """The names of the values that an argument holds."""
    tensor = argument.get("as_tensor")
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if isinstance(name, str) and len(argument) == 1:
        return (name,)
    return [found for tag, held in argument.items() for found in _names(tag, held)]


def _names(tag: str, held: Any) -> Iterator[str]:
    if isinstance(held, list):
        for item in held:
            yield from _names(tag, item)
    elif isinstance(held, dict) and tag != "as_graph":
        name = held.get("name", held.get("as_name"))
        if isinstance(name, str):
            yield name
        else:
            yield from names_in(held)
