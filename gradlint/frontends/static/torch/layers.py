"""Layers of torch.nn: their making, and what a call of one puts on the tape; both by layers.toml."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.language.node_facts import names_in, text_of
from gradlint.frontends.static.python.copies import copied
from gradlint.frontends.static.python.plain_values import OPEN, lifted, plain
from gradlint.frontends.static.record import emission
from gradlint.frontends.static.torch import layer_facts as layers
from gradlint.frontends.static.torch import results as torch_results
from gradlint.frontends.static.torch.layer_facts import REQUIRED, LayerFacts
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Choice,
    Constant,
    Instance,
    Layer,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

PREFIX = "torch.nn."
NONE = Constant(None)
FLAT_WEIGHTS = "_flat_weights"
PACKED = "torch.nn.utils.rnn.PackedSequence"


def build(run: Run, name: str, args: Arguments, at: ast.AST) -> Layer | None:
    """A layer by the bare name of its class; None for a class that layers.toml does not list."""
    from gradlint.frontends.static.run import RaisedError

    known = layers.facts(name)
    if known is None:
        return None
    if run.trying and not _fits(known, args):
        raise RaisedError
    arguments = bound(known, args)
    layer = Layer(PREFIX + name, arguments, {}, run.frame(at))
    plains = {key: plain(value) for key, value in arguments.items()}
    computed = layers.attributes(known, plains)
    names = {**plains, **known.variables, **computed}
    layer.known = layers.is_certain(known, names)
    layer.arguments = {**arguments, **{key: lifted(value) for key, value in computed.items()}}
    _fill(run, layer, known, names, at)
    return layer


def _fits(known: LayerFacts, args: Arguments) -> bool:
    """Whether a constructor takes these arguments: Python raises `TypeError` otherwise."""
    kinds = [argument.kind for argument in known.arguments]
    foreign = "options" not in kinds and not args.named.keys() <= {argument.name for argument in known.arguments}
    return not foreign and ("rest" in kinds or len(args.positional) <= kinds.count("plain"))


def bound(known: LayerFacts, args: Arguments) -> dict[str, Value]:
    """The arguments of a constructor by name, defaults filled in; what is missing is not known."""
    found: dict[str, Value] = {}
    given = list(args.positional)
    for argument in known.arguments:
        if argument.kind == "plain" and given:
            found[argument.name] = given.pop(0)
        elif argument.name in args.named:
            found[argument.name] = args.named[argument.name]
        elif argument.kind in ("plain", "keyword"):
            certain = args.exact and argument.default is not REQUIRED
            found[argument.name] = lifted(argument.default) if certain else Symbol()
    return found


def _fill(run: Run, layer: Layer, known: LayerFacts, names: Mapping[str, Any], at: ast.AST) -> None:
    """Registers the parameters, buffers and parts of a new layer."""
    parts, dtype = layer.attributes, _dtype(layer.arguments.get("dtype"))
    for weight in layers.parameters(known, names):
        parts[weight.name] = _parameter(run, layer, known, weight, dtype) if weight.present is not False else NONE
    if known.recurrent:
        weights = [value for value in parts.values() if isinstance(value, Tensor)]
        layer.arguments[FLAT_WEIGHTS] = Sequence([*weights], "list")
    for weight in layers.buffers(known, names):
        parts[weight.name] = _buffer(run, weight, at) if weight.present is not False else NONE
    for name, source, number in (known.copies,) if known.copies else ():
        parts[name] = _copies(run, layer, source, plain(layer.arguments.get(number)))
    for name in (*known.holds, *known.keeps):
        parts[name] = layer.arguments.get(name, NONE)
    for name, expression in known.children:
        parts[name] = Script(run, layer, dict(layer.arguments), at).constructed(expression)


def _buffer(run: Run, weight: layers.Weight, at: ast.AST) -> Tensor:
    """A running statistic, as `reset_running_stats()` fills it."""
    made = emission.data(weight.shape, weight.dtype)
    if not weight.name.startswith("num"):
        native, args = ("fill_", (Constant(1),)) if weight.name.endswith("var") else ("zero_", ())
        output = emission.Output(weight.dtype, weight.shape)
        made.node = emission.emit(run, native, Arguments(args), at, output).node
    return made


def _parameter(run: Run, layer: Layer, known: LayerFacts, weight: layers.Weight, dtype: str | None) -> Tensor:
    made = Tensor(NO_NODE, weight.shape, dtype, parameter=True, leaf=True, made=layer.made)
    switch = dict(known.frozen or {}).get(weight.name)
    if switch and plain(layer.arguments.get(switch)) is True:
        made.state[emission.REQUIRES_GRAD] = False
        if layer.made:
            run.frozen[id(made)] = layer.made
    return made


def _dtype(wanted: Value | None) -> str | None:
    known = emission.literal(wanted) if wanted is not None else None
    if wanted is None or (isinstance(wanted, Constant) and wanted.value is None):
        return "float32"
    return known if isinstance(known, str) else None


MOST_COPIES = 64


def _copies(run: Run, layer: Layer, source: str, number: Any) -> Layer:
    """A ModuleList of copies; one copy, and the note that there may be more, where their number is not known."""
    original = layer.arguments.get(source, Unknown("a layer that is not known"))
    certain = type(number) is int and number <= MOST_COPIES
    copies = {str(i): copied(run, original, {}, deep=True) for i in range(number if certain else 1)}
    return Layer("torch.nn.ModuleList", {}, copies, layer.made, known=certain)


def call(run: Run, layer: Layer, args: Arguments, at: ast.AST) -> Value | None:
    """What a call of a layer gives; None for a class that is known by name only."""
    if not layer.name.startswith(PREFIX):
        return None
    known = layers.facts(layer.name.removeprefix(PREFIX))
    if known is None or known.script is None:
        return None
    return Script(run, layer, _locals(known.script, args), at).run_body(known.script.body)


def _locals(script: ast.FunctionDef, args: Arguments) -> dict[str, Value]:
    names = [arg.arg for arg in script.args.args]
    defaults = dict(zip(names[len(names) - len(script.args.defaults) :], script.args.defaults, strict=True))
    found: dict[str, Value] = {name: Constant(ast.literal_eval(default)) for name, default in defaults.items()}
    found.update(zip(names, args.positional, strict=False))
    found.update({name: value for name, value in args.named.items() if name in names})
    return {name: found.get(name, Unknown(f"argument {name!r} is missing")) for name in names}


class Script:
    """Runs the small programs of layers.toml on values: one object for one call, its names in `names`."""

    def __init__(self, run: Run, layer: Layer, names: dict[str, Value], at: ast.AST) -> None:
        self.run, self.layer, self.names, self.at = run, layer, names, at

    def constructed(self, expression: str) -> Value:
        """The part that a constructor call of layers.toml makes."""
        return self.value(_parsed(expression))

    def run_body(self, body: list[ast.stmt]) -> Value | None:
        """Runs statements; what `return` gave, None where the end was reached without one."""
        for statement in body:
            result = self._statement(statement)
            if result is not None:
                return result
        return None

    def _statement(self, statement: ast.stmt) -> Value | None:
        match statement:
            case ast.Return(value=ast.expr() as value):
                return self.value(value)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.names[name] = self.value(value)
            case ast.Expr(value=value):
                self.value(value)
            case ast.If(test=test, body=body, orelse=orelse):
                return self.run_body(body if self._decided(test) else orelse)
            case ast.For(target=ast.Name(id=name), iter=container, body=body):
                for part in self._parts(self.value(container)):
                    self.names[name] = part
                    self.run_body(body)
        return None

    def _parts(self, container: Value) -> list[Value]:
        return list(container.attributes.values()) if isinstance(container, (Layer, Instance)) else []

    def _decided(self, test: ast.expr) -> bool:
        """A test; one that is not known counts as true, since its ways differ in no gradient."""
        return self.run.truth(self.value(test)) is not False

    def value(self, at: ast.expr) -> Value:
        """The value of an expression."""
        match at:
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return self._own(name)
            case ast.Attribute(value=inner, attr=name):
                return self.run.get(self.value(inner), name, self.at)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(name, at)
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op], comparators=[right]):
                same = _is_same(self.value(left), self.value(right))
                return Symbol("bool") if same is None else Constant(same == isinstance(op, ast.Is))
            case ast.BoolOp(op=op, values=values):
                return self._either(isinstance(op, ast.Or), values)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self._decided(test) else orelse)
            case ast.Tuple(elts=items):
                return Sequence([self.value(item) for item in items], "tuple")
            case ast.Subscript(value=inner, slice=ast.Constant(value=int(index))):
                return self._item(self.value(inner), index)
        return self._calculated(at)

    def _name(self, name: str) -> Value:
        return self.names[name] if name in self.names else self._own(name)

    def _own(self, name: str) -> Value:
        if name in self.layer.attributes:
            return self.layer.attributes[name]
        if name in self.layer.arguments:
            return self.layer.arguments[name]
        return Constant(True) if name == "training" else Symbol()

    def _item(self, container: Value, index: int) -> Value:
        if isinstance(container, Sequence) and index < len(container.items):
            return container.items[index]
        return self.run.opaque("an item that is not known", (container,), self.at)

    def _either(self, disjunction: bool, values: list[ast.expr]) -> Value:
        found: Value = NONE
        for at in values:
            found = self.value(at)
            if self.run.truth(found) is disjunction or (disjunction and self.run.truth(found) is None):
                return found
        return found

    def _calculated(self, at: ast.expr) -> Value:
        """Arithmetic on plain numbers."""
        known = {name: plain(self._name(name)) for name in names_in(at) - layers.FUNCTIONS.keys()}
        return lifted(layers.calculate(text_of(at), known))

    def _call(self, name: str, at: ast.Call) -> Value:
        own = _FUNCTIONS.get(name)
        if own is not None:
            return own(self, at)
        args = Arguments(
            tuple(self.value(item) for item in at.args),
            {word.arg or "": self.value(word.value) for word in at.keywords},
        )
        known = self.names.get(name) or self.layer.attributes.get(name) or self.layer.arguments.get(name)
        if known is not None and not isinstance(known, (Constant, Symbol)):
            return self.run.call(known, args, self.at)
        if known is not None:
            return self._activated(known, args)
        if layers.facts(name) is not None:
            return build(self.run, name, args, self.at) or NONE
        return torch_results.op(self.run, name, args, self.at) or self.run.opaque(f"{name} is not known", args, self.at)

    def _activated(self, function: Value, args: Arguments) -> Value:
        """An activation that was given by its name."""
        name = plain(function)
        options: dict[str, Value] = (
            {"inplace": Constant(False)} if name == "relu" else {"approximate": Constant("none")}
        )
        if name not in ("relu", "gelu"):
            return self.run.opaque("an activation that is not known", args, self.at)
        return torch_results.op(self.run, name, Arguments(args.positional, options), self.at) or NONE


def _is_same(left: Value, right: Value) -> bool | None:
    if left is right:
        return True
    if isinstance(left, Choice) or isinstance(right, Choice) or isinstance(left, (Symbol, Unknown)):
        return None
    return isinstance(left, Constant) and isinstance(right, Constant) and left.value is right.value


@functools.lru_cache(maxsize=1024)
def _parsed(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def _size(script: Script, at: ast.Call) -> Value:
    """`size(x, axis)`."""
    shape, axis = _shape_of(script, at), plain(script.value(at.args[1]))
    known = shape[axis] if shape is not None and type(axis) is int and axis < len(shape) else None
    return Symbol("int") if known is None else Constant(known)


def _shape(script: Script, at: ast.Call) -> Value:
    return lifted(tuple(OPEN if size is None else size for size in _shape_of(script, at) or ()))


def _shape_of(script: Script, at: ast.Call) -> tuple[int | None, ...] | None:
    tensor = script.value(at.args[0])
    return tensor.shape if isinstance(tensor, Tensor) else None


def _packed(script: Script, at: ast.Call) -> Value:
    """The result of a recurrent layer: packed again where the input was."""
    result = script.value(at.args[0])
    given = script.value(at.args[1])
    if not isinstance(result, Sequence) or getattr(given, "name", "") != PACKED:
        return result
    return Sequence([_repacked(given, result.items[0]), *result.items[1:]], "tuple")


def _repacked(given: Any, output: Value) -> Value:
    from gradlint.frontends.static.values import Foreign

    return Foreign(PACKED, {}, {**given.state, "data": output})


_FUNCTIONS: dict[str, Callable[[Script, ast.Call], Value]] = {
    "size": _size,
    "shape": _shape,
    "packed": _packed,
    "mirrored": lambda script, at: lifted(layers.mirrored(plain(script.value(at.args[0])))),
    "product": lambda script, at: lifted(layers.product(plain(script.value(at.args[0])))),
}
