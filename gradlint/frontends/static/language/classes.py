"""Classes of the project: their making, their objects, and what they take over from a library's classes."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static import vocabulary
from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.language.functions import is_own
from gradlint.frontends.static.python import container_objects
from gradlint.frontends.static.python import values as python_values
from gradlint.frontends.static.python.keys import DATA
from gradlint.frontends.static.record.tensors_inside import MODULE_BASES, is_module, is_module_base, is_module_class
from gradlint.frontends.static.torch import hub_classes, hub_outputs, hub_settings
from gradlint.frontends.static.values import (
    Arguments,
    Class,
    Constant,
    External,
    Function,
    Instance,
    Layer,
    Scope,
    Sequence,
    Super,
    Symbol,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Activation, Run

CONSTRUCTOR = "__init__"
DATACLASSES = frozenset({"dataclasses.dataclass", "attr.s", "attr.define", "attrs.define", "attrs.frozen"})
RECORDS = frozenset({"typing.NamedTuple", "pydantic.BaseModel", "transformers.utils.ModelOutput"})
ENUMS = frozenset({"enum.Enum", "enum.IntEnum", "enum.StrEnum", "enum.Flag"})
FIELDS = frozenset({"dataclasses.field", "attr.ib", "attrs.field", "pydantic.Field"})
POST_INIT = "__post_init__"


def define(run: Run, node: ast.ClassDef) -> Value:
    """Runs a class statement."""
    bases = tuple(run.evaluate(base) for base in node.bases if not isinstance(base, ast.Starred))
    cls = Class(node.name, node, run.activation.scope, bases)
    cls.order = (cls, *_linearised([base for base in bases if _is_class(base)]), *hub_settings.mixins(run, bases))
    _run_body(run, cls)
    cls.decorators = tuple(run.evaluate(decorator) for decorator in reversed(node.decorator_list))
    if _descends(cls, ENUMS):
        _make_members(run, cls)
    value: Value = cls
    for decorator in cls.decorators:
        value = _decorated(run, value, decorator, node)
    return value


def _is_class(base: Value) -> bool:
    return isinstance(base, (Class, Unknown)) or (isinstance(base, External) and base.name != "typing.Generic")


def _decorated(run: Run, value: Value, decorator: Value, node: ast.ClassDef) -> Value:
    """A decorator of the project's own decides what the name stands for; a library's leaves the class as it is."""
    if not isinstance(decorator, (Function, Class, Instance)) or not is_own(decorator):
        return value
    result = run.call(decorator, Arguments((value,)), node)
    return result if isinstance(result, Class) else value


def _linearised(bases: list[Value]) -> list[Value]:
    """The method resolution order behind a class (C3); base by base where none exists."""
    rows = [list(base.order) if isinstance(base, Class) else [base] for base in bases] + [list(bases)]
    found: list[Value] = []
    while rows := [row for row in rows if row]:
        head = next((row[0] for row in rows if not any(_among(row[0], other[1:]) for other in rows)), rows[0][0])
        found.append(head)
        rows = [[item for item in row if not _is_same(item, head)] for row in rows]
    return found


def _among(item: Value, others: list[Value]) -> bool:
    return any(_is_same(item, other) for other in others)


def _is_same(one: Value, other: Value) -> bool:
    return one is other or (isinstance(one, External) and isinstance(other, External) and one.name == other.name)


def _run_body(run: Run, cls: Class) -> None:
    from gradlint.frontends.static.run import Activation

    outer = run.activation
    scope = Scope(cls.names, outer.module, outer.scope)
    run.activation = Activation(scope, cls.name, outer, cls.node, None, cls, cls.node, outer.depth)
    try:
        run.execute(cls.node.body)
    finally:
        run.activation = outer


def _descends(cls: Class, names: frozenset[str]) -> bool:
    return any(isinstance(base, External) and base.name in names for base in cls.order)


def _make_members(run: Run, cls: Class) -> None:
    """The members of an enumeration: objects with a name and a value."""
    for name, value in list(cls.names.items()):
        if not name.startswith("_") and isinstance(value, (Constant, Symbol, Sequence, Unknown)):
            member = Instance(cls, {"name": Constant(name), "value": value, "_value_": value})
            run.write(cls.names, name, member)


def is_record(cls: Class) -> bool:
    """Whether Python writes the constructor, from the annotated names."""
    decorated = any(
        isinstance(d, External) and d.name in DATACLASSES
        for base in cls.order
        if isinstance(base, Class)
        for d in base.decorators
    )
    return decorated or _descends(cls, RECORDS) or hub_settings.is_settings(cls)


def _is_record_after(cls: Class, after: Class | None) -> bool:
    """Whether the next class of the project in the order behind `after` is one whose constructor Python writes."""
    order = cls.order[cls.order.index(after) + 1 :] if after in cls.order else ()
    following = next((base for base in order if isinstance(base, Class)), None)
    return following is not None and is_record(following)


def instantiate(run: Run, cls: Class, arguments: Arguments, at: ast.AST) -> Value:
    """A new object of a class."""
    if _descends(cls, ENUMS):
        return _member(cls, arguments)
    maker = in_class(cls, "__new__")
    if isinstance(maker, Function):
        made = run.call(maker, Arguments((cls, *arguments.positional), arguments.named, arguments.exact), at)
        if not (isinstance(made, Instance) and made.cls is cls):
            return made
        instance = made
    else:
        instance = Instance(cls, {}, run.frame(at))
    if is_module_class(cls):
        register(run, instance)
    _construct(run, instance, arguments, at)
    return instance


def _member(cls: Class, arguments: Arguments) -> Value:
    wanted = arguments.positional[0] if arguments.positional else None
    members = [m for m in cls.names.values() if isinstance(m, Instance) and m.cls is cls]
    for member in members:
        value = member.attributes.get("value")
        if wanted is member or (
            isinstance(value, Constant) and isinstance(wanted, Constant) and value.value == wanted.value
        ):
            return member
    return Unknown(f"a member of {cls.name}")


def _construct(run: Run, instance: Instance, arguments: Arguments, at: ast.AST) -> None:
    cls = instance.cls
    constructor = in_class(cls, CONSTRUCTOR)
    if constructor is not None:
        run.call(bind(run, constructor, instance, at), arguments, at)
    elif is_record(cls):
        _fill_fields(run, instance, arguments, at)
    else:
        initialise_base(run, instance, None, arguments, at)


def register(run: Run, module: Instance | Layer) -> None:
    """Notes a new module and the module that made it."""
    if id(module) not in run.built:
        run.built[id(module)] = module
        run.makers[id(module)] = _maker(run, module)
        run.training.created[id(module)] = tuple(loop.place for loop in run.loops)


def _maker(run: Run, module: Value) -> Value | None:
    """The module whose constructor is running, else the one whose forward is."""
    activation: Activation | None = run.activation
    while activation is not None:
        receiver = activation.receiver
        building = receiver is not None and activation.name.endswith(CONSTRUCTOR)
        if building and receiver is not module and receiver is not None and is_module(receiver):
            return receiver
        activation = activation.outer
    return run.modules[-1] if run.modules else None


def _fill_fields(run: Run, instance: Instance, arguments: Arguments, at: ast.AST) -> None:
    """What the constructor of a dataclass does."""
    arguments = hub_outputs.passed_on(instance.cls, arguments)
    given = list(arguments.positional)
    for cls in reversed([base for base in instance.cls.order if isinstance(base, Class)]):
        for statement in cls.node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                name = statement.target.id
                value = _field(run, cls, name, given, arguments, at)
                run.write(instance.attributes, name, value)
    if hub_settings.is_settings(instance.cls):
        hub_settings.keep(run, instance, arguments.named)
    elif arguments.named and _descends(instance.cls, RECORDS):
        for name, value in arguments.named.items():
            run.write(instance.attributes, name, value)
    after = in_class(instance.cls, POST_INIT)
    if after is not None:
        run.call(bind(run, after, instance, at), Arguments(), at)
    elif hub_settings.is_settings(instance.cls):
        hub_settings.finish(run, instance, Arguments(), at)


def _field(run: Run, cls: Class, name: str, given: list[Value], arguments: Arguments, at: ast.AST) -> Value:
    if given:
        return given.pop(0)
    if name in arguments.named:
        return arguments.named[name]
    default = cls.names.get(name)
    if isinstance(default, Instance) and "default_factory" in default.attributes:
        return run.call(default.attributes["default_factory"], Arguments(), at)
    return Unknown(f"field {name!r} is not given") if default is None else default


def base_after(cls: Class, after: Class | None) -> Value | None:
    """The first base that is no class of the project, in the order behind `after`."""
    order = cls.order
    if after is not None and after in order:
        order = order[order.index(after) + 1 :]
    return next((base for base in order if not isinstance(base, Class)), None)


def initialise_base(run: Run, instance: Instance, after: Class | None, arguments: Arguments, at: ast.AST) -> None:
    """Runs the constructor that a class takes over from a library."""
    base = base_after(instance.cls, after)
    hub_classes.initialise(run, instance, arguments)
    if isinstance(base, External) and base.name in CONTAINER_BASES:
        run.write(instance.attributes, DATA, run.call(External(CONTAINER_BASES[base.name]), arguments, at))
        return
    if not (isinstance(base, External) and is_module_base(base)):
        if base is not None and is_module_class(instance.cls) and not isinstance(base, External):
            run.write(instance.attributes, UNREAD, Unknown("a base class is not known"))
        return
    if base.name.rpartition(".")[2] in MODULE_BASES:
        return
    made = vocabulary.call_external(run, base.name, arguments, at)
    if isinstance(made, Layer):
        run.built.pop(id(made), None)
        for name, value in made.attributes.items():
            run.write(instance.attributes, name, value)
        for name, value in made.arguments.items():
            if name not in instance.attributes:
                run.write(instance.attributes, name, value)
        made.attributes = instance.attributes
        run.write(instance, "base", made)


CONTAINER_BASES = {
    "builtins.dict": "builtins.dict",
    "collections.OrderedDict": "builtins.dict",
    "collections.UserDict": "builtins.dict",
    "collections.defaultdict": "collections.defaultdict",
    "builtins.list": "builtins.list",
    "collections.UserList": "builtins.list",
}
"""Classes of Python's own whose objects hold items, and what makes their content."""

UNREAD = "<base>"
"""Attribute of an object that stands for whatever an unreadable base class sets."""


def call_library_base(run: Run, receiver: Super, name: str, arguments: Arguments, at: ast.AST) -> Value:
    """`super().method(…)` where no class of the project further on defines the method."""
    instance = receiver.receiver
    if name == CONSTRUCTOR:
        if isinstance(instance, Instance) and _is_record_after(instance.cls, receiver.cls):
            _fill_fields(run, instance, arguments, at)
        elif isinstance(instance, Instance):
            initialise_base(run, instance, receiver.cls, arguments, at)
        return Constant(None)
    if name == "__new__" and arguments.positional:
        cls = arguments.positional[0]
        return Instance(cls, {}, run.frame(at)) if isinstance(cls, Class) else Unknown("a new object")
    if not isinstance(instance, Instance):
        return run.opaque(f"super().{name} is not known", (instance, *arguments), at)
    if DATA in instance.attributes and (held := container_objects.item_method(run, instance, name, arguments, at)):
        return held
    if name in python_values.OBJECT_METHODS:
        return python_values.object_method(run, instance, name, arguments, at)
    return _base_method(run, instance, name, arguments, at)


def _base_method(run: Run, instance: Instance, name: str, arguments: Arguments, at: ast.AST) -> Value:
    found: Value | None = None
    if name in ("forward", "__call__") and instance.base is not None:
        found = run.call(instance.base, arguments, at)
    elif is_module_class(instance.cls):
        found = vocabulary.call_method(run, instance, name, arguments, at)
        if found is None and instance.base is not None:
            found = vocabulary.call_method(run, instance.base, name, arguments, at)
    if found is not None:
        return found
    found = hub_classes.method(run, instance, name, arguments, at)
    if found is not None:
        return found
    known = all(isinstance(base, (Class, External)) for base in instance.cls.order)
    if known and not is_module_class(instance.cls) and not run.nodes_in(tuple(arguments)):
        return Unknown(f"super().{name} is not known")
    return run.opaque(f"super().{name} is not known", (instance, *arguments), at)


def class_method(run: Run, cls: Class, name: str, arguments: Arguments, at: ast.AST) -> Value:
    """A method that a class has from Python or a library."""
    first = arguments.positional[0] if arguments.positional else None
    if name == CONSTRUCTOR and isinstance(first, Instance):
        rest = Arguments(arguments.positional[1:], arguments.named, arguments.exact)
        initialise_base(run, first, cls, rest, at)
        return Constant(None)
    if name == "__new__" and isinstance(first, Class):
        return Instance(first, {}, run.frame(at))
    if name == "__subclasses__":
        return Sequence([], "list", exact=False)
    if isinstance(first, Instance):
        rest = Arguments(arguments.positional[1:], arguments.named, arguments.exact)
        return call_library_base(run, Super(first, cls), name, rest, at)
    return run.opaque(f"{cls.name}.{name} is not known", (*arguments,), at)
