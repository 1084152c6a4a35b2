"""Reach and blame on graphs made up by hypothesis, against a brute-force search."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gradlint.analysis.prices import surcharges
from gradlint.analysis.reach import PRECEDENCE, cheapest_way, price, reach
from gradlint.frame import Frame
from gradlint.graph import Edge, GradientState, Model, ModelGraph, Node, NodeKind, Parameter, Passage, Reason

FACTS = [(Passage.FLOWS, None), (Passage.UNKNOWN, None), *((Passage.BLOCKED, reason) for reason in PRECEDENCE)]


@st.composite
def graphs(draw: st.DrawFn) -> ModelGraph:
    """A random acyclic graph; node 0 is a parameter, the last node the loss."""
    size = draw(st.integers(2, 9))
    pairs = [(source, target) for target in range(1, size) for source in range(target)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20))
    edges = [Edge(source, target, *draw(st.sampled_from(FACTS))) for source, target in chosen]
    nodes = [
        Node(
            n,
            NodeKind.OP if n else NodeKind.PARAMETER,
            "op",
            frames=(Frame("m.py", n + 1, 1, n + 1, 5),),
            dtype="float32",
        )
        for n in range(size)
    ]
    parameter = Parameter("w", (1,), 1, node=0)
    return ModelGraph(Model("Net", "m.py", 1, "recorded", parameters=(parameter,), targets=(size - 1,)), nodes, edges)


def ways(graph: ModelGraph, node: int) -> list[list[Edge]]:
    """All ways from a node to the target."""
    if node in graph.model.targets:
        return [[]]
    return [[edge, *rest] for edge in graph.outgoing(node) for rest in ways(graph, edge.target)]


@given(graphs())
def test_a_parameter_is_starved_when_every_way_is_cut(graph: ModelGraph) -> None:
    open_ways = [way for way in ways(graph, 0) if all(edge.open for edge in way)]
    assert (reach(graph).starved == ("w",)) == (not open_ways)


@given(graphs())
def test_the_cheapest_way_is_a_way_and_none_is_cheaper(graph: ModelGraph) -> None:
    found = cheapest_way(graph, 0)
    everything = ways(graph, 0)
    assert bool(found) == bool(everything)
    assert all(one.target == other.source for one, other in pairwise(found))
    if found:
        surcharge = surcharges(graph)
        paid = [sum(price(graph, edge) + surcharge(edge) for edge in way) for way in (*everything, found)]
        assert paid[-1] == min(paid)


@given(graphs())
def test_a_starved_parameter_has_one_cause_that_lies_on_a_way(graph: ModelGraph) -> None:
    result = reach(graph)
    on_ways = {(edge.source, edge.target) for way in ways(graph, 0) for edge in way if not edge.open}
    for cause in result.causes:
        assert (cause.cut.edge.source, cause.cut.edge.target) in on_ways
        assert [p.name for p in cause.parameters] == ["w"]
    touched = any(graph.outgoing(0))
    assert len(result.causes) == (result.starved == ("w",) and bool(ways(graph, 0)) and touched)


def test_a_masked_cut_is_named_before_the_one_that_it_hides() -> None:
    nodes = [Node(n, NodeKind.OP, "op", frames=(Frame("m.py", n + 1),), dtype="float32") for n in range(3)]
    edges = [Edge(0, 1, Passage.BLOCKED, Reason.NON_DIFFERENTIABLE), Edge(1, 2, Passage.BLOCKED, Reason.MASKED)]
    parameter = Parameter("w", (1,), 1, node=0)
    graph = ModelGraph(Model("Net", "m.py", 1, "recorded", parameters=(parameter,), targets=(2,)), nodes, edges)
    (cause,) = reach(graph).causes
    assert cause.cut.reason is Reason.MASKED
    assert [cut.reason for cut in cause.hidden] == [Reason.NON_DIFFERENTIABLE]


def test_a_zero_gradient_starves_although_autograd_sees_a_way() -> None:
    nodes = [Node(n, NodeKind.OP, "round", frames=(Frame("m.py", n + 1),), dtype="float32") for n in range(2)]
    parameter = Parameter("w", (1,), 1, node=0, gradient=GradientState.ARRIVES)
    model = Model("Net", "m.py", 1, "recorded", parameters=(parameter,), targets=(1,))
    graph = ModelGraph(model, nodes, [Edge(0, 1, Passage.ZERO, Reason.ZERO)])
    assert reach(graph).starved == ("w",)
