"""The model graph's own services: its neighbours, and itself as a graph of networkx."""

from __future__ import annotations

import networkx

from gradlint.graph import Edge, Model, ModelGraph, Node, NodeKind, Passage, Reason


def _graph() -> ModelGraph:
    nodes = [Node(number, NodeKind.OP, f"op{number}") for number in range(4)]
    edges = [Edge(0, 2), Edge(1, 2, Passage.BLOCKED, Reason.DETACH), Edge(2, 3)]
    return ModelGraph(Model("Net", "net.py", 1, "source", targets=(3,)), nodes, edges)


def test_neighbours_are_found_from_both_ends() -> None:
    graph = _graph()
    assert [edge.source for edge in graph.incoming(2)] == [0, 1]
    assert [edge.target for edge in graph.outgoing(2)] == [3]
    assert graph.edge(1, 2).reason is Reason.DETACH
    assert len(graph) == 4
    assert 3 in graph
    assert 4 not in graph
    assert graph.useful == {0, 1, 2, 3}
    assert graph.reaching([3], lambda edge: edge.open) == {0, 2, 3}


def test_a_twin_has_the_same_values() -> None:
    twin = _graph().for_model(Model("Other", "net.py", 9, "source", targets=(2,)))
    assert twin.model.name == "Other"
    assert twin.useful == {0, 1, 2}


def test_the_graph_of_networkx_has_all_values_and_facts() -> None:
    graph = _graph()
    values = graph.digraph()
    assert networkx.is_directed_acyclic_graph(values)
    assert [data["node"] for _, data in values.nodes(data=True)] == list(graph.nodes)
    assert {data["edge"] for _, _, data in values.edges(data=True)} == set(graph.edges)
    assert networkx.descendants(values, 1) == {2, 3}
