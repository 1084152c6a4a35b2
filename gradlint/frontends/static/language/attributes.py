"""Attribute access and assignment: Python's own rules for the project's objects, the vocabulary's for a library's."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static import modules_of_project, vocabulary
from gradlint.frontends.static.heap import ABSENT
from gradlint.frontends.static.language.branches import alternatives
from gradlint.frontends.static.language.unread_objects import absorb, part, part_of_symbol
from gradlint.frontends.static.python import values as python_values
from gradlint.frontends.static.record.tensors_inside import is_module_class
from gradlint.frontends.static.torch import hub_classes, hub_outputs
from gradlint.frontends.static.torch import training as torch_training
from gradlint.frontends.static.values import (
    Arguments,
    Bound,
    Choice,
    Class,
    Constant,
    External,
    Foreign,
    Function,
    Instance,
    Layer,
    Mapping,
    Method,
    ModuleValue,
    Partial,
    Property,
    Sequence,
    Super,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Activation, Run

TRAINING, GRADIENT = "training", "grad"
ESCAPE_HATCH = "__getattr__"


def get(run: Run, value: Value, name: str, at: ast.AST) -> Value:
    """An attribute of any value."""
    handler = _GETTERS.get(type(value))
    return handler(run, value, name, at) if handler else python_values.attribute(run, value, name, at)


def callee(run: Run, value: Value, name: str, at: ast.AST) -> Value:
    """What `value.name(…)` calls: a method that only a library or Python knows is a `Method`."""
    kind = type(value)
    if kind in _PLAIN:
        return Method(value, name)
    if kind is Instance and name not in value.attributes and in_class(value.cls, name) is None:  # type: ignore[attr-defined]
        hook = in_class(value.cls, ESCAPE_HATCH)  # type: ignore[attr-defined]
        if hook is None or _running(run, hook):
            return Method(value, name)
    if kind is Choice:
        whole = run.settled(value)
        return Method(whole, name) if isinstance(whole, Choice) else callee(run, whole, name, at)
    found = get(run, value, name, at)
    return Method(value, name) if isinstance(found, Unknown) and kind in _LIBRARY else found


def _of_choice(run: Run, value: Choice, name: str, at: ast.AST) -> Value:
    whole = run.settled(value)
    if not isinstance(whole, Choice):
        return get(run, whole, name, at)
    present = [o for o in whole.options if not isinstance(o, Constant) or o.value is not None]
    return run.join([get(run, option, name, at) for option in present or whole.options])


def _of_instance(run: Run, value: Instance, name: str, at: ast.AST) -> Value:
    if name in value.attributes:
        return hub_outputs.field(run, value, name, at)
    found = in_class(value.cls, name)
    if found is not None:
        return bind(run, found, value, at)
    return _special(run, value, name, at)


def _special(run: Run, value: Instance, name: str, at: ast.AST) -> Value:
    """What a base class of a library, `__getattr__` or Python itself provides."""
    if name == "__class__":
        return value.cls
    if name == "__dict__":
        return python_values.namespace(value)
    if is_module_class(value.cls):
        if name == TRAINING:
            return Constant(True)
        given = vocabulary.get_attribute(run, value, name, at)
        if given is not None:
            return given
    usual = hub_classes.attribute(value, name)
    if usual is not None:
        return usual
    hook = in_class(value.cls, ESCAPE_HATCH)
    if hook is not None and not _running(run, hook):
        return run.call(bind(run, hook, value, at), Arguments((Constant(name),)), at)
    if run.modules and is_module_class(value.cls):
        run.open.add(id(value))
    return Unknown(f"no attribute {name!r} was seen to be set")


def _running(run: Run, hook: Value) -> bool:
    activation: Activation | None = run.activation
    for _ in range(3):
        if activation is None:
            return False
        if isinstance(hook, Function) and activation.node is hook.node:
            return True
        activation = activation.outer
    return False


def in_class(cls: Class, name: str, after: Class | None = None) -> Value | None:
    """What the classes of a method resolution order define under a name, those up to `after` left out."""
    order = cls.order
    if after is not None and after in order:
        order = order[order.index(after) + 1 :]
    for base in order:
        if isinstance(base, Class) and name in base.names:
            return base.names[name]
    return None


def bind(run: Run, found: Value, receiver: Value, at: ast.AST) -> Value:
    """What an access through an object gives for what its class defines."""
    match found:
        case Function(binding="static"):
            return found
        case Function(binding="class"):
            return Bound(receiver.cls if isinstance(receiver, Instance) else receiver, found)
        case Function():
            return Bound(receiver, found)
        case Property(getter=getter):
            return run.call(bind(run, getter, receiver, at), Arguments(), at)
    return found


def _of_class(run: Run, value: Class, name: str, at: ast.AST) -> Value:
    found = in_class(value, name)
    if isinstance(found, Function) and found.binding == "class":
        return Bound(value, found)
    if found is not None:
        return found
    if name == "__name__":
        return Constant(value.name)
    if name == "__dict__":
        return python_values.namespace(value)
    return Method(value, name)


def _of_super(run: Run, value: Super, name: str, at: ast.AST) -> Value:
    receiver = value.receiver
    cls = receiver.cls if isinstance(receiver, Instance) else receiver
    if not isinstance(cls, Class):
        return Method(value, name)
    found = in_class(cls, name, value.cls)
    return Method(value, name) if found is None else bind(run, found, receiver, at)


def _of_layer(run: Run, value: Layer, name: str, at: ast.AST) -> Value:
    if name in value.attributes:
        return value.attributes[name]
    given = vocabulary.get_attribute(run, value, name, at)
    if given is not None:
        return given
    if name in value.arguments:
        return value.arguments[name]
    return Constant(True) if name == TRAINING else Unknown(f"no attribute {name!r} of {value.name} is known")


def _of_tensor(run: Run, value: Tensor, name: str, at: ast.AST) -> Value:
    given = vocabulary.get_attribute(run, value, name, at)
    if given is not None:
        return given
    kept = value.state.get(name)
    if isinstance(kept, Value):
        return kept
    return part(run, value, f"no attribute {name!r} of a tensor is known", run.read(value), at)


def _of_foreign(run: Run, value: Foreign, name: str, at: ast.AST) -> Value:
    if name in value.state:
        return value.state[name]
    given = vocabulary.get_attribute(run, value, name, at)
    if given is not None:
        return given
    found = python_values.foreign_attribute(run, value, name, at)
    return found or Unknown(f"no attribute {name!r} of {value.name} is known")


def _of_external(run: Run, value: External, name: str, at: ast.AST) -> Value:
    if name == "__name__":
        return Constant(value.name.rpartition(".")[2])
    full = f"{value.name}.{name}"
    source = run.project.find(run.activation.module, full)
    return ModuleValue(source) if source else modules_of_project.of_library(full)


def _of_module(run: Run, value: ModuleValue, name: str, at: ast.AST) -> Value:
    found = modules_of_project.member(run, value.source, name)
    return Unknown(f"{value.source.name} defines no {name}") if found is None else found


def _of_unknown(run: Run, value: Unknown, name: str, at: ast.AST) -> Value:
    torch_training.get_attribute(run, value, name, at)
    return part(run, value, value.why, value.node, at)


def _of_symbol(run: Run, value: Symbol, name: str, at: ast.AST) -> Value:
    return part_of_symbol(run, value)


_PLAIN = (Unknown, Symbol, Constant, Sequence, Mapping)
_LIBRARY = (Tensor, Layer, Foreign)

_GETTERS: dict[type, Callable[[Run, Any, str, ast.AST], Value]] = {
    Choice: _of_choice,
    Instance: _of_instance,
    Class: _of_class,
    Super: _of_super,
    Layer: _of_layer,
    Tensor: _of_tensor,
    Foreign: _of_foreign,
    External: _of_external,
    ModuleValue: _of_module,
    Unknown: _of_unknown,
    Symbol: _of_symbol,
}


def assign(run: Run, value: Value, name: str, content: Value, at: ast.AST) -> None:
    """Assigns an attribute of any value."""
    match value:
        case Choice(options=options):
            targets = [o for o in options if not isinstance(o, Constant)]
            if len(targets) == 1:
                assign(run, targets[0], name, content, at)
            else:
                alternatives(run, [lambda o=o: assign(run, o, name, content, at) for o in targets])  # type: ignore[misc]
        case Instance():
            _assign_instance(run, value, name, content, at)
        case Class(names=names):
            run.write(names, name, content)
        case Layer() | Tensor() | Foreign():
            if not vocabulary.set_attribute(run, value, name, content, at):
                run.write(value.state if isinstance(value, (Tensor, Foreign)) else value.attributes, name, content)
                if isinstance(value, Tensor) and name != GRADIENT:
                    absorb(run, value, (content,), at)
        case ModuleValue(source=source):
            run.write(modules_of_project.scope(run, source).names, name, content)
        case Unknown():
            torch_training.set_attribute(run, value, name, content, at)
            absorb(run, value, (content,), at)
        case External() if isinstance(content, CODE):
            run.gap(at, f"{value.name}.{name} is replaced")
            run.patched = True
        case Symbol():
            absorb(run, value, (content,), at)


CODE = (Function, Bound, Class, Partial)
"""What changes what a library computes when it takes the place of one of its functions."""


def _assign_instance(run: Run, value: Instance, name: str, content: Value, at: ast.AST) -> None:
    found = in_class(value.cls, name)
    if isinstance(found, Property) and found.setter is not None:
        run.call(bind(run, found.setter, value, at), Arguments((content,)), at)
        return
    hook = in_class(value.cls, "__setattr__")
    if hook is not None and not _running(run, hook):
        run.call(bind(run, hook, value, at), Arguments((Constant(name), content)), at)
        return
    if not (is_module_class(value.cls) and vocabulary.set_attribute(run, value, name, content, at)):
        run.write(value.attributes, name, content)


def delete(run: Run, value: Value, name: str) -> None:
    """`del value.name`."""
    if isinstance(value, (Instance, Layer)) and name in value.attributes:
        run.write(value.attributes, name, ABSENT)
