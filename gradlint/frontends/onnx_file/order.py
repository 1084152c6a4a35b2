"""The nodes of a graph in an order in which everything is made before it is read."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

import onnx

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file.values import Scope

_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def sorted_nodes(nodes: Sequence[onnx.NodeProto], scope: Scope) -> Sequence[onnx.NodeProto]:
    """The nodes as they are when they are sorted, as the standard demands, else sorted by what they read.

    Raises `TargetError` when two make one name, when one reads what nothing makes, and for a circle.
    """
    makers: dict[str, int] = {}
    early = False
    for number, node in enumerate(nodes):
        early = early or any(name not in makers and name and scope.find(name) is None for name in node.input)
        for name in node.output:
            if name and (name in makers or name in scope.values):
                raise TargetError(f"`{name}` is made twice")
            makers[name] = number
    makers.pop("", None)
    if not early and all(maker < number for number, node in _with_graphs(nodes) for maker in _inner(node, makers)):
        return nodes
    return [nodes[number] for number in _by_need(nodes, [_waits(node, makers, scope) for node in nodes])]


def _with_graphs(nodes: Sequence[onnx.NodeProto]) -> Iterator[tuple[int, onnx.NodeProto]]:
    """The nodes that hold branches or bodies."""
    return (
        (number, node)
        for number, node in enumerate(nodes)
        if any(attribute.type in _GRAPHS for attribute in node.attribute)
    )


def _inner(node: onnx.NodeProto, makers: dict[str, int]) -> set[int]:
    """The nodes that those inside of a node read from."""
    return {makers[name] for graph in _graphs(node) for name in _read_inside(graph) if name in makers}


def _graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The branches and bodies of a node."""
    found = [attribute for attribute in node.attribute if attribute.type in _GRAPHS]
    return [graph for one in found for graph in ([one.g] if one.HasField("g") else one.graphs)]


def _waits(node: onnx.NodeProto, makers: dict[str, int], scope: Scope) -> set[int]:
    """The nodes that a node reads from, also inside of its branches."""
    unknown = next((name for name in node.input if name and name not in makers and scope.find(name) is None), None)
    if unknown is not None:
        raise TargetError(f"the node `{node.name or node.op_type}` reads `{unknown}`, which nothing makes")
    return {makers[name] for name in node.input if name in makers} | _inner(node, makers)


def _read_inside(graph: onnx.GraphProto) -> set[str]:
    """Every name that a graph and those inside of it read from outside, and perhaps some of their own."""
    names: set[str] = set()
    own: set[str] = set()
    waiting = [graph]
    while waiting:
        here = waiting.pop()
        names |= {one.name for one in here.output}
        own |= {one.name for one in here.input} | {one.name for one in here.initializer}
        for node in here.node:
            names.update(node.input)
            own.update(node.output)
            waiting += _graphs(node)
    return names - own


def _by_need(nodes: Sequence[onnx.NodeProto], waits: list[set[int]]) -> list[int]:
    """Numbers of the nodes, each behind those that it waits for (Kahn 1962)."""
    readers: dict[int, list[int]] = defaultdict(list)
    for number, wait in enumerate(waits):
        for maker in wait:
            readers[maker].append(number)
    left = [len(wait) for wait in waits]
    ready = deque(number for number, count in enumerate(left) if count == 0)
    done: list[int] = []
    while ready:
        number = ready.popleft()
        done.append(number)
        for reader in readers[number]:
            left[reader] -= 1
            if left[reader] == 0:
                ready.append(reader)
    if len(done) < len(nodes):
        stuck = next(number for number, count in enumerate(left) if count > 0)
        raise TargetError(f"the node `{nodes[stuck].name or nodes[stuck].op_type}` waits for its own result")
    return done
