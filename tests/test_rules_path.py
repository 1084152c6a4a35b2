"""The rules of the gradient path on graphs that are built by hand: whom they blame, and when they are silent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import (
    Edge,
    GradientState,
    Hidden,
    Model,
    ModelGraph,
    Node,
    NodeKind,
    Parameter,
    Passage,
    Reason,
)
from gradlint.registry import rule
from gradlint.training import Event, EventKind, TrainingStep

CUT = Frame("model.py", 12, 20, 12, 30, "Net.forward")
BUILT = Frame("model.py", 8, 9)

WEIGHT = Parameter("fc.weight", (3, 3), 9, node=0, gradient=GradientState.NONE, made=BUILT)
ENDED = (Event(EventKind.BACKWARD),)


def graph(
    *parameters: Parameter,
    native: str = "detach",
    reason: Reason = Reason.DETACH,
    hidden: tuple[Hidden, ...] = (),
    events: tuple[Event, ...] = ENDED,
    **model: Any,
) -> ModelGraph:
    """weight 0, input 1 → linear 2 → a cut 3, at which the loss is."""
    nodes = [
        Node(0, NodeKind.CONSTANT, ""),
        Node(1, NodeKind.INPUT, ""),
        Node(2, NodeKind.OP, "linear", "linear"),
        Node(3, NodeKind.OP, native, native, frames=(CUT,)),
    ]
    edges = [Edge(0, 2), Edge(1, 2), Edge(2, 3, Passage.BLOCKED, reason)]
    known = {"reach_at": "loss", "targets": (3,), "hidden": hidden, **model}
    net = Model("Net", "model.py", 4, "recorded", parameters=parameters, **known)
    return ModelGraph(net, nodes, edges, TrainingStep(events))


def said(code: str, drawn: ModelGraph) -> list[Finding]:
    return list(rule(code)().check(drawn))


def test_a_cut_names_its_place_and_what_it_starves() -> None:
    (finding,) = said("GL101", graph(WEIGHT))
    assert (finding.line, finding.column, finding.end_column) == (12, 20, 30)
    assert finding.parameters == ("fc.weight",)
    assert finding.parameter_share == 1.0
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("native", "code", "reason", "expected"),
    [
        ("detach", "GL101", Reason.DETACH, "`.detach()`"),
        ("get:data", "GL101", Reason.DETACH, "`.data`"),
        ("__float__", "GL103", Reason.SCALAR, "`float()`"),
        ("tensor", "GL104", Reason.REWRAP, "`tensor()`"),
        ("gt", "GL105", Reason.NON_DIFFERENTIABLE, "`>`"),
        ("argmax", "GL105", Reason.NON_DIFFERENTIABLE, "`argmax()`"),
        ("long", "GL106", Reason.INTEGER_CAST, "`.long()`"),
        ("mul", "GL108", Reason.ZERO, "`* 0`"),
        ("set:requires_grad", "GL115", Reason.MASKED, "`.requires_grad = True`"),
    ],
)
def test_a_cut_is_spelt_as_it_is_written(native: str, code: str, reason: Reason, expected: str) -> None:
    (finding,) = said(code, graph(WEIGHT, native=native, reason=reason))
    assert finding.message.startswith(expected)


def test_what_every_optimizer_leaves_out_is_not_trained() -> None:
    assert not said("GL101", graph(replace(WEIGHT, optimized=False)))


def test_a_network_that_is_moved_by_hand_may_be_detached() -> None:
    momentum = replace(WEIGHT, moved_by_hand=True)
    assert not said("GL101", graph(momentum))
    assert said("GL101", graph(replace(momentum, optimized=True)))
    assert said("GL106", graph(momentum, native="long", reason=Reason.INTEGER_CAST))


def test_without_a_loss_a_switched_off_gradient_is_a_note() -> None:
    drawn = graph(WEIGHT, native="linear", reason=Reason.GRAD_DISABLED, reach_at="outputs")
    assert [finding.severity for finding in said("GL107", drawn)] == [Severity.NOTE]


def spare(name: str, **facts: Any) -> Parameter:
    """A parameter that forward never touched."""
    part = name.rpartition(".")[0]
    known = {"gradient": GradientState.NONE, "made": BUILT, "unused_part": part, **facts}
    return Parameter(name, (3,), 3, **known)


def test_unused_parts_of_one_line_are_one_finding() -> None:
    blocks = [spare(f"blocks.{n}.{name}") for n in range(5) for name in ("weight", "bias")]
    (finding,) = said("GL109", graph(*blocks))
    assert len(finding.parameters) == 10
    assert "`blocks.0`, `blocks.1`, `blocks.2` and 2 more" in finding.message


def test_unused_parts_of_two_lines_are_two_findings() -> None:
    drawn = graph(spare("aux.weight"), spare("gate.weight", made=Frame("model.py", 9, 9)))
    assert [finding.line for finding in said("GL109", drawn)] == [8, 9]


@pytest.mark.parametrize("facts", [{"owner_read": True}, {"optimized": False}, {"trainable": False}])
def test_a_part_that_other_code_uses_or_nobody_trains_is_not_unused(facts: dict[str, Any]) -> None:
    assert not said("GL109", graph(spare("aux.weight", **facts)))


def test_nothing_is_called_unused_after_a_forward_pass_that_raised() -> None:
    raised = (Event(EventKind.FORWARD, error="shapes cannot be multiplied"),)
    assert not said("GL109", graph(spare("aux.weight"), events=raised))


def test_a_parameter_made_in_forward_misses_the_optimizer() -> None:
    late = replace(WEIGHT, made=CUT, gradient=GradientState.ARRIVES)
    assert [finding.line for finding in said("GL111", graph(replace(late, optimized=False)))] == [12]
    assert not said("GL111", graph(replace(late, optimized=True)))
    assert not said("GL111", graph(late))


@pytest.mark.parametrize(
    ("kind", "container", "advice"), [("module", "list", "nn.ModuleList"), ("parameter", "dict", "nn.ParameterDict")]
)
def test_the_container_that_registers_is_advised(kind: str, container: str, advice: str) -> None:
    kept = Hidden(kind, "convs", container, ("convs[0]",), 9, BUILT, nodes=(3,))
    (finding,) = said("GL110", graph(WEIGHT, hidden=(kept,)))
    assert advice in finding.advice
    assert not said("GL110", graph(WEIGHT, hidden=(replace(kept, optimized=True),)))
    assert not said("GL110", graph(WEIGHT, hidden=(replace(kept, nodes=()),)))
