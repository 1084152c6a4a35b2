"""The modules of a run as models of a graph: their registered parameters, what they hide, what judges them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gradlint.frame import Frame
from gradlint.frontends.static import reads
from gradlint.frontends.static.part_places import building_places, call_places
from gradlint.frontends.static.programs import Program
from gradlint.frontends.static.project import ModuleSource
from gradlint.frontends.static.record import hidden_values
from gradlint.frontends.static.record.tensors_inside import inner_modules, named_modules, named_parameters
from gradlint.frontends.static.steps import backward_errors
from gradlint.frontends.static.steps.followed_losses import followed
from gradlint.frontends.static.steps.training_state import identity
from gradlint.frontends.static.torch.init import initialisations
from gradlint.frontends.static.torch.switches import TRAINED
from gradlint.frontends.static.unapplied import unapplied
from gradlint.frontends.static.unready import unready as unready_models
from gradlint.frontends.static.values import (
    NO_NODE,
    Choice,
    Class,
    Instance,
    Layer,
    Sequence,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import UNKNOWN_SIZE, Model, ModelGraph, NodeKind, Parameter, ValueKind
from gradlint.training import Event, EventKind, TrainingStep

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

CONTAINERS = frozenset({"ModuleList", "ModuleDict", "Sequential", "ParameterList", "ParameterDict"})
CAPTURE = "source"
WHOLE = ("int", "uint", "bool", "long", "short")


@dataclass(slots=True)
class Tree:
    """A root module with its parts and parameters by dotted name, and the program that it ran in."""

    root: Instance | Layer
    program: Program
    parts: dict[str, Instance | Layer] = field(default_factory=dict)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    read_at: dict[str, tuple[reads.Read, ...]] = field(default_factory=dict)


Kind = tuple[str, frozenset[int]]
"""The name of a model's class, and the classes of the project that it and its parts are of."""


def graphs(
    run: Run, module: ModuleSource, programs: list[Program], steps: tuple[TrainingStep, ...]
) -> list[ModelGraph]:
    """One graph for every model of a run, all over the same values."""
    unready = [ModelGraph(model, (), ()) for model in unready_models(run, module)]
    broken = {graph.model.name for graph in unready}
    trees = [tree for tree in _trees(run, programs) if name_of(tree.root) not in broken]
    if not trees:
        return unready
    used = {source for source, _ in run.tape.edges}
    models = [_model(run, module, tree, used) for tree in trees]
    chosen = [(model, tree) for model, tree in zip(models, trees, strict=True) if model is not None]
    if not chosen:
        return unready
    names = _module_names(tree for _, tree in chosen)
    _name_parameters(run, [tree for _, tree in chosen])
    first, tree = chosen[0]
    nodes, edges = run.tape.decoded_nodes(names), run.tape.decoded_edges()
    whole = ModelGraph(first, nodes, edges, _training(run, first, tree.program))
    return [*unready, whole, *(_twin(whole, model, _training(run, model, tree.program)) for model, tree in chosen[1:])]


def _twin(whole: ModelGraph, model: Model, training: TrainingStep | None) -> ModelGraph:
    twin = whole.for_model(model)
    twin.training = training
    return twin


def _training(run: Run, model: Model, program: Program) -> TrainingStep:
    """The events of the program that a model ran in, with what its backward passes raise."""
    events = run.events[program.events.start : program.events.stop]
    targets = model.targets if model.reach_at == "outputs" else ()
    return TrainingStep(tuple(backward_errors.with_errors(run, events, targets)))


def _trees(run: Run, programs: list[Program]) -> Iterator[Tree]:
    """The modules that are part of no other; of several of one class with equal parts the one that is trained."""
    inner = inner_modules(run.built.values())
    chosen: dict[Kind, Tree] = {}
    for program in programs:
        for key in run.built:
            module = run.built[key]
            ran = key in program.called or key in program.built
            if not ran or key in inner or run.makers.get(key) is not None:
                continue
            tree = Tree(module, program, dict(named_modules(module)), dict(named_parameters(module)))
            if tree.parameters or hidden_values.any_hidden(module):
                _keep_better(run, chosen, tree)
    yield from chosen.values()


def _keep_better(run: Run, chosen: dict[Kind, Tree], tree: Tree) -> None:
    key = name_of(tree.root), frozenset(id(part.cls.node) for part in tree.parts.values() if isinstance(part, Instance))
    if key not in chosen or _worth(run, tree) > _worth(run, chosen[key]):
        chosen[key] = tree


def _worth(run: Run, tree: Tree) -> tuple[bool, int, bool]:
    """A model that a backward pass trains before one that only ran, that before one that was only built."""
    events = run.events[tree.program.events.start : tree.program.events.stop]
    ran = _ran(tree)
    trained = ran and any(event.kind is EventKind.BACKWARD for event in events)
    held = _held(run, events)
    optimized = sum(identity(run, p) in held for p in tree.parameters.values()) if held else 0
    return trained, optimized, ran


def _ran(tree: Tree) -> bool:
    return any(id(part) in tree.program.called for part in tree.parts.values())


def _held(run: Run, events: Iterable[Event]) -> set[int]:
    """The identities of the parameters that optimizers were given."""
    return {one for event in events if event.kind is EventKind.OPTIMIZER for one in event.parameters or ()}


def _in_evaluation(events: Iterable[Event]) -> set[int]:
    """The identities of the parameters that a program without a loss left in evaluation mode: nobody trains them."""
    at_rest: set[int] = set()
    for event in events:
        if event.kind is EventKind.EVAL:
            at_rest.update(event.parameters or ())
        elif event.kind is EventKind.TRAIN:
            at_rest.difference_update(event.parameters or ())
    return at_rest


def name_of(root: Instance | Layer) -> str:
    """The name of a module's class."""
    return root.cls.name if isinstance(root, Instance) else root.name.rpartition(".")[2]


def _module_names(trees: Iterable[Tree]) -> dict[int, str]:
    names: dict[int, str] = {}
    for tree in trees:
        for name, part in tree.parts.items():
            names.setdefault(id(part), name)
    return names


def _name_parameters(run: Run, trees: list[Tree]) -> None:
    for tree in trees:
        for name, tensor in tree.parameters.items():
            node = run.leaves.get(id(tensor))
            if node is not None:
                run.tape.nodes[node].kind, run.tape.nodes[node].name = NodeKind.PARAMETER, name


def _model(run: Run, module: ModuleSource, tree: Tree, used: set[int]) -> Model | None:
    """A module as the graph's model; None for one of which nothing was run."""
    events = run.events[tree.program.events.start : tree.program.events.stop]
    outputs = _output_nodes(run, tree)
    passes = [event for event in events if event.kind is EventKind.BACKWARD]
    losses = tuple(dict.fromkeys(event.node for event in passes if event.node is not None))
    at_loss = bool(losses) and _ran(tree)
    targets = losses if at_loss else outputs
    if not targets and not any(hidden_values.any_hidden(part) for part in tree.parts.values()):
        return None
    root = tree.root
    place = root.cls.scope.module if isinstance(root, Instance) else module
    home = place if place.user else module
    held = _held(run, events) if any(e.kind is EventKind.OPTIMIZER for e in events) else None
    if any(e.kind is EventKind.OPTIMIZER and e.parameters is None for e in events):
        held = None
    at_rest = set() if at_loss else _in_evaluation(events)
    closed = _is_closed(run, tree) and (at_loss or bool(outputs)) and len(losses) >= len(passes[:1])
    return Model(
        name=name_of(root),
        path=home.source.path,
        line=root.cls.node.lineno if isinstance(root, Instance) and place.user else 1,
        capture=CAPTURE,
        inputs=run.inputs.get(id(root), ()),
        reach_at="loss" if at_loss else "outputs",
        parameters=tuple(_parameters(run, module, tree, used, held if at_loss else None, at_rest, followed(events))),
        hidden=tuple(hidden_values.hidden(run, tree.parts, tree.parameters, held or set())),
        functions=tuple(run.customs.values()),
        outputs=outputs,
        targets=targets,
        calls=dict(call_places(run, tree.parts)),
        built=dict(building_places(tree.parts)),
        unapplied=unapplied(home) if at_loss else (),
        trained=at_loss and any(event.kind is EventKind.OPTIMIZER for event in events),
        complete=closed and not any(id(part) in run.partly for part in tree.parts.values()),
        closed=closed,
        compiled=module.compiles,
    )


def _output_nodes(run: Run, tree: Tree) -> tuple[int, ...]:
    """The nodes of what the model returned, those that cannot carry a gradient apart."""
    found = [value for given in run.outputs.get(id(tree.root), ()) for value in _returned(run, given)]
    return tuple(dict.fromkeys(node for value in found if (node := run.read(value)) != NO_NODE))


def _returned(run: Run, given: Value) -> Iterator[Tensor | Unknown]:
    for value in run.tensors_in(given):
        if isinstance(value, Unknown) or _may_learn(value):
            yield value


def _may_learn(value: Tensor) -> bool:
    whole = (value.dtype or "").startswith(WHOLE)
    return value.carrier is ValueKind.TENSOR and not whole and not value.parameter


def _parameters(
    run: Run,
    module: ModuleSource,
    tree: Tree,
    used: set[int],
    held: set[int] | None,
    at_rest: set[int],
    losses: dict[int, tuple[int, ...]],
) -> Iterator[Parameter]:
    nodes = {
        name: node
        for name, tensor in tree.parameters.items()
        if (node := run.leaves.get(id(tensor))) is not None and node in used
    }
    called = {name for name, part in tree.parts.items() if id(part) in run.places}
    for name, tensor in tree.parameters.items():
        node = nodes.get(name)
        outer = "" if node is not None else outermost(name, nodes, called)
        shape = tuple(size if size is not None else UNKNOWN_SIZE for size in tensor.shape or ())
        yield Parameter(
            name=name,
            shape=shape,
            elements=abs(math.prod(shape)),
            trainable=tensor.state.get("requires_grad") is not False or TRAINED in tensor.state,
            node=node,
            made=(_made(tree, outer, tensor) if node is None else _user(tensor.made)) or _kept_at(tree, name),
            frozen=run.frozen.get(id(tensor)),
            unused_part=outer,
            owner_read=_is_read(tree, outer) if node is None else _is_read_elsewhere(run, tree, name),
            moved_by_hand=_is_moved(tree, name),
            optimized=_is_optimized(identity(run, tensor), held, at_rest),
            initialisations=initialisations(tensor),
            filled_elsewhere=_is_filled_elsewhere(run, tree, name),
            losses=losses.get(identity(run, tensor), ()),
        )


def _is_optimized(parameter: int, held: set[int] | None, at_rest: set[int]) -> bool | None:
    if held is not None:
        return parameter in held
    return False if parameter in at_rest else None


def _user(frame: Frame | None) -> Frame | None:
    return frame if frame is not None and frame.user else None


def outermost(name: str, touched: Iterable[str], called: set[str]) -> str:
    """The largest part around a parameter that was neither called nor touched: "block2" of "block2.up.weight"."""
    parts = name.split(".")
    prefixes = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    alone = (prefix for prefix in prefixes if not any(key.startswith(prefix + ".") for key in touched))
    return next((prefix for prefix in alone if prefix not in called), name)


def _made(tree: Tree, part: str, tensor: Tensor) -> Frame | None:
    """Where the constructor keeps the part around an unused parameter, else where that was built."""
    found = None if _is_item(tree, part) else _assigned_at(tree, part)
    if found is not None:
        return found
    held = tree.parts.get(part)
    return _user(held.made if held is not None else None) or _user(tensor.made)


def _kept_at(tree: Tree, name: str) -> Frame | None:
    """Where the user's own code keeps the part of a library that holds a parameter."""
    parts = name.split(".")
    around = (".".join(parts[:depth]) for depth in range(len(parts), 0, -1))
    return next((frame for part in around if (frame := _assigned_at(tree, part)) is not None), None)


def _assigned_at(tree: Tree, part: str) -> Frame | None:
    owner, attribute = _holder(tree, part)
    found = (reads.of_file(cls.scope.module).assigned_at(cls.name, attribute) for cls in _classes(owner))
    return next((frame for frame in found if frame is not None and frame.user), None)


def _classes(owner: Instance | Layer) -> list[Class]:
    """The classes of the user's own that an object belongs to."""
    order = owner.cls.order if isinstance(owner, Instance) else ()
    return [cls for cls in order if isinstance(cls, Class) and cls.scope.module.user]


def _named_owner(tree: Tree, parts: list[str]) -> Instance | Layer:
    for depth in range(len(parts), 0, -1):
        found = tree.parts.get(".".join(parts[:depth]))
        if found is not None:
            return found
    return tree.root


def _is_container(module: Instance | Layer) -> bool:
    base = module.base if isinstance(module, Instance) else module
    return base is not None and base.name.rpartition(".")[2] in CONTAINERS


def _holder(tree: Tree, name: str) -> tuple[Instance | Layer, str]:
    """The module whose named attribute leads to `name`, and that attribute; positions in containers are passed over."""
    parts = name.split(".")
    while len(parts) > 1 and _is_container(_named_owner(tree, parts[:-1])):
        parts.pop()
    return _named_owner(tree, parts[:-1]), parts[-1]


def _is_item(tree: Tree, part: str) -> bool:
    """Whether a part is kept under a position or a key of a container rather than by an attribute."""
    return _is_container(_named_owner(tree, part.split(".")[:-1]))


def _reads(owner: Instance | Layer, attribute: str) -> Iterator[reads.Read]:
    classes = _classes(owner)
    names = frozenset(cls.name for cls in classes)
    for module in {id(cls.scope.module): cls.scope.module for cls in classes}.values():
        yield from reads.of_file(module).of(attribute, names)


def _is_read(tree: Tree, part: str) -> bool:
    """Whether the file of a class reads the attribute of an untouched part."""
    owner, attribute = _holder(tree, part)
    item = _is_item(tree, part)
    return any(not (item and read.indexed) for read in _reads(owner, attribute))


def _reads_around(tree: Tree, name: str) -> tuple[reads.Read, ...]:
    """The reads of a parameter or part, and of all modules around it; each name is looked at once."""
    found = tree.read_at.get(name)
    if found is None:
        outer = name.rpartition(".")[0]
        found = (*(_reads_around(tree, outer) if outer else ()), *_reads(*_holder(tree, name)))
        tree.read_at[name] = found
    return found


def _is_read_elsewhere(run: Run, tree: Tree, name: str) -> bool:
    """Whether a function that did not run reads a parameter, or a module around it."""
    return any(read.function not in run.ran for read in _reads_around(tree, name))


def _is_filled_elsewhere(run: Run, tree: Tree, name: str) -> bool:
    owner, attribute = _holder(tree, name)
    files = [reads.of_file(cls.scope.module).initialisers for cls in _classes(owner)]
    return any(not found.get(key, frozenset()) <= run.ran for found in files for key in (attribute, "parameters"))


def _is_moved(tree: Tree, name: str) -> bool:
    """Whether some function of the file moves a parameter, or a module around it, by hand."""
    return any(read.moving for read in _reads_around(tree, name))


def _is_closed(run: Run, tree: Tree) -> bool:
    """Whether every part of a model is known, and what reads it."""
    if run.patched or not tree.program.complete:
        return False
    for part in tree.parts.values():
        if id(part) in run.open:
            return False
        if isinstance(part, Layer) and not part.known:
            return False
        if any(_may_hold(value) for value in part.attributes.values()):
            return False
    return True


def _may_hold(value: Value) -> bool:
    """Whether a value that is not known may be or hold a module."""
    if isinstance(value, Choice):
        return any(isinstance(o, (Unknown, Instance, Layer)) or _may_hold(o) for o in value.options)
    if isinstance(value, Sequence):
        return any(_may_hold(item) for item in value.items)
    return isinstance(value, Unknown)
