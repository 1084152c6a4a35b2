"""The rules about depth and initialisation, on graphs that are built by hand: what makes a run, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gradlint.analysis.structure import runs
from gradlint.finding import Evidence, Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import Edge, Initialisation, Model, ModelGraph, Node, NodeKind, Parameter, Passage, Reason
from gradlint.registry import rule

WIDTH = 8
BUILT = Frame("model.py", 10, 9)
INITIALISED = Frame("model.py", 20, 9)


@dataclass
class Drawing:
    """A forward pass, drawn op by op; every method returns the number of the value that it makes."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)

    def value(self, kind: NodeKind, op: str, *sources: int, shape: tuple[int, ...] = (2, WIDTH), **rest: Any) -> int:
        number = len(self.nodes)
        self.nodes.append(Node(number, kind, op, op, shape=shape, frames=(Frame("model.py", 100 + number),), **rest))
        self.edges += [Edge(source, number) for source in sources]
        return number

    def op(self, name: str, *sources: int) -> int:
        return self.value(NodeKind.OP, name, *sources)

    def input(self) -> int:
        return self.value(NodeKind.INPUT, "")

    def weight(self, **facts: Any) -> int:
        node = self.value(NodeKind.CONSTANT, "", shape=(WIDTH, WIDTH))
        name = f"w{len(self.parameters)}"
        self.parameters.append(Parameter(name, (WIDTH, WIDTH), WIDTH**2, node=node, made=BUILT, **facts))
        return node

    def linear(self, source: int, **facts: Any) -> int:
        return self.op("linear", source, self.weight(**facts))

    def stack(self, source: int, depth: int, activation: str, **facts: Any) -> int:
        """`depth` times a linear layer and its activation."""
        for _ in range(depth):
            source = self.op(activation, self.linear(source, **facts))
        return source

    def graph(self, *targets: int) -> ModelGraph:
        model = Model("Net", "model.py", 1, "recorded", parameters=tuple(self.parameters), targets=targets)
        return ModelGraph(model, self.nodes, self.edges)

    def lengths(self, *targets: int) -> list[int]:
        return [len(run.layers) for run in runs(self.graph(*targets))]


@pytest.fixture
def net() -> Drawing:
    return Drawing()


def judged(code: str, graph: ModelGraph) -> list[Finding]:
    return list(rule(code)().check(graph))


def test_a_run_goes_through_what_one_signal_enters(net: Drawing) -> None:
    x = net.stack(net.input(), 2, "relu")
    x = net.op("dropout", net.op("reshape", x))
    assert net.lengths(net.linear(x)) == [3]


@pytest.mark.parametrize("end", ["layer_norm", "batch_norm", "lstm", "something_unheard_of"])
def test_a_run_ends_at_what_changes_the_scale(net: Drawing, end: str) -> None:
    x = net.op(end, net.stack(net.input(), 2, "relu"))
    assert net.lengths(net.stack(x, 3, "relu")) == [2, 3]


def test_a_run_ends_at_a_fork_and_at_a_meeting(net: Drawing) -> None:
    trunk = net.stack(net.input(), 2, "relu")
    left, right = net.stack(trunk, 1, "relu"), net.stack(trunk, 2, "tanh")
    assert net.lengths(net.linear(net.op("cat", left, right))) == [2, 1, 2, 1]


def test_a_detached_reader_is_no_fork(net: Drawing) -> None:
    x = net.stack(net.input(), 2, "relu")
    logged = net.op("detach", x)
    net.edges[-1] = Edge(x, logged, Passage.BLOCKED, Reason.DETACH)
    assert net.lengths(net.linear(x)) == [3]


def test_a_skip_bypasses_the_run_that_it_leads_around(net: Drawing) -> None:
    x = net.linear(net.input())
    branch = net.linear(net.op("relu", net.linear(x)))
    graph = net.graph(net.linear(net.op("add", branch, x)))
    assert [run.bypassed for run in runs(graph)] == [False, True, False]


def test_two_inputs_that_are_added_bypass_nothing(net: Drawing) -> None:
    one, other = net.linear(net.input()), net.linear(net.input())
    assert not any(run.bypassed for run in runs(net.graph(net.op("add", one, other))))


def test_weights_that_are_computed_are_no_plain_layers(net: Drawing) -> None:
    x = net.stack(net.input(), 1, "relu")
    x = net.op("linear", x, net.op("weight_norm", net.weight()))
    assert net.lengths(net.linear(x)) == [1, 1]


def test_a_transposed_weight_is_the_weight(net: Drawing) -> None:
    x = net.op("matmul", net.input(), net.op("transpose", net.weight()))
    assert net.lengths(net.linear(x)) == [2]


@pytest.mark.parametrize(
    ("activation", "depth", "severities"),
    [
        ("sigmoid", 3, []),
        ("sigmoid", 4, [Severity.WARNING]),
        ("softsign", 4, [Severity.NOTE]),
        ("tanh", 12, [Severity.NOTE]),
        ("relu", 7, []),
        ("softmax", 5, []),
    ],
)
def test_saturating_rows_are_judged_by_their_bound(
    net: Drawing, activation: str, depth: int, severities: list[Severity]
) -> None:
    graph = net.graph(net.linear(net.stack(net.input(), depth, activation)))
    assert [finding.severity for finding in judged("GL401", graph)] == severities


def test_an_output_activation_is_not_in_the_row(net: Drawing) -> None:
    assert not judged("GL401", net.graph(net.stack(net.input(), 4, "sigmoid")))


@pytest.mark.parametrize(("first", "severity"), [(1e-5, Severity.WARNING), (0.5, Severity.NOTE)])
def test_a_measured_gradient_judges_a_row_of_tanh(net: Drawing, first: float, severity: Severity) -> None:
    x = net.op("tanh", net.linear(net.input(), measured_rms=first))
    x = net.stack(x, 5, "tanh", measured_rms=0.7)
    (finding,) = judged("GL401", net.graph(net.linear(x, measured_rms=1.0)))
    assert finding.severity is severity
    assert finding.line == net.nodes[3].frames[0].line


def test_weights_shared_over_time_are_no_row(net: Drawing) -> None:
    x, weight = net.input(), net.weight()
    for _ in range(9):
        x = net.op("tanh", net.op("linear", x, weight))
    graph = net.graph(net.linear(x))
    assert not judged("GL401", graph)
    assert not judged("GL501", graph)


def he(name: str = "kaiming_normal_", **arguments: Any) -> dict[str, Any]:
    return {"initialisations": (Initialisation(name, arguments, INITIALISED),)}


@pytest.mark.parametrize(
    ("depth", "activation", "facts", "severities"),
    [
        (6, "relu", {}, []),
        # Without biases the signal shrinks as the gradient does: all weights get the same.
        (9, "relu", {}, [Severity.NOTE]),
        (9, "softplus", {}, [Severity.WARNING]),
        (9, "relu", he(), [Severity.NOTE]),
        (9, "selu", {}, []),
    ],
)
def test_unmeasured_depth_is_judged_by_its_initialisation(
    net: Drawing, depth: int, activation: str, facts: dict[str, Any], severities: list[Severity]
) -> None:
    graph = net.graph(net.linear(net.stack(net.input(), depth, activation, **facts)))
    findings = judged("GL501", graph)
    assert [finding.severity for finding in findings] == severities
    assert all(finding.evidence is Evidence.PREDICTED for finding in findings)


@pytest.mark.parametrize(
    ("first", "facts", "severities"),
    [
        (1e-5, {}, [Severity.WARNING]),
        (1e5, {}, [Severity.WARNING]),
        (0.3, {}, [Severity.NOTE]),
        (0.3, he("uniform_"), []),
    ],
)
def test_measured_depth_is_judged_by_its_gradient(
    net: Drawing, first: float, facts: dict[str, Any], severities: list[Severity]
) -> None:
    x = net.op("relu", net.linear(net.input(), measured_rms=first, **facts))
    x = net.linear(net.stack(x, 8, "relu", measured_rms=0.5, **facts), measured_rms=1.0, **facts)
    assert [finding.severity for finding in judged("GL501", net.graph(x))] == severities


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (he("xavier_uniform_"), 1),
        (he("xavier_normal_", gain=1.0), 1),
        (he("xavier_normal_", gain=2**0.5), 0),
        (he("kaiming_normal_"), 0),
        ({}, 0),
    ],
)
def test_xavier_of_gain_one_is_found_once_a_call(net: Drawing, facts: dict[str, Any], found: int) -> None:
    graph = net.graph(net.linear(net.stack(net.input(), 3, "relu", **facts), **facts))
    findings = judged("GL301", graph)
    assert [finding.line for finding in findings] == [INITIALISED.line] * found
    assert all(finding.parameters == ("w0", "w1", "w2") for finding in findings)


@pytest.mark.parametrize("between", ["batch_norm", "mul", "tanh"])
def test_xavier_is_fine_where_something_stands_before_the_relu(net: Drawing, between: str) -> None:
    x = net.op("relu", net.op(between, net.linear(net.input(), **he("xavier_uniform_"))))
    assert not judged("GL301", net.graph(net.linear(x)))


def test_the_constructor_of_a_layer_is_not_the_user(net: Drawing) -> None:
    own = Initialisation("xavier_uniform_", {}, BUILT)
    x = net.op("relu", net.linear(net.input(), initialisations=(own,)))
    assert not judged("GL301", net.graph(net.linear(x)))


def test_the_last_initialiser_counts(net: Drawing) -> None:
    first = Initialisation("xavier_uniform_", {}, INITIALISED)
    second = replace(first, name="kaiming_uniform_", frame=Frame("model.py", 21))
    x = net.op("relu", net.linear(net.input(), initialisations=(first, second)))
    assert not judged("GL301", net.graph(net.linear(x)))
