"""The losses of a graph: which argument is the prediction, which the target, and what made the prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradlint import ops
from gradlint.analysis.learning import learnt
from gradlint.analysis.operands import final_readers, history, inputs, literal, once, origin, pair
from gradlint.finding import Related
from gradlint.graph import Frame, ModelGraph, Node, NodeKind
from gradlint.rule import related_at, user_frame

PROBABILITIES = ("softmax", "safe_softmax")
CATEGORICAL = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
JOINED = frozenset({"cat", "stack", "phi"})
BATCHED = 2
"""Axes of scores that have one for the batch and one for the classes."""

_WEIGHTED = (ops.Kind.LINEAR, ops.Kind.CONV)


@dataclass(frozen=True, slots=True)
class Loss:
    """The call of a loss, what it judges, and by what."""

    call: Node
    prediction: Node
    target: Node | None


def losses(graph: ModelGraph, *names: str) -> Iterator[Loss]:
    """The losses of some canonical names that a target is computed from, each place in the file once."""
    calls = (node for node in graph.nodes if node.op in names and node.id in graph.useful)
    for call in once(calls):
        read = inputs(graph, call)
        if read and literal(call, 0) is None:
            yield Loss(call, read[0], read[1] if len(read) > 1 and literal(call, 1) is None else None)


def activation(graph: ModelGraph, value: Node) -> Node:
    """The op that made a prediction, behind views, casts, selections and dropout; of joined parts the common one."""
    found = origin(graph, value)
    if found.op not in JOINED:
        return found
    parts = [activation(graph, one) for one in inputs(graph, found)]
    same = parts and all(part.op == parts[0].op for part in parts)
    return parts[0] if same else found


def is_softmax(graph: ModelGraph, made: Node) -> bool:
    """Whether a value is a softmax: by its name, or exponentials divided by their sum."""
    if made.op in PROBABILITIES:
        return True
    above, below = pair(graph, made) if made.op == "div" else (None, None)
    if not isinstance(above, Node) or not isinstance(below, Node):
        return False
    terms, total = origin(graph, above), origin(graph, below)
    summed = [origin(graph, one) for one in inputs(graph, total)[:1]] if total.op == "sum" else []
    return terms.op == "exp" and any(_is_same_exponential(graph, terms, one) for one in summed)


def _is_same_exponential(graph: ModelGraph, one: Node, other: Node) -> bool:
    same = [origin(graph, value).id for value in inputs(graph, one)[:1]]
    return one.id == other.id or (other.op == "exp" and same == [origin(graph, v).id for v in inputs(graph, other)[:1]])


def is_exchanged(graph: ModelGraph, loss: Loss) -> bool:
    """Whether a loss has the model's output where the target belongs, and data where the prediction belongs."""
    if loss.target is None or loss.target.id not in learnt(graph):
        return False
    return all(_is_data(node) for node in history(graph, loss.prediction))


def _is_data(node: Node) -> bool:
    known = ops.facts(node.op) if node.kind is NodeKind.OP else None
    if node.kind is NodeKind.OP:
        return known is not None and node.value == "tensor"
    return node.kind in (NodeKind.CONSTANT, NodeKind.INPUT)


def is_used_elsewhere(graph: ModelGraph, made: Node, loss: Loss) -> bool:
    """Whether a value that a loss judges is also read by something else that training depends on."""
    others = (reader for reader in final_readers(graph, made) if reader.id in graph.useful)
    return any(user_frame(reader) != user_frame(loss.call) or reader.op != loss.call.op for reader in others)


def classes(prediction: Node) -> int | None:
    """How many classes scores of shape (batch, classes, ...) are for; None where that is not known."""
    shape = prediction.shape
    return shape[1] if shape is not None and len(shape) >= BATCHED else None


def units(graph: ModelGraph, value: Node) -> int | None:
    """How many units the layer has that made a value, behind views and activations; None where there is none."""
    found = activation(graph, value)
    for _ in range(len(graph)):
        known = ops.facts(found.op) if found.kind is NodeKind.OP else None
        read = inputs(graph, found)
        if known is None or not read:
            return None
        if known.kind in _WEIGHTED:
            return _width(read)
        if known.kind is not ops.Kind.ACTIVATION:
            return None
        found = origin(graph, read[0])
    return None


def _width(read: tuple[Node, ...]) -> int | None:
    weights = [one for one in read[1:2] if one.kind is NodeKind.PARAMETER and one.shape]
    return weights[0].shape[0] if weights and weights[0].shape else None


def place(graph: ModelGraph, made: Node, loss: Loss) -> Frame | None:
    """Where to point at an activation: its own expression, or the loss for one that a container called."""
    return (None if _is_of_container(graph, made) else user_frame(made)) or user_frame(loss.call)


def _is_of_container(graph: ModelGraph, made: Node) -> bool:
    """Whether the user's own expression called a container, which called this module and others."""
    own = user_frame(made)
    if made.module.rpartition(".")[2].isdigit():
        return True
    return any(user_frame(one) == own and one.module not in ("", made.module) for one in inputs(graph, made))


def other_place(graph: ModelGraph, made: Node, loss: Loss) -> tuple[Related, ...]:
    """The loss that an activation goes into, or what it judges."""
    if place(graph, made, loss) == user_frame(loss.call):
        return related_at(user_frame(made), "the activation is called here")
    return related_at(user_frame(loss.call), "the loss")


def compares_nothing(graph: ModelGraph, loss: Loss) -> bool:
    """Whether a categorical loss is taken over one unit, so that it is the same whatever that says."""
    if is_exchanged(graph, loss) or not _reaches(graph, loss.prediction.id):
        return False
    return units(graph, loss.prediction) == 1 and _is_alone(loss.prediction)


def _is_alone(scores: Node) -> bool:
    """Whether the classes of some scores are one unit: by their shape, else as the output of a layer."""
    if scores.shape is None:
        return (known := ops.facts(scores.op)) is not None and known.kind in (ops.Kind.LINEAR, ops.Kind.CONV)
    return classes(scores) == 1 or len(scores.shape) == 1


def _reaches(graph: ModelGraph, node: int) -> bool:
    """Whether a parameter of the model takes part in a value; its gradient is zero by the very fault."""
    return any(graph.node(one).kind is NodeKind.PARAMETER for one in graph.reaching([node]))
