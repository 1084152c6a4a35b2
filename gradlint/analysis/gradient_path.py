"""What the rules of the gradient path have in common: one finding a cause, silent where nothing is lost for sure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradlint import ops
from gradlint.analysis.deployed import is_end
from gradlint.analysis.reach import Cause, Cut, reach
from gradlint.finding import Finding, Related, Severity
from gradlint.graph import Hidden, Model, ModelGraph, NodeKind, Parameter, Reason
from gradlint.ops.facts import Kind
from gradlint.rule import GraphRule, related_at

ON_PURPOSE = frozenset({Reason.DETACH, Reason.GRAD_DISABLED})
"""Cuts that momentum, target and teacher networks need."""

LEAVING = frozenset({Reason.DETACH, Reason.NUMPY, Reason.SCALAR, Reason.REWRAP})
"""Cuts that take a value out of its history."""


class PathRule(GraphRule):
    """A rule that names the cuts of some kinds that take the last way from a parameter to the loss."""

    reasons: ClassVar[frozenset[Reason]]
    behind_loss: ClassVar[bool] = False

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for cause in reach(graph).causes:
            lost = starved_for_sure(cause)
            own = cause.cut.reason in self.reasons and is_behind_loss(graph, cause.cut) == self.behind_loss
            if lost and own and not self.is_told_elsewhere(graph, cause.cut):
                yield self.starves(graph, cause, lost)

    def is_told_elsewhere(self, graph: ModelGraph, cut: Cut) -> bool:
        """Whether a rule with a closer name for it speaks of a cut."""
        return False

    def starves(self, graph: ModelGraph, cause: Cause, lost: tuple[Parameter, ...]) -> Finding:
        """The finding of one cause."""
        return self.found(
            cause.cut.place,
            path=graph.model.path,
            severity=_severity(graph, cause, lost, self.severity),
            related=tuple(place for cut in cause.hidden for place in _beside(cut)),
            extra=affected(graph.model, lost) | {"module": cause.cut.node.module or None},
            expression=spelling(cause.cut),
            count=counted(lost, "parameter tensor"),
            names=listed(lost),
        )


def _severity(graph: ModelGraph, cause: Cause, lost: tuple[Parameter, ...], severity: Severity) -> Severity:
    """A note at the end of a model that was exported for use, else what the model and the cause make of a severity."""
    return Severity.NOTE if is_end(graph, cause.cut) else severity_of(graph.model, cause, lost, severity)


def is_behind_loss(graph: ModelGraph, cut: Cut) -> bool:
    """Whether it is the value of a loss that leaves its history: a fault of the training step, not of the model.

    A similarity or a distance that another loss is computed from is a value like any other.
    """
    if cut.reason not in LEAVING:
        return False
    history = graph.reaching([cut.edge.source], lambda edge: edge.open)
    measures = any(_is_loss(graph, n) for n in history) or _is_measure(graph, cut)
    return measures and not _is_judged(graph, cut.edge.target)


def _is_measure(graph: ModelGraph, cut: Cut) -> bool:
    """Whether a value is a loss by hand: one number of what a model computes, of which only numbers are made.

    What is made of parameters alone, such as the weight of a task, is no loss.
    """
    source = graph.node(cut.edge.source)
    ahead = graph.reached([cut.edge.target]) & graph.reaching(graph.model.targets)
    is_number = source.kind is NodeKind.OP and source.shape == ()
    numbers = is_number and all(_is_number(graph, node) for node in ahead)
    return graph.model.reach_at == "loss" and numbers and _is_of_data(graph, source.id)


def _is_of_data(graph: ModelGraph, node: int) -> bool:
    """Whether anything but parameters is behind a value."""
    behind = graph.reaching([node])
    return any(graph.node(n).kind is not NodeKind.PARAMETER and not any(graph.incoming(n)) for n in behind)


def _is_number(graph: ModelGraph, node: int) -> bool:
    shape = graph.node(node).shape
    return all(size == 1 for size in shape) if shape is not None else len(list(graph.incoming(node))) == 1


def _is_judged(graph: ModelGraph, node: int) -> bool:
    """Whether a loss is computed from a value."""
    ahead = graph.reached([node]) & graph.reaching(graph.model.targets)
    return any(_is_loss(graph, n) for n in ahead)


def _is_loss(graph: ModelGraph, node: int) -> bool:
    facts = ops.lookup("torch", graph.node(node).native)
    return facts is not None and facts.kind is Kind.LOSS


def starved_for_sure(cause: Cause) -> tuple[Parameter, ...]:
    """The parameters of a cause that somebody means to train.

    Where optimizers were seen, only what they hold is trained; networks that the file moves by hand are not.
    """
    trained = [p for p in cause.parameters if p.optimized is not False]
    if cause.cut.reason in ON_PURPOSE:
        trained = [p for p in trained if p.optimized or not p.moved_by_hand]
    return tuple(trained)


def severity_of(model: Model, cause: Cause, lost: tuple[Parameter, ...], severity: Severity) -> Severity:
    """The rule's own severity where the loss was seen; a note where other code may still train the parameters."""
    if model.trained or (model.reach_at == "loss" and cause.cut.reason is not Reason.GRAD_DISABLED):
        return severity
    used_elsewhere = all(p.owner_read for p in lost)
    return Severity.NOTE if used_elsewhere or cause.cut.reason is Reason.GRAD_DISABLED else severity


def affected(model: Model, parameters: tuple[Parameter, ...]) -> dict[str, object]:
    """The fields of a finding that name its parameters and their share of the model."""
    total = sum(p.elements for p in model.trainable)
    share = sum(p.elements for p in parameters) / total if total else 0.0
    return {"model": model.name, "parameters": tuple(p.name for p in parameters), "parameter_share": round(share, 4)}


def would_learn(graph: ModelGraph, hidden: Hidden) -> bool:
    """Whether a gradient arrives at something hidden, so that only its registration is missing."""
    return not graph.flowing.isdisjoint(hidden.nodes)


def counted(things: tuple[object, ...], word: str) -> str:
    """`1 parameter tensor`, `2 parameter tensors`."""
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def listed(parameters: tuple[Parameter, ...], most: int = 3) -> str:
    """The first names, and how many more there are."""
    names = ", ".join(f"`{p.name}`" for p in parameters[:most])
    more = len(parameters) - most
    return f"{names} and {more} more" if more > 0 else names


EXPORTED = "onnx::"
"""How the native names of an exported graph's ops begin, whose nodes have names of their own."""


def spelling(cut: Cut) -> str:
    """An op as it is written: `.detach()`, `.data`, `torch.no_grad`."""
    native = cut.node.native
    if native.startswith(EXPORTED):
        return f"{native.removeprefix(EXPORTED)} ({cut.node.name})"
    if native.startswith("get:"):
        return "." + native.removeprefix("get:")
    if native.startswith("set:"):
        return f".{native.removeprefix('set:')} = {_ASSIGNED.get(native, '...')}"
    if native.startswith("Function:"):
        return native.removeprefix("Function:") + ".apply"
    if native in _CONVERSIONS:
        return _CONVERSIONS[native]
    plain = native.strip("_")
    if plain == "mul" and cut.reason is Reason.ZERO:
        return "* 0"
    return _SIGNS.get(plain) or f"{'.' if native in _METHODS else ''}{plain}()"


_ASSIGNED = {"set:requires_grad": "True"}
_METHODS = {"detach", "detach_", "numpy", "item", "tolist", "requires_grad_", "data_ptr"}
_METHODS |= {"to", "type", "long", "int", "short", "char", "byte", "bool"}
"""Calls that exist on tensors only."""

_CONVERSIONS = {
    "__float__": "float()",
    "__int__": "int()",
    "__index__": "int()",
    "__array__": "numpy()",
    "__bool__": "bool()",
    "__getitem__": "[]",
}
_SIGNS = {
    "floordiv": "//",
    "floor_divide": "//",
    "remainder": "%",
    "mod": "%",
    "mul": "*",
    "gt": ">",
    "lt": "<",
    "ge": ">=",
    "le": "<=",
    "eq": "==",
    "ne": "!=",
    "invert": "~",
    "and": "&",
    "or": "|",
}
"""Operators by the name of their call; written as a call they are rare."""


def _beside(cut: Cut) -> tuple[Related, ...]:
    return related_at(cut.place, f"`{spelling(cut)}` cuts here too")
