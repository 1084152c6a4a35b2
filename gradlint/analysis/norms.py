"""What a normalisation does: what it normalises, over which statistic, and where it was built."""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.graph import Frame, ModelGraph, Node, NodeKind, Parameter
from gradlint.rule import user_frame

BATCH_NORM, INSTANCE_NORM = "batch_norm", "instance_norm"

TRAINING, BATCH_STATISTICS = ("training", "5"), ("use_input_stats", "5")
"""Arguments of torch's functional batch norm and instance norm that choose the input's own statistic."""

USES_OWN_STATISTIC = {BATCH_NORM: (TRAINING, False), INSTANCE_NORM: (BATCH_STATISTICS, True)}
"""By op: the arguments that say it, and what holds where they are left out."""

PROBABILITY, DROPPING = ("p", "1"), ("training", "2")
DEFAULT_PROBABILITY = 0.5
_NO_DROPOUT = frozenset({"drop_path", "gaussian_noise", "native_dropout_backward"})


def normalised(graph: ModelGraph, node: Node) -> Node | None:
    """The value that a normalisation reads first, which is the one that it normalises."""
    first = next(graph.incoming(node.id), None)
    return graph.node(first.source) if first is not None else None


def standardises(node: Node) -> bool:
    """Whether an op is a batch or instance norm with the statistic of its own input, as in training."""
    if node.kind is not NodeKind.OP or node.op not in USES_OWN_STATISTIC:
        return False
    names, default = USES_OWN_STATISTIC[node.op]
    return given(node, names, default) is True


def is_kind(node: Node, *kinds: ops.Kind) -> bool:
    """Whether a value was made by an op of one of some kinds."""
    known = ops.facts(node.op) if node.kind is NodeKind.OP else None
    return known is not None and known.kind in kinds


def drops(node: Node) -> bool:
    """Whether an op is a dropout that is switched on."""
    if not is_kind(node, ops.Kind.DROPOUT) or node.op in _NO_DROPOUT:
        return False
    return given(node, DROPPING, True) is True and given(node, PROBABILITY, DEFAULT_PROBABILITY) != 0


def given(node: Node, names: tuple[str, ...], default: object) -> object:
    """The literal argument of one of some names or positions; the default where there is none."""
    return next((node.literals[name] for name in names if name in node.literals), default)


def parameters_of(graph: ModelGraph, node: Node) -> Iterator[Parameter]:
    """The registered parameters that an op reads as they are."""
    read = sorted(edge.source for edge in graph.incoming(node.id))
    return (graph.model.read[source] for source in read if source in graph.model.read)


def built_at(graph: ModelGraph, node: Node) -> Frame | None:
    """The call that built a layer where the user's code does not call it by itself, else the call of the op."""
    own, around = user_frame(node), node.module.rpartition(".")[0]
    called_by_itself = around not in graph.model.built and graph.model.calls.get(around) != own
    return own if own is not None and called_by_itself else graph.model.built.get(node.module) or own
