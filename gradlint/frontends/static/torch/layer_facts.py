"""Reads layers.toml: the classes of torch.nn, with their arguments, parameters, parts and what a call of them does.

A table is named by its class; `{N}` in it stands for 1, 2 and 3, `{M}` for 2 and 3 (both also bind the name in
expressions). Its keys:

`signature`   the constructor's parameters, with torch's defaults
`like`        a class that has the keys that this one leaves out
`lazy`        arguments of that class that only the first call will know
`sizes`       arguments that a single number gives for every axis
`set`         attributes that are computed, by name
`parameters`  (name, shape, condition) in the order of registration; without a condition it is always there
`buffers`     (name, shape, condition, dtype)
`children`    (name, constructor call)
`copies`      (name, argument, number): a ModuleList of copies of a module that was handed in
`keeps`       arguments that are modules and become parts
`holds`       arguments that are tensors and become buffers
`given`       parameters that take over an argument when it is given
`frozen`      parameters that are not trainable when an argument says so
`recurrent`   number of gates of a recurrent layer, whose parameters are made for every layer and direction
`call`        what a call of one `input` does, as an expression
`forward`     the same as a function
`opaque`      the class is known by name only
"""

from __future__ import annotations

import ast
import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any

from gradlint.errors import InternalError
from gradlint.frontends.static.python.plain_values import OPEN, NotKnownError

FILE = Path(__file__).with_name("layers.toml")
DIMENSIONS = {"N": (1, 2, 3), "M": (2, 3)}
DEFAULT_CALL = "def forward(input):\n    return {}"
REQUIRED: Any = object()
"""Stands for the default of a parameter that has none."""

GATES_SUFFIXES = ("", "_reverse")


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of a constructor; `kind` is "plain", "keyword", "rest" (`*args`) or "options" (`**kwargs`)."""

    name: str
    default: Any = REQUIRED
    kind: str = "plain"


@dataclass(frozen=True)
class LayerFacts:
    """One class of layers.toml; `facts` are its keys, `variables` what `{N}` and `{M}` stand for."""

    name: str
    facts: Mapping[str, Any]
    variables: Mapping[str, int] = field(default_factory=dict)

    def __getattr__(self, key: str) -> Any:
        return self.facts.get(key, ())

    @functools.cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """The constructor's parameters in order."""
        return tuple(_arguments(self.facts.get("signature", "")))

    @functools.cached_property
    def script(self) -> ast.FunctionDef | None:
        """What a call does; None for a class that is known by name only."""
        text = self.facts.get("forward") or DEFAULT_CALL.format(self.facts["call"]) if not self.opaque else ""
        found = ast.parse(text).body
        return found[0] if found and isinstance(found[0], ast.FunctionDef) else None


def _arguments(signature: str) -> Iterator[Argument]:
    parsed = ast.parse(f"def f({signature}): ...").body[0]
    assert isinstance(parsed, ast.FunctionDef)
    given = parsed.args
    defaults = [REQUIRED] * (len(given.args) - len(given.defaults)) + [ast.literal_eval(d) for d in given.defaults]
    yield from (Argument(arg.arg, default) for arg, default in zip(given.args, defaults, strict=True))
    if given.vararg:
        yield Argument(given.vararg.arg, (), "rest")
    for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield Argument(arg.arg, REQUIRED if default is None else ast.literal_eval(default), "keyword")
    if given.kwarg:
        yield Argument(given.kwarg.arg, (), "options")


@functools.cache
def load() -> Mapping[str, LayerFacts]:
    """All classes by name, read once; raises `InternalError` where the file is not valid."""
    try:
        tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
        written = {name: entry for key, table in tables.items() for name, entry in _expanded(key, table, {})}
        return MappingProxyType({name: _inherited(name, written) for name in written})
    except (tomllib.TOMLDecodeError, KeyError, RecursionError) as fault:
        raise InternalError(f"layers.toml is not valid: {fault!r}") from fault


def facts(name: str) -> LayerFacts | None:
    """The facts of a class of torch.nn by its bare name; None when it is not known."""
    return load().get(name)


def _expanded(name: str, table: dict[str, Any], variables: dict[str, int]) -> Iterator[tuple[str, LayerFacts]]:
    """A table for each number that a variable in its name stands for."""
    variable = next((letter for letter in DIMENSIONS if f"{{{letter}}}" in name), None)
    if variable is None:
        yield name, LayerFacts(name, table, variables)
        return
    for number in DIMENSIONS[variable]:
        filled = _filled([name, table], f"{{{variable}}}", str(number))
        yield from _expanded(filled[0], filled[1], {"N": number, "M": number})


def _filled(value: Any, mark: str, text: str) -> Any:
    if isinstance(value, str):
        return value.replace(mark, text)
    if isinstance(value, list):
        return [_filled(item, mark, text) for item in value]
    return {key: _filled(item, mark, text) for key, item in value.items()} if isinstance(value, dict) else value


def _inherited(name: str, written: Mapping[str, LayerFacts]) -> LayerFacts:
    own = written[name]
    if not own.like:
        return own
    parent = _inherited(own.like, written)
    inherited = dict(parent.facts)
    if "call" in own.facts:
        inherited.pop("forward", None)
    return LayerFacts(name, {**inherited, **own.facts}, {**parent.variables, **own.variables})


# --- expressions


def fill(value: Any, axes: int) -> Any:
    """One number as a tuple of that length; a tuple, a text or None as it is."""
    if isinstance(value, (tuple, str)) or value is None:
        return value
    return tuple(value) if isinstance(value, list) else (value,) * axes


def mirrored(padding: Any) -> Any:
    """Padding by axis as `pad` wants it: both ends of every axis, the last axis first."""
    return tuple(size for size in reversed(padding) for _ in range(2)) if isinstance(padding, tuple) else OPEN


def decimal(value: Any) -> Any:
    """An integer, or each of a tuple, as a float."""
    if isinstance(value, tuple):
        return tuple(decimal(item) for item in value)
    return float(value) if type(value) is int else value


def product(sizes: Any) -> Any:
    """The product of a tuple of sizes."""
    return functools.reduce(lambda one, other: one * other, fill(sizes, 1), 1)


FUNCTIONS = {"fill": fill, "mirrored": mirrored, "decimal": decimal, "product": product}


@functools.lru_cache(maxsize=4096)
def _compiled(expression: str) -> CodeType:
    return compile(expression, "layers.toml", "eval")


def calculate(expression: str, names: Mapping[str, Any]) -> Any:
    """The plain object that an expression of layers.toml gives; `OPEN` where it hangs on something not known."""
    try:
        return eval(_compiled(expression), {"__builtins__": {}, **FUNCTIONS}, dict(names))
    except Exception:  # whatever an unsuitable argument leads to: torch would refuse it as well
        return OPEN


def shape(expression: str, names: Mapping[str, Any]) -> tuple[int | None, ...] | None:
    """The shape that an expression gives, sizes that are not known as None; None where not even its rank is known."""
    found = calculate(f"[{expression}]", names)
    return tuple(item if type(item) is int else None for item in found) if isinstance(found, list) else None


def holds(condition: str, names: Mapping[str, Any]) -> bool | None:
    """Whether a condition holds; None where that is not known."""
    found = calculate(condition, names)
    try:
        return bool(found)
    except NotKnownError:
        return None


def attributes(known: LayerFacts, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the constructor computes from its (plain) arguments: sizes for every axis, and the `set` attributes."""
    names = {**arguments, **dict.fromkeys(known.lazy, OPEN), **known.variables}
    computed: dict[str, Any] = dict.fromkeys(known.lazy, OPEN)
    for name in known.sizes:
        computed[name] = names[name] = fill(names.get(name, OPEN), known.variables.get("N", 1))
    for name, expression in dict(known.set or {}).items():
        computed[name] = calculate(expression, {**names, name: names.get(name)})
    return computed


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter or buffer of a layer: `shape` None where it is not known, `present` None where that is not known."""

    name: str
    shape: tuple[int | None, ...] | None
    present: bool | None = True
    dtype: str = "float32"


def parameters(known: LayerFacts, names: Mapping[str, Any]) -> Iterator[Weight]:
    """The parameters of a layer in the order of registration; `names` are its arguments and attributes."""
    if known.recurrent:
        yield from _recurrent(known.recurrent, names)
    for name, sizes, *condition in known.parameters:
        yield Weight(name, shape(sizes, names), holds(condition[0], names) if condition else True)


def buffers(known: LayerFacts, names: Mapping[str, Any]) -> Iterator[Weight]:
    """The buffers of a layer in the order of registration."""
    for name, sizes, condition, *dtype in known.buffers:
        yield Weight(name, shape(sizes, names), holds(condition, names), *dtype)


def _recurrent(gates: int, names: Mapping[str, Any]) -> Iterator[Weight]:
    """The weights of every layer and direction of a recurrent layer; one layer where their number is not known."""
    bias, projected = holds("bias", names), holds("proj_size > 0", names)
    suffixes = GATES_SUFFIXES[: 2 if holds("bidirectional", names) else 1]
    layers = names.get("num_layers")
    local = {**names, "gates": gates, "directions": len(suffixes)}
    local["state"] = calculate("proj_size if proj_size > 0 else hidden_size", local)
    for layer in range(layers if type(layers) is int else 1):
        local["width"] = calculate("state * directions" if layer else "input_size", local)
        for suffix in suffixes:
            end = f"_l{layer}{suffix}"
            yield Weight("weight_ih" + end, shape("gates * hidden_size, width", local))
            yield Weight("weight_hh" + end, shape("gates * hidden_size, state", local))
            yield Weight("bias_ih" + end, shape("gates * hidden_size", local), bias)
            yield Weight("bias_hh" + end, shape("gates * hidden_size", local), bias)
            yield Weight("weight_hr" + end, shape("proj_size, hidden_size", local), projected or False)


def is_certain(known: LayerFacts, names: Mapping[str, Any]) -> bool:
    """Whether the names of all parameters are known."""
    if known.opaque:
        return False
    deciding = ("num_layers", "bidirectional") if known.recurrent else ()
    return all(names.get(name) is not OPEN for name in deciding)
