"""Repeated layers are folded when, and only when, they are alike in everything that a reader could ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlint.graph import ModelGraph, NodeKind, Reason
from gradlint.report.graph import names
from gradlint.report.graph.folding import folded
from gradlint.report.graph.outline import Block, Item, Repeat, flat, outline
from gradlint.report.graph.shown import shown
from gradlint.report.graph.view import view
from tests.graph_command.building import Sketch, layers

LAYERS = 6


def repeats(graph: ModelGraph) -> list[tuple[str, int]]:
    """Title and number of rounds of every outermost repetition."""

    def found(items: Iterable[Item]) -> Iterator[tuple[str, int]]:
        for item in items:
            if isinstance(item, Repeat):
                yield names.title(item), len(item.rounds)
            elif isinstance(item, Block):
                yield from found(item.items)

    part = shown(graph)
    return list(found(folded(part, outline(part.calls))))


def test_equal_layers_are_folded() -> None:
    sketch = Sketch()
    made = layers(sketch, sketch.input(), LAYERS)
    assert repeats(sketch.graph(sketch.linear("head", made))) == [("layers.0-5", LAYERS)]


@pytest.mark.parametrize("facts", [{"shape": (2, 8)}, {"literals": {"p": 0.5}}, {"dtype": "float16"}, {"op": "tanh"}])
def test_a_layer_that_differs_stands_alone(facts: dict[str, Any]) -> None:
    sketch = Sketch()
    made = layers(sketch, sketch.input(), 2)
    odd = {"module": "layers.2"} | facts
    made = sketch.op(odd.pop("op", "relu"), made, **odd)
    assert repeats(sketch.graph(layers(sketch, made, 2, "more"))) == [("layers.0-1", 2), ("more.0-1", 2)]


def test_layers_on_both_sides_of_a_cut_are_not_one() -> None:
    sketch = Sketch()
    source = sketch.input()
    for number in range(4):
        closed = Reason.DETACH if number == 1 else None
        source = sketch.linear(f"layers.{number}", source)
        source = sketch.op("relu", source, module=f"layers.{number}", closed=closed)
    assert repeats(sketch.graph(source)) == [("layers.2-3", 2)]


def test_starved_layers_and_trained_ones_are_not_one() -> None:
    sketch = Sketch()
    made = sketch.op("detach", layers(sketch, sketch.input(), 3), closed=Reason.DETACH)
    assert repeats(sketch.graph(layers(sketch, made, 3, "layers"))) == [("layers.0-2", 3), ("layers.0-2", 3)]


def test_layers_that_read_different_values_are_not_one() -> None:
    sketch = Sketch()
    first = sketch.op("relu", sketch.input("a"), module="enter")
    skips = [sketch.linear(f"down.{number}", first) for number in range(4)]
    up = skips[0]
    for number, skip in enumerate(reversed(skips)):
        up = sketch.op("add", up, skip, module=f"up.{number}")
        up = sketch.op("tanh", up, module=f"up.{number}")
    assert repeats(sketch.graph(up)) == [("down.0-3", 4)]


def test_ops_between_layers_belong_to_the_round() -> None:
    sketch = Sketch()
    source = sketch.input()
    for number in range(5):
        source = sketch.op("add", source, sketch.linear(f"layers.{number}", source))
    assert repeats(sketch.graph(source)) == [("layers.0-4", 5)]


def test_two_bare_ops_are_no_repetition() -> None:
    sketch = Sketch()
    made = sketch.op("relu", sketch.op("relu", sketch.input()))
    assert repeats(sketch.graph(made)) == []


def test_how_weights_were_filled_is_not_shown() -> None:
    sketch = Sketch()
    filled = sketch.op("zero", sketch.op("empty"))
    source = sketch.input()
    made = sketch.op("batch_norm", source, filled)
    assert [call.first.id for call in shown(sketch.graph(made)).calls] == [source, made]


def test_a_graph_of_many_equal_ops_without_modules_is_folded_quickly() -> None:
    sketch = Sketch()
    made = sketch.input()
    for _ in range(20_000):
        made = sketch.op("relu", made)
    assert repeats(sketch.graph(made)) == [("", 20_000)]


MODULES = st.lists(st.sampled_from(["", "a", "a.0", "a.1", "a.2", "b", "b.c.0", "b.c.1"]), min_size=1, max_size=30)


@given(MODULES, st.data())
def test_folding_loses_no_op(modules: list[str], data: st.DataObject) -> None:
    sketch = Sketch()
    made = [sketch.input()]
    for module in modules:
        source = data.draw(st.sampled_from(made[-2:]))
        made.append(sketch.op(data.draw(st.sampled_from(["relu", "tanh"])), source, module=module))
    part = shown(sketch.graph(*made))
    items = folded(part, outline(part.calls))
    assert list(flat(items)) == list(part.calls)


@given(MODULES, st.integers(0, 4))
def test_every_value_has_a_box_and_links_go_forward(modules: list[str], depth: int) -> None:
    sketch = Sketch()
    made = sketch.input()
    for module in modules:
        made = sketch.op("relu", made, module=module)
    graph = sketch.graph(made)
    picture = view(shown(graph), depth)
    numbers = [box.number for box in picture.boxes]
    assert numbers == sorted(set(numbers))
    assert {node.id for node in graph.nodes} == set(picture.home)
    assert all(link.source < link.target for box in picture.boxes for link in picture.links(box))
    assert sum(box.calls[0].first.kind is NodeKind.INPUT for box in picture.boxes) == 1
