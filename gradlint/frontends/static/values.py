"""What a Python expression stands for when nothing is executed.

Values have identity: two names for one object share one value, and what is written into it (attributes, items) is seen
through both. All that can change lives in plain dicts and lists, which the heap saves before a branch and joins after.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradlint.frame import Frame
from gradlint.frontends.static.heap import cells, tick
from gradlint.graph import ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.project import ModuleSource

NO_NODE = -1
"""The node of a value that no op of the graph has made or read so far."""


class Value:
    """Base of all values."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Constant(Value):
    """A known Python value: None, a number, a text, `...`, or an enumeration's member."""

    value: Any


@dataclass(slots=True, eq=False)
class OnOff(Constant):
    """The default of an on-off option of the command line: what models are built with, though users pass the other."""


@dataclass(slots=True, eq=False)
class Symbol(Value):
    """A plain Python value that is not known: a shape's size, a loop's counter, a command-line argument.

    `type` is the name of its Python type ("int", "float", "bool", "str") or "" where that is not known either. It never
    holds a tensor, so nothing that is computed from it carries a gradient. `holder` is the object that it is a part of.
    """

    type: str = ""
    holder: Value | None = None


@dataclass(slots=True, eq=False)
class Text(Symbol):
    """A text that was written out of a tensor's values."""


@dataclass(slots=True, eq=False)
class Truth(Symbol):
    """The answer to a question about the values of an array; `of` is the array."""

    of: Value | None = None


@dataclass(slots=True, eq=False)
class Unknown(Value):
    """What could not be read. `node` is the opaque value of the graph that stands for the tensors in it, if any.

    `holder` is the object that it is a part of, which keeps what is put into it.
    """

    why: str
    node: int = NO_NODE
    holder: Value | None = None


@dataclass(slots=True, eq=False)
class Choice(Value):
    """One of several values, which of them is decided by something that is not known."""

    options: tuple[Value, ...]


@dataclass(slots=True, eq=False)
class Sequence(Value):
    """A list, tuple, set or generator ("list", "tuple", "set", "generator").

    Where `exact` is false there may be more items like these.
    """

    items: list[Value]
    kind: str = "list"
    exact: bool = True
    made: Frame | None = None
    birth: int = field(default_factory=tick, init=False)


@dataclass(slots=True, eq=False)
class Mapping(Value):
    """A dict by its constant keys. Where `exact` is false there may be others; `factory` makes what is missing."""

    items: dict[Any, Value] = field(default_factory=dict)
    exact: bool = True
    made: Frame | None = None
    factory: Value | None = None

    def __post_init__(self) -> None:
        self.items = cells(self.items)


@dataclass(slots=True, eq=False)
class Tensor(Value):
    """A tensor, or an array or number that was computed from one (`carrier`): a node of the graph.

    `shape` and `dtype` are None where unknown, an unknown size within a shape too. `state` holds what can be assigned:
    "requires_grad" (bool, absent where it follows from the history), "grad", and users' own attributes; `parameter`
    says that it is an `nn.Parameter`; `made` is the expression that made it one; `leaf` that it has no history.
    """

    node: int
    shape: tuple[int | None, ...] | None = None
    dtype: str | None = None
    carrier: ValueKind = ValueKind.TENSOR
    parameter: bool = False
    leaf: bool = False
    made: Frame | None = None
    state: dict[str, Any] = field(default_factory=dict)
    birth: int = field(default_factory=tick, init=False)

    def __post_init__(self) -> None:
        self.state = cells(self.state)


@dataclass(slots=True, eq=False)
class Layer(Value):
    """A module of a library: `name` is the class's full name, such as "torch.nn.Linear".

    `arguments` are the constructor's by name, defaults filled in; `attributes` what an attribute access finds, parts
    and
    parameters included, in the order of registration. `known` is false for a class that the vocabulary does not list:
    it may hold any parameter.
    """

    name: str
    arguments: dict[str, Value] = field(default_factory=dict)
    attributes: dict[str, Value] = field(default_factory=dict)
    made: Frame | None = None
    known: bool = True

    def __post_init__(self) -> None:
        self.attributes = cells(self.attributes)


@dataclass(slots=True, eq=False)
class Foreign(Value):
    """An object of a library that is no module: an optimizer, scheduler, data loader, scaler, generator.

    `name` is the class's full name; `state` what the vocabulary keeps of it.
    """

    name: str
    arguments: dict[str, Value] = field(default_factory=dict)
    state: dict[str, Value] = field(default_factory=dict)
    made: Frame | None = None

    def __post_init__(self) -> None:
        self.state = cells(self.state)


@dataclass(slots=True, eq=False)
class Scope:
    """The names of a function call, of a class body or of a module, and the scope around it."""

    names: dict[str, Value]
    module: ModuleSource
    outer: Scope | None = None


@dataclass(slots=True, eq=False)
class Class(Value):
    """A class of the project. `bases` are `Class` or `External` (or `Unknown`), `names` what its body defines."""

    name: str
    node: ast.ClassDef
    scope: Scope
    bases: tuple[Value, ...] = ()
    names: dict[str, Value] = field(default_factory=dict)
    decorators: tuple[Value, ...] = ()
    order: tuple[Value, ...] = ()
    """The method resolution order: the class itself, then its project classes and `External` bases."""


@dataclass(slots=True, eq=False)
class Instance(Value):
    """An object of a class of the project. `made` is the call that built it.

    `base` is the library module that it extends beyond `nn.Module` itself (`nn.Sequential`, `nn.Linear`); the two share
    one dict of attributes.
    """

    cls: Class
    attributes: dict[str, Value] = field(default_factory=dict)
    made: Frame | None = None
    base: Layer | None = None

    def __post_init__(self) -> None:
        self.attributes = cells(self.attributes)


@dataclass(slots=True, eq=False)
class Function(Value):
    """A function or lambda of the project; `owner` is the class whose body defines it.

    `decorators` are the contexts that every call runs in (`torch.no_grad()`), `binding` is "static" or "class" where an
    attribute access does not bind it to the object, `defaults` the values of its parameters' defaults by name.
    """

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    owner: Class | None = None
    decorators: tuple[Value, ...] = ()
    binding: str = ""
    defaults: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Property(Value):
    """A property of a class: the functions that read and write it."""

    getter: Value
    setter: Value | None = None


@dataclass(slots=True, eq=False)
class Bound(Value):
    """A function of the project bound to an object or class."""

    receiver: Value
    function: Function


@dataclass(slots=True, eq=False)
class Method(Value):
    """A method of a value that the vocabulary or Python itself provides: `x.view`, `layers.append`, `net.to`."""

    receiver: Value
    name: str


@dataclass(slots=True, eq=False)
class External(Value):
    """Something that a library or Python itself defines, by its full name: "torch.nn.Linear", "builtins.len"."""

    name: str


@dataclass(slots=True, eq=False)
class ModuleValue(Value):
    """An imported module of the project."""

    source: ModuleSource


@dataclass(slots=True, eq=False)
class Partial(Value):
    """`functools.partial`."""

    function: Value
    positional: tuple[Value, ...] = ()
    named: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Super(Value):
    """`super()` inside of a method of `cls` on `receiver`."""

    receiver: Value
    cls: Class


@dataclass(slots=True, eq=False)
class Arguments:
    """The evaluated arguments of a call. `exact` is false where an unknown `*` or `**` may have given more."""

    positional: tuple[Value, ...] = ()
    named: dict[str, Value] = field(default_factory=dict)
    exact: bool = True

    def __iter__(self) -> Any:
        yield from self.positional
        yield from self.named.values()
