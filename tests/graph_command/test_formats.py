"""Text, dot, mermaid and JSON: what they show, and that no name can break them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlint.graph import ModelGraph, Reason
from gradlint.report.graph import FORMATS, render
from gradlint.report.graph.document import GraphDocument, document
from gradlint.report.graph.dot import quoted as quoted_in_dot
from gradlint.report.graph.mermaid import quoted as quoted_in_mermaid
from gradlint.report.graph.shown import shown
from tests.graph_command.building import Sketch, layers

DOT = shutil.which("dot")
TEXTUAL = [form for form in FORMATS if form in ("text", "dot", "mermaid", "json")]

NASTY = st.one_of(
    st.text(max_size=12),
    st.text(alphabet='"\\\n\r&<>;#{}[]|%:`end style', max_size=16),
    st.sampled_from(['"', "\\", 'a\\"', "</script>", "]];", "%%{init: {}}%%", "style a:b#35;", "\\N", "&quot;", "end"]),
)


def cut_net() -> ModelGraph:
    sketch = Sketch()
    made = layers(sketch, sketch.linear("embed", sketch.input()), 4)
    made = sketch.op("detach", made, closed=Reason.DETACH)
    return sketch.graph(sketch.linear("head", made))


def text(form: str, graph: ModelGraph, depth: int | None = None) -> str:
    made = render(form, graph, depth)
    assert isinstance(made, str)
    return made


def test_text_shows_layers_facts_and_reach() -> None:
    assert text("text", cut_net()).splitlines() == [
        "Net  net.py:3  recorded",
        "6 parameters with 96 elements; 1 of 6 get a gradient from the outputs",
        "",
        "         %0  input x                        float32[2, 4]",
        "  embed  %1  linear   %0, weight            float32[2, 4]  no gradient",
        "  layers.0-3 \N{MULTIPLICATION SIGN}4",
        "    up   %2  linear   %1, weight            float32[2, 4]  no gradient",
        "    act  %3  relu     %2                    float32[2, 4]",
        "         %4  add      %1, %3                float32[2, 4]",
        "x        %5  detach   %4 (blocked: detach)  float32[2, 4]",
        "  head   %6  linear   %5, weight            float32[2, 4]",
        "outputs: %6",
        "x marks what stops a gradient on its way back",
    ]


def test_a_collapsed_module_says_what_it_hides() -> None:
    sketch = Sketch()
    made = sketch.linear("encoder.up", sketch.input())
    made = sketch.op("round", made, module="encoder.quantize", closed=Reason.ZERO)
    shut = next(line for line in text("text", sketch.graph(made), 1).splitlines() if "encoder" in line)
    assert "2 ops (linear, round), 1 parameters" in shut
    assert "inside: blocked: zero" in shut
    assert shut.startswith("x")


def test_depth_nothing_is_one_box() -> None:
    drawn = text("dot", cut_net(), 0)
    assert re.findall(r"^  (n\d+) \[", drawn, re.MULTILINE) == ["n0", "n1"]
    assert re.findall(r"(n\d+) -> (n\d+)", drawn) == [("n0", "n1")]


def test_pictures_mark_closed_edges_and_starved_parameters() -> None:
    drawn, chart = text("dot", cut_net()), text("mermaid", cut_net())
    assert 'n4 -> n5 [label="blocked: detach"' in drawn
    assert 'n4 -.->|"blocked#58; detach"| n5' in chart
    assert "class n1,n2 starved" in chart
    assert "class n5 cut" in chart


def test_json_round_trips() -> None:
    made = document(shown(cut_net()))
    again = GraphDocument.model_validate_json(text("json", cut_net()))
    assert again == made
    assert document(shown(again.graph())) == made
    assert [weight.name for weight in made.parameters if not weight.starved] == ["head.weight"]


def test_json_holds_every_edge_with_its_fact() -> None:
    graph, made = cut_net(), document(shown(cut_net()))
    assert {(e.source, e.target, e.passage, e.reason) for e in graph.edges} == {
        (e.source, e.target, e.passage, e.reason) for e in made.edges
    }
    assert text("json", graph).isascii()


def named(name: str) -> ModelGraph:
    """A graph in which everything has one name."""
    sketch = Sketch()
    path = f"{name}.{name}"
    source = sketch.op(name or "relu", sketch.input(name), module=path)
    source = sketch.op("relu", source, sketch.weight(name), module=path, dtype=name)
    return sketch.graph(sketch.op("relu", source, closed=Reason.DETACH), name=name)


def dot_strings(drawn: str) -> list[str]:
    """The quoted strings of a DOT text, taken apart by its grammar; fails where the text does not obey it."""
    token = re.compile(r'"((?:[^"\\]|\\.)*)"|[A-Za-z_]\w*|-?\d+(?:\.\d+)?|->|[{}\[\]=;,]|\s+', re.DOTALL)
    place, found = 0, []
    while place < len(drawn):
        match = token.match(drawn, place)
        assert match, drawn[place : place + 40]
        found += [match[1]] if match[1] is not None else []
        place = match.end()
    return found


def shown_by_graphviz(label: str) -> str:
    """What an escString shows, by Graphviz's manual: escapes first, entities then."""
    rows = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], label)
    return rows.replace("&amp;", "&")


LINE_OF_CHART = re.compile(
    r"""flowchart\ TB
    | \s+ n\d+ (\[ L \] | \(\[ L \]\))
    | \s+ subgraph\ g\d+\[ L \] | \s+ end
    | \s+ n\d+\ (--> | -\.->\| L \|)\ n\d+
    | \s+ classDef\ \w+\ [\w:#,-]+ | \s+ class\ n\d+(,n\d+)*\ \w+""".replace(
        "L", r'"(?:[^"\#%:;&<>`\\\n]|\#\d+;|<br/>)+"'
    ),
    re.VERBOSE,
)


@given(NASTY)
def test_no_name_breaks_dot(name: str) -> None:
    drawn = text("dot", named(name))
    labels = dot_strings(drawn)
    assert drawn.count("\n") == len(drawn.splitlines())
    assert any(name.isprintable() and name in shown_by_graphviz(label) for label in labels) or not name.isprintable()


@given(NASTY)
def test_a_dot_string_shows_its_text(name: str) -> None:
    if name.isprintable():
        assert shown_by_graphviz(quoted_in_dot(name)[1:-1]) == name


@given(NASTY)
def test_no_name_breaks_mermaid(name: str) -> None:
    for line in text("mermaid", named(name)).splitlines():
        assert LINE_OF_CHART.fullmatch(line), line


@given(NASTY)
def test_a_mermaid_label_shows_its_text(name: str) -> None:
    if name.isprintable() and name:
        label = quoted_in_mermaid(name)[1:-1]
        assert re.sub(r"#(\d+);", lambda m: chr(int(m[1])), label) == name


@given(NASTY)
def test_no_name_breaks_text_and_json(name: str) -> None:
    graph = named(name)
    assert all(char.isprintable() or char == "\n" for char in text("text", graph))
    written = text("json", graph)
    if name.isprintable():
        assert GraphDocument.model_validate_json(written) == document(shown(graph))


@pytest.mark.skipif(DOT is None, reason="Graphviz is not installed")
@settings(max_examples=25, deadline=None)
@given(NASTY)
def test_graphviz_reads_every_name(name: str) -> None:
    assert DOT
    drawn = text("dot", named(name))
    done = subprocess.run([DOT, "-Tcanon"], input=drawn.encode(), capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("form", TEXTUAL)
def test_a_model_without_a_result_is_shown(form: str) -> None:
    sketch = Sketch()
    sketch.linear("alone", sketch.input())
    assert text(form, sketch.graph())
    assert text(form, Sketch().graph())
