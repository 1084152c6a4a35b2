"""Data sets and loaders: what iteration over them gives is data without history."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.record.emission import data, requires_grad
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Bound,
    Constant,
    Foreign,
    Function,
    Instance,
    Mapping,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import NodeKind, Passage, Reason

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

UTILITIES = "torch.utils.data."
LOADERS = frozenset({"torch.utils.data.DataLoader", "torchdata.stateful_dataloader.StatefulDataLoader"})
TENSORS = "torch.utils.data.TensorDataset"
PASSING = frozenset({"Subset", "ConcatDataset", "ChainDataset", "IterableDataset"})
"""Data sets made of others, with items like theirs."""

DATASET = "dataset"
ITEM = "item"
LOADER = "loader"
BATCH = "batch"
BATCH_SIZE = "batch_size"
SHUFFLE = 2
FIRST_SAMPLER = 3
"""Positions of a loader's arguments: whether it shuffles, and its sampler."""

BATCHES, BATCHING = 4, frozenset({"batch_sampler", "collate_fn"})
"""The position of a loader's batch sampler, and the arguments that make batches in another way."""

SEQUENTIAL = "torch.utils.data.SequentialSampler"
SAMPLERS = frozenset({"sampler", "batch_sampler"})
IMAGE_SETS = "torchvision.datasets."


def call(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A data set or loader is made; None for anything else."""
    if name in LOADERS:
        given = args.positional[0] if args.positional else args.named.get(DATASET, Unknown("a data set"))
        collate = args.named.get("collate_fn")
        state = {DATASET: given} if collate is None else {DATASET: given, "collate_fn": collate}
        state |= {LOADER: _loader(run, args, given, at), BATCH_SIZE: Constant(_batch_size(run, args))}
        return Foreign(name, dict(args.named), state, run.frame(at))
    if not name.startswith(UTILITIES):
        return None
    last = name.removeprefix(UTILITIES)
    if name == TENSORS:
        return Foreign(name, {}, {ITEM: Sequence(list(args.positional), "tuple", args.exact)}, run.frame(at))
    if last == "random_split":
        return _split(args)
    if last in PASSING:
        return _passed(args)
    return Foreign(name, dict(args.named), {}, run.frame(at)) if last[:1].isupper() else None


def _loader(run: Run, args: Arguments, dataset: Value, at: ast.AST) -> Constant:
    """The node of a loader, which stands before every value of its batches, with what is known of its order."""
    ordered = not _may_mix(run, args) and _is_indexed(dataset)
    known = {"ordered": ordered, "batch_size": _batch_size(run, args)}
    return Constant(run.add(NodeKind.CONSTANT, "DataLoader", at, literals=known))


def _batch_size(run: Run, args: Arguments) -> int | None:
    """The number of items of a batch; None where it is not known, or where a function of the user's makes batches."""
    if not args.exact or len(args.positional) > BATCHES or not BATCHING.isdisjoint(args.named):
        return None
    given = args.positional[1] if len(args.positional) > 1 else args.named.get("batch_size", Constant(1))
    size = run.constant(given)
    return size if type(size) is int else None


def _may_mix(run: Run, args: Arguments) -> bool:
    """Whether a loader mixes its items, or may: it shuffles, has a sampler, or has arguments that are not known."""
    sampler = args.named.get("sampler")
    if isinstance(sampler, Foreign) and sampler.name == SEQUENTIAL and "batch_sampler" not in args.named:
        return False
    if not args.exact or len(args.positional) > FIRST_SAMPLER or not SAMPLERS.isdisjoint(args.named):
        return True
    given = args.positional[SHUFFLE] if len(args.positional) > SHUFFLE else args.named.get("shuffle", Constant(False))
    return run.truth(given) is not False


def _is_indexed(dataset: Value) -> bool:
    """Whether items are taken by their number, so that their order is the loader's to choose."""
    if isinstance(dataset, Instance):
        names = {str(getattr(base, "name", "")).rpartition(".")[2] for base in dataset.cls.order}
        return "IterableDataset" not in names and any(
            "__getitem__" in getattr(base, "names", ()) for base in dataset.cls.order
        )
    return isinstance(dataset, Foreign) and (dataset.name == TENSORS or dataset.name.startswith(IMAGE_SETS))


def _split(args: Arguments) -> Value:
    whole = args.positional[0] if args.positional else Unknown("a data set")
    parts = args.positional[1] if len(args.positional) > 1 else args.named.get("lengths")
    known = isinstance(parts, Sequence) and parts.exact
    return Sequence([whole] * (len(parts.items) if isinstance(parts, Sequence) else 1), "list", known)


def _passed(args: Arguments) -> Value:
    first = args.positional[0] if args.positional else Unknown("a data set")
    return first.items[0] if isinstance(first, Sequence) and first.items else first


def method(run: Run, receiver: Foreign, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A method of a data set or loader; None for any other object's."""
    if receiver.name in LOADERS:
        if name == "__iter__":
            return Sequence([batch(run, receiver, at)], "generator", exact=False)
        return Symbol("int") if name == "__len__" else batch(run, receiver, at) if name == "__next__" else None
    if receiver.name == TENSORS and name in ("__getitem__", "__iter__"):
        row = _row(run, receiver)
        return row if name == "__getitem__" else Sequence([row], "generator", exact=False)
    return Symbol("int") if receiver.name == TENSORS and name == "__len__" else None


def attribute(run: Run, receiver: Foreign, name: str, at: ast.AST) -> Value | None:
    """An attribute of a loader; None for any other object's."""
    return Symbol("int") if receiver.name in LOADERS and name in ("batch_size", "num_workers") else None


def _row(run: Run, receiver: Foreign) -> Value:
    tensors = receiver.state.get(ITEM)
    items = tensors.items if isinstance(tensors, Sequence) else []
    return Sequence([_one_of(run, item) for item in items], "tuple")


def _one_of(run: Run, value: Value) -> Value:
    """An entry of a tensor of a data set; one without history is as good as the whole."""
    if not isinstance(value, Tensor):
        return Unknown("an item of a data set")
    made = data(value.shape[1:] if value.shape else None, value.dtype)
    if requires_grad(run, value) is False:
        made.node = value.node
    return made


def batch(run: Run, loader: Foreign, at: ast.AST) -> Value:
    """One batch of a loader: the items of its data set, stacked."""
    collate = loader.state.get("collate_fn")
    item = _item(run, loader.state[DATASET], at)
    if isinstance(collate, (Function, Bound)):
        return _without_history(run, loader, run.call(collate, Arguments((Sequence([item], "list", exact=False),)), at))
    return _stacked(run, loader, item)


def _item(run: Run, dataset: Value, at: ast.AST) -> Value:
    if isinstance(dataset, Foreign) and dataset.name == TENSORS:
        return _row(run, dataset)
    if isinstance(dataset, (Instance, Sequence)):
        items, _ = run.iterate(dataset, at)
        return run.join(items) if items else Unknown("an item of a data set")
    return Unknown("an item of a data set")


def _stacked(run: Run, loader: Foreign, item: Value) -> Value:
    """What the default collation makes of items like this one."""
    match item:
        case Tensor():
            shape = None if item.shape is None else (_items(loader), *item.shape)
            return _batched(run, loader, data(shape, item.dtype), item)
        case Sequence():
            return Sequence([_stacked(run, loader, inner) for inner in item.items], "list", item.exact)
        case Mapping():
            return Mapping({key: _stacked(run, loader, inner) for key, inner in item.items.items()}, item.exact)
        case Constant(value=bool()) | Symbol(type="bool"):
            return _batched(run, loader, data((_items(loader),), "bool"))
        case Constant(value=int()) | Symbol(type="int"):
            return _batched(run, loader, data((_items(loader),), "int64"))
        case Constant(value=float()) | Symbol(type="float"):
            return _batched(run, loader, data((_items(loader),), "float64"))
    return Unknown("a batch of data")


def _items(loader: Foreign) -> int | None:
    """How many items a full batch has; None where that is not known."""
    size = loader.state.get(BATCH_SIZE)
    return size.value if isinstance(size, Constant) and isinstance(size.value, int) else None


def _batched(run: Run, loader: Foreign, made: Tensor, item: Tensor | None = None) -> Tensor:
    """A value of a batch, which has no history but remembers the item that it is made of, and its loader."""
    known = loader.state.get(LOADER)
    nodes = [item.node] if item is not None and item.node != NO_NODE else []
    if isinstance(known, Constant) and isinstance(known.value, int):
        nodes.append(known.value)
    made.node = run.linked(NodeKind.CONSTANT, BATCH, nodes, None, Passage.BLOCKED, Reason.NON_DIFFERENTIABLE)
    raw = run.tape.nodes[made.node]
    raw.dtype, raw.shape, raw.requires_grad = made.dtype, made.shape, False
    return made


def _without_history(run: Run, loader: Foreign, value: Value) -> Value:
    match value:
        case Tensor():
            return _batched(run, loader, data(value.shape, value.dtype), value)
        case Sequence():
            return Sequence([_without_history(run, loader, inner) for inner in value.items], value.kind, value.exact)
        case Mapping():
            return Mapping(
                {key: _without_history(run, loader, inner) for key, inner in value.items.items()}, value.exact
            )
        case Unknown():
            return Unknown("a batch of data")
    return value
