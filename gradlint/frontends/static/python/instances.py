"""What `isinstance` says of a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradlint.frontends.static.record.tensors_inside import is_module, is_module_base
from gradlint.frontends.static.values import (
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
    Partial,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

PLAIN_TYPES: dict[str, type | tuple[type, ...]] = {
    "builtins.int": int,
    "builtins.float": float,
    "builtins.str": str,
    "builtins.bool": bool,
    "builtins.bytes": bytes,
    "numbers.Number": (int, float),
    "numbers.Integral": int,
    "numbers.Real": (int, float),
}
CONTAINERS: dict[str, tuple[str, ...]] = {
    "builtins.list": ("list",),
    "builtins.tuple": ("tuple",),
    "builtins.set": ("set",),
}
ABSTRACT = frozenset({"Iterable", "Sequence", "Sized", "Collection", "Container"})
MAPPINGS = frozenset({"dict", "OrderedDict", "defaultdict", "Mapping", "MutableMapping"})
TENSORS = frozenset({"torch.Tensor", "torch.FloatTensor", "torch.cuda.FloatTensor", "torch.autograd.Variable"})
CALLABLES = (Function, Bound, Class, Partial, External, Layer, Method)


def is_instance(run: Run, value: Value, cls: Value) -> bool | None:
    """Whether a value is an object of a class (or of one of several); None where that is not known."""
    if isinstance(cls, Sequence):
        answers = [is_instance(run, value, one) for one in cls.items]
        return True if True in answers else None if None in answers or not cls.exact else False
    if isinstance(value, Choice):
        options = {is_instance(run, option, cls) for option in value.options}
        return options.pop() if len(options) == 1 else None
    if isinstance(cls, Choice):
        ways = {is_instance(run, value, one) for one in cls.options}
        return ways.pop() if len(ways) == 1 else None
    if isinstance(value, (Unknown, Choice)) or not isinstance(cls, (Class, External)):
        return None
    if isinstance(cls, Class):
        return cls in value.cls.order if isinstance(value, Instance) else False
    return _is_external(value, cls.name)


def _is_external(value: Value, name: str) -> bool | None:
    last = name.rpartition(".")[2]
    if isinstance(value, Constant):
        kind = PLAIN_TYPES.get(name)
        return isinstance(value.value, kind) if kind else False
    if isinstance(value, Symbol):
        kind = PLAIN_TYPES.get(name)
        return None if not value.type else bool(kind) and value.type == last
    if isinstance(value, Sequence):
        return value.kind in CONTAINERS.get(name, ()) or last in ABSTRACT
    if isinstance(value, Mapping):
        return last in MAPPINGS
    if isinstance(value, Tensor):
        return None if last == "ndarray" else name in TENSORS or (value.parameter and last == "Parameter")
    return _is_object(value, name, last)


def _is_object(value: Value, name: str, last: str) -> bool | None:
    if isinstance(value, Layer):
        if name == "torch.nn.Module":
            return True
        if value.name.rpartition(".")[2] == last:
            return True
        return None if last.startswith("_") else False
    if isinstance(value, Instance):
        if is_module_base(External(name)) and last == "Module":
            return is_module(value)
        known = [base.name.rpartition(".")[2] for base in value.cls.order if isinstance(base, External)]
        return True if last in known else None if any(isinstance(b, Unknown) for b in value.cls.order) else False
    if isinstance(value, Foreign):
        return True if value.name.rpartition(".")[2] == last else None
    return _is_callable_of(value, last) if isinstance(value, CALLABLES) else None


def _is_callable_of(value: Value, last: str) -> bool | None:
    """Whether something that can be called is of a kind: a function, a class, a `functools.partial`."""
    if last == "Callable":
        return True
    if isinstance(value, External):
        made = value.name.rpartition(".")[2][:1].isupper()
        return made if last == "type" else False if made else None
    return last in _KINDS.get(type(value), ())


_KINDS: dict[type, tuple[str, ...]] = {
    Function: ("FunctionType", "LambdaType"),
    Bound: ("MethodType",),
    Class: ("type", "ABCMeta", "EnumMeta"),
    Partial: ("partial",),
}
