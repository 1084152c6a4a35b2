"""Broken ONNX files: real ones with bytes changed, taken out, put in, doubled, or with a field's value exchanged."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import onnx

MOST_BYTES = 1 << 18
"""Files up to this size are mutated: a changed byte of a large one is most often one of a weight."""

EXTREMES = (0, -1, 1, 1 << 31, 1 << 62, -(1 << 62))


def flipped(data: bytes, dice: random.Random) -> bytes:
    """Some bits turned over."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        out[dice.randrange(len(out))] ^= 1 << dice.randrange(8)
    return bytes(out)


def cut(data: bytes, dice: random.Random) -> bytes:
    """The end is missing."""
    return data[: dice.randrange(len(data))]


def gap(data: bytes, dice: random.Random) -> bytes:
    """A part is missing."""
    start = dice.randrange(len(data))
    return data[:start] + data[start + dice.randint(1, 64) :]


def doubled(data: bytes, dice: random.Random) -> bytes:
    """A part stands there twice."""
    start = dice.randrange(len(data))
    part = data[start : start + dice.randint(1, 256)]
    return data[: start + len(part)] + part + data[start + len(part) :]


def noise(data: bytes, dice: random.Random) -> bytes:
    """A part is written over with anything."""
    start = dice.randrange(len(data))
    size = dice.randint(1, 32)
    return data[:start] + dice.randbytes(size) + data[start + size :]


BYTES: Sequence[Callable[[bytes, random.Random], bytes]] = (flipped, cut, gap, doubled, noise)


def renamed(graph: onnx.GraphProto, dice: random.Random) -> None:
    """A name among the inputs or outputs of a node is another one of the graph."""
    names = [name for node in graph.node for name in (*node.input, *node.output)] or [""]
    node = dice.choice(graph.node)
    side = dice.choice([node.input, node.output])
    if side:
        side[dice.randrange(len(side))] = dice.choice(names)


def resized(graph: onnx.GraphProto, dice: random.Random) -> None:
    """A tensor says that it has another size."""
    if graph.initializer:
        tensor = dice.choice(graph.initializer)
        tensor.dims.append(dice.choice(EXTREMES))


def retyped(graph: onnx.GraphProto, dice: random.Random) -> None:
    """A node is another operator."""
    dice.choice(graph.node).op_type = dice.choice(
        [node.op_type for node in graph.node] + ["If", "Loop", "Scan", "Clip"]
    )


def valued(graph: onnx.GraphProto, dice: random.Random) -> None:
    """An attribute has another value, or another type."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    if attributes:
        attribute = dice.choice(attributes)
        attribute.i = dice.choice(EXTREMES[:4])
        attribute.type = dice.choice([attribute.type, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])


def moved(graph: onnx.GraphProto, dice: random.Random) -> None:
    """Two nodes change places."""
    one, other = dice.randrange(len(graph.node)), dice.randrange(len(graph.node))
    first, second = onnx.NodeProto(), onnx.NodeProto()
    first.CopyFrom(graph.node[one])
    second.CopyFrom(graph.node[other])
    graph.node[one].CopyFrom(second)
    graph.node[other].CopyFrom(first)


def dropped(graph: onnx.GraphProto, dice: random.Random) -> None:
    """A node is missing."""
    del graph.node[dice.randrange(len(graph.node))]


GRAPHS: Sequence[Callable[[onnx.GraphProto, random.Random], None]] = (renamed, resized, retyped, valued, moved, dropped)


def mutants(data: bytes, seed: int) -> Iterator[bytes]:
    """Endless mutants of a file, by bytes and by fields in turn."""
    dice = random.Random(seed)
    while True:
        yield dice.choice(BYTES)(data, dice) if dice.random() < 0.5 else _by_field(data, dice)


def _by_field(data: bytes, dice: random.Random) -> bytes:
    model = onnx.ModelProto()
    model.ParseFromString(data)
    for _ in range(dice.randint(1, 3)):
        if model.graph.node:
            dice.choice(GRAPHS)(model.graph, dice)
    return model.SerializeToString()
