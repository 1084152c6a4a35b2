"""What of a file is run: its top level, the functions that train, and the models that nothing of it builds."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradlint.frontends.static import modules_of_project
from gradlint.frontends.static.heap import Heap
from gradlint.frontends.static.language import classes
from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.language.loops import is_training
from gradlint.frontends.static.project import ModuleSource, may_train, statements
from gradlint.frontends.static.record.tensors_inside import inner_modules, is_module_class
from gradlint.frontends.static.torch import training_frameworks
from gradlint.frontends.static.values import (
    Arguments,
    Bound,
    Class,
    Constant,
    Function,
    Instance,
    Layer,
    Scope,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import NodeKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

_WORD = re.compile(r"(?<![.\w])[A-Za-z_]\w*")
"""A name by itself: the `Embedding` of `nn.Embedding` is no class of the file."""

PLAIN = frozenset({"int", "float", "bool", "str"})
TRAINING_STEP = "training_step"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FORWARDS = ("forward", "__call__")
ANNOTATIONS = ("annotation", "returns")

HELPERS = 2
"""Functions between a factory and the class that it builds."""
FACTORIES = 3
"""Factories of a class that are tried."""


@dataclass(slots=True)
class Program:
    """One thing of a file that was run: the events and the module calls that belong to it are those in these ranges.

    `complete` is false when the budget ended before it did.
    """

    name: str
    events: range
    built: tuple[int, ...]
    called: frozenset[int]
    complete: bool = True


def run_file(run: Run, module: ModuleSource, symbol: str | None = None) -> list[Program]:
    """Runs everything of a file that may build or train a model."""
    from gradlint.frontends.static.run import Activation

    scope = modules_of_project.scope(run, module)
    run.activation = Activation(scope, "<module>")
    done = [_program(run, "<module>", lambda: _top_level(run, module, scope))]
    for name, node, owner in _trainers(module):
        if id(node) not in run.ran:
            done.append(_program(run, name, lambda n=name, o=owner: _train(run, module, n, o)))  # type: ignore[misc]
    for name in _models(module, symbol):
        done.append(_program(run, name, lambda n=name: _model(run, module, n)))  # type: ignore[misc]
    return done


def _program(run: Run, name: str, what: Callable[[], None]) -> Program:
    """Runs one thing with a budget of its own."""
    from gradlint.frontends.static.run import STEPS, STEPS_OF_FILE, Activation, ExhaustedError, RaisedError, Switch

    first, built = len(run.events), set(run.built)
    activation = run.activation
    start = run.steps = STEPS - max(0, min(STEPS, STEPS_OF_FILE - run.spent))
    run.called, complete = {}, True
    run.limit = len(run.tape.nodes)
    try:
        what()
    except RaisedError:
        pass
    except (ExhaustedError, RecursionError) as problem:
        complete = False
        run.gap(None, f"the reading of {name} ended early ({type(problem).__name__})")
    run.spent += run.steps - start
    run.activation = Activation(activation.scope, "<module>")
    run.heap, run.modules, run.grad, run.loops, run.conditions, run.pending = (
        Heap(),
        [],
        [Switch(True, None)],
        [],
        0,
        [],
    )
    fresh = tuple(key for key in run.built if key not in built)
    return Program(name, range(first, len(run.events)), fresh, frozenset(run.called), complete)


def _top_level(run: Run, module: ModuleSource, scope: Scope) -> None:
    """The statements of the file, as the main program runs them."""
    from gradlint.frontends.static.run import Activation, RaisedError

    scope.names["__name__"] = Constant("__main__")
    for statement in module.tree.body:
        if id(statement) in run.executed:
            continue
        run.executed.add(id(statement))
        try:
            run.execute((statement,))
        except RaisedError:
            run.activation = Activation(scope, "<module>")


def _trainers(module: ModuleSource) -> Iterator[tuple[str, ast.AST, str | None]]:
    """The functions and methods that hold a training loop or step: name, node, class."""
    if not module.trains:
        return
    for node in statements(module.tree.body):
        if not isinstance(node, DEFINITIONS) or not may_train(module.text_of(node)):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and is_training(node):
            yield node.name, node, None
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and _trains(item):
                    yield item.name, item, node.name


def _trains(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return method.name == TRAINING_STEP or (method.name not in FORWARDS and is_training(method))


def _train(run: Run, module: ModuleSource, name: str, owner: str | None) -> None:
    """Runs a training function with arguments that are not known."""
    if owner is None:
        function = modules_of_project.name(run, module, name)
        if isinstance(function, (Function, Bound)):
            _call(run, function)
        return
    cls = modules_of_project.name(run, module, owner)
    if not isinstance(cls, Class):
        return
    instance = build(run, cls)
    method = in_class(cls, name)
    if method is not None and isinstance(instance, Instance):
        bound = bind(run, method, instance, cls.node)
        place = bound.function.node if isinstance(bound, Bound) else cls.node
        training_frameworks.drive(run, instance, name, lambda: _call(run, bound), place)


def _call(run: Run, function: Value) -> Value:
    plain = function.function if isinstance(function, Bound) else function
    if not isinstance(plain, Function):
        return Unknown("it is no function")
    return run.call(function, symbolic(run, plain, isinstance(function, Bound)), plain.node)


def _models(module: ModuleSource, symbol: str | None) -> list[str]:
    """The classes of a file, those first that no other class of it names: these build the others.

    A class that others of the file derive from is run with them.
    """
    if symbol:
        return [symbol]
    found = [node for node in statements(module.tree.body) if isinstance(node, ast.ClassDef)]
    names = {node.name for node in found}
    bases = {name for node in found for base in node.bases for name in _names_in(base)}
    parts = {name for node in found for name in _parts(module, node, names)}
    own = dict.fromkeys(node.name for node in found if node.name not in bases)
    return [name for name in own if name not in parts] + [name for name in own if name in parts]


def _parts(module: ModuleSource, node: ast.ClassDef, names: set[str]) -> set[str]:
    """The classes of a file that the code of another one names; annotations and texts do not count."""
    written = "\n".join(module.source.lines[node.lineno - 1 : node.end_lineno])
    if names.isdisjoint(set(_WORD.findall(written)) - {node.name}):
        return set()
    return (names & set(_names_in(node))) - {node.name}


def _names_in(node: ast.AST) -> Iterator[str]:
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, ast.Name):
            yield here.id
        for field, value in ast.iter_fields(here):
            if field not in ANNOTATIONS:
                waiting += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, ast.AST)]


def _model(run: Run, module: ModuleSource, name: str) -> None:
    """Builds a model that nothing has built, and runs its forward."""
    cls = modules_of_project.name(run, module, name)
    if isinstance(cls, Function):
        made = _call(run, cls)
        if isinstance(made, (Instance, Layer)):
            feed(run, made)
        return
    if not isinstance(cls, Class) or not is_module_class(cls):
        return
    known = [b for b in run.built.values() if isinstance(b, Instance) and b.cls.node is cls.node]
    if known:
        _feed_idle(run, known)
        return
    instance = _as_in_factory(run, module, cls) or build(run, cls)
    if isinstance(instance, Instance):
        feed(run, instance)


def _feed_idle(run: Run, built: list[Instance]) -> None:
    """Calls a model of which the program built all and called none; parts of another one are not fed by themselves."""
    if any(id(module) in run.places for module in built):
        return
    inner = inner_modules(run.built.values())
    idle = next((module for module in built if id(module) not in inner), None)
    if idle is not None:
        feed(run, idle)


def _as_in_factory(run: Run, module: ModuleSource, cls: Class) -> Value | None:
    """A class that needs arguments, or what it is a part of, as the first function of its file builds it that needs
    none."""
    constructor = in_class(cls, "__init__")
    if not isinstance(constructor, Function) or not _required(constructor.node)[1:]:
        return None
    for name in _factories(module, cls.name):
        factory = modules_of_project.name(run, module, name)
        made = _call(run, factory) if isinstance(factory, Function) else None
        if isinstance(made, Instance) and is_module_class(made.cls):
            return made
    return None


def _factories(module: ModuleSource, name: str) -> list[str]:
    """The first functions of a file that need no argument and whose code, or that of a function they call, names it."""
    functions = {n.name: n for n in statements(module.tree.body) if isinstance(n, ast.FunctionDef)}
    makers = {name}
    for _ in range(HELPERS):
        makers |= {one for one, node in functions.items() if one not in makers and makers & set(_names_in(node))}
    return [one for one in functions if one in makers and not _required(functions[one])][:FACTORIES]


def _required(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[str]:
    """The arguments of a function that have no default."""
    signature = function.args
    places = [*signature.posonlyargs, *signature.args]
    named = [p.arg for p, given in zip(signature.kwonlyargs, signature.kw_defaults, strict=True) if given is None]
    return [place.arg for place in places[: len(places) - len(signature.defaults)]] + named


def build(run: Run, cls: Class) -> Value:
    """An object of a class, its constructor's arguments by their defaults or not known."""
    known = next((m for m in run.built.values() if isinstance(m, Instance) and m.cls.node is cls.node), None)
    if known is not None:
        return known
    constructor = in_class(cls, "__init__")
    given = symbolic(run, constructor, True) if isinstance(constructor, Function) else Arguments()
    return classes.instantiate(run, cls, given, cls.node)


def feed(run: Run, module: Instance | Layer) -> None:
    """Calls a model with inputs that are not known."""
    forward = None
    if isinstance(module, Instance):
        forward = next((f for name in FORWARDS if (f := in_class(module.cls, name)) is not None), None)
    if isinstance(forward, Function):
        given = inputs(run, forward)
        run.call(module, given, forward.node)
    elif isinstance(module, Layer) or module.base is not None:
        run.call(
            module,
            Arguments((_input(run, 0, "input"),)),
            module.cls.node if isinstance(module, Instance) else ast.Pass(),
        )


def inputs(run: Run, forward: Function) -> Arguments:
    """Tensors for what a forward requires."""
    signature = forward.node.args
    places = [*signature.posonlyargs, *signature.args][1:]
    required = places[: len(places) - len(signature.defaults)] if signature.defaults else places
    required = [place for place in required if place.arg not in forward.defaults]
    given = [_given(run, i, place) for i, place in enumerate(required)]
    if not required and places and run.constant(forward.defaults.get(places[0].arg), places) is None:
        given = [_given(run, 0, places[0])]
    elif not required and signature.vararg is not None:
        given = [_input(run, 0, signature.vararg.arg)]
    named = {
        place.arg: _given(run, len(given) + i, place)
        for i, place in enumerate(signature.kwonlyargs)
        if place.arg not in forward.defaults
    }
    return Arguments(tuple(given), named)


def _given(run: Run, position: int, place: ast.arg) -> Value:
    annotation = _annotation(place)
    if annotation in PLAIN:
        return Symbol(annotation)
    return _input(run, position, place.arg)


def _annotation(place: ast.arg) -> str:
    return ast.unparse(place.annotation) if place.annotation is not None else ""


def _input(run: Run, position: int, name: str) -> Tensor:
    node = run.add(NodeKind.INPUT, "", None, name=str(position))
    return Tensor(node, leaf=True)


def symbolic(run: Run, function: Function, method: bool) -> Arguments:
    """Arguments of a function of which nothing is known but the annotations; defaults stay."""
    signature = function.node.args
    places = [*signature.posonlyargs, *signature.args]
    places = places[1:] if method and function.binding != "static" else places
    given = [_unknown(run, function, place) for place in places if place.arg not in function.defaults]
    named = {p.arg: _unknown(run, function, p) for p in signature.kwonlyargs if p.arg not in function.defaults}
    return Arguments(tuple(given), named)


def _unknown(run: Run, function: Function, place: ast.arg) -> Value:
    annotation = _annotation(place).strip("'\"")
    if annotation in PLAIN:
        return Symbol(annotation)
    cls = _annotated(run, function, annotation)
    if cls is not None:
        return classes.instantiate(run, cls, Arguments(), cls.node)
    return Unknown(f"argument {place.arg!r} is not known")


def _annotated(run: Run, function: Function, annotation: str) -> Class | None:
    """The class of settings that an annotation names, where it can be built without arguments."""
    if not annotation.isidentifier():
        return None
    cls = modules_of_project.name(run, function.scope.module, annotation)
    if not isinstance(cls, Class) or is_module_class(cls):
        return None
    constructor = in_class(cls, "__init__")
    if constructor is None:
        return cls if classes.is_record(cls) else None
    if not isinstance(constructor, Function):
        return None
    wanted = [p.arg for p in [*constructor.node.args.posonlyargs, *constructor.node.args.args]][1:]
    return cls if all(name in constructor.defaults for name in wanted) else None
