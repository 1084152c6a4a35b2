"""The value of an expression that a file shows, found without running the file's statements.

Names are resolved to the expression that was last assigned to them, in the function, its callers, the `__main__`
block or the imported module. Only what has no effect outside of the process is called: constructors, tensor and array
functions, and functions of the file that neither train, read nor write.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import contextlib
import inspect
import itertools
import operator
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from gradlint.frontends.recorder.alarms import alarm
from gradlint.frontends.recorder.feeding.arguments import parser_defaults
from gradlint.frontends.recorder.feeding.scopes import Function, Scope, words

MAX_DEPTH = 40
"""Names and calls followed for one expression; deeper ones are given up (recursive definitions)."""

_BUILTINS = words(
    """
    abs all any bool dict divmod enumerate float frozenset int iter isinstance len list map max min next pow range
    reversed round set slice sorted str sum tuple type zip
    """
)
_HARMFUL = words(
    """
    backward step save load dump system run Popen remove unlink mkdir makedirs rmtree write write_text urlopen
    download load_dataset from_pretrained init_process_group barrier fit train_model sleep read_csv read_parquet
    imread fromfile loadtxt set_default_dtype set_default_device load_state_dict load_from_checkpoint start serve
    urlretrieve
    """
)
_HARMFUL_BUILTINS = words("open input exit quit eval exec compile __import__ breakpoint")
_LIBRARIES = words(
    """
    torch numpy math random collections types argparse functools itertools dataclasses transformers omegaconf
    ml_collections easydict enum typing builtins scipy
    """
)
_DEVICE_MOVES = frozenset({"cuda", "cpu", "mps"})
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


class Unknown(Exception):  # noqa: N818 - a value that is not known is no error
    """The expression has no value that can be found without running the file."""


class Evaluator:
    """Finds values in one imported file; each name of each scope is evaluated once."""

    def __init__(self, scopes: tuple[Scope, ...], module: types.ModuleType) -> None:
        self._scopes = scopes
        self._module = module
        self._functions = {scope.function.name: scope for scope in scopes if scope.function is not None}
        self._known: dict[tuple[int, int], Any] = {}
        self._depth = 0

    def value(self, node: ast.expr, scope: Scope, seconds: float = 3.0) -> Any:
        """The value of `node` where it stands in `scope`.

        Raises:
            Unknown: when it depends on anything that is not known, would have an effect, fails or takes over `seconds`.
        """
        try:
            with time_limit(seconds):
                return self._value(node, scope)
        except Unknown:
            raise
        except Exception as error:
            raise Unknown(f"{ast.unparse(node)[:80]}: {error}") from error

    def arguments(self, call: ast.Call, scope: Scope) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments of `call`; raises Unknown as `value` does."""
        wrapped = ast.Tuple(list(call.args), ast.Load())
        args = self.value(wrapped, scope)
        kwargs: dict[str, Any] = {}
        for keyword in call.keywords:
            found = self.value(keyword.value, scope)
            kwargs |= found if keyword.arg is None else {keyword.arg: found}
        return args, kwargs

    def _value(self, node: ast.expr, scope: Scope) -> Any:
        if self._depth > MAX_DEPTH:
            raise Unknown("too deep")
        self._depth += 1
        try:
            return self._of(node, scope)
        finally:
            self._depth -= 1

    def _of(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(name, scope, node.lineno)
            case ast.Attribute(value=base, attr=attribute):
                return self._attribute(base, attribute, scope)
            case ast.Call():
                return self._call(node, scope)
            case ast.Subscript(value=base, slice=index):
                return self._value(base, scope)[self._value(index, scope)]
            case ast.Slice(lower=lower, upper=upper, step=step):
                return slice(*(None if part is None else self._value(part, scope) for part in (lower, upper, step)))
            case ast.Tuple() | ast.List() | ast.Set() | ast.Dict() | ast.JoinedStr():
                return self._display(node, scope)
            case _:
                return self._operation(node, scope)

    def _display(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.Tuple(elts=parts):
                return tuple(self._elements(parts, scope))
            case ast.List(elts=parts):
                return list(self._elements(parts, scope))
            case ast.Set(elts=parts):
                return set(self._elements(parts, scope))
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                return dict(itertools.chain.from_iterable(self._pair(key, value, scope) for key, value in pairs))
        raise Unknown(ast.unparse(node))

    def _pair(self, key: ast.expr | None, value: ast.expr, scope: Scope) -> list[tuple[Any, Any]]:
        found = self._value(value, scope)
        return list(found.items()) if key is None else [(self._value(key, scope), found)]

    def _elements(self, parts: list[ast.expr], scope: Scope) -> Iterator[Any]:
        for part in parts:
            if isinstance(part, ast.Starred):
                yield from self._value(part.value, scope)
            else:
                yield self._value(part, scope)

    def _operation(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return _BINARY[type(op)](self._value(left, scope), self._value(right, scope))
            case ast.UnaryOp(op=op, operand=operand):
                return _UNARY[type(op)](self._value(operand, scope))
            case ast.BoolOp(op=op, values=values):
                found = [self._value(value, scope) for value in values]
                return all(found) and found[-1] if isinstance(op, ast.And) else next(filter(None, found), found[-1])
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return _COMPARE[type(op)](self._value(left, scope), self._value(right, scope))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._value(body if self._value(test, scope) else orelse, scope)
            case ast.NamedExpr(value=value):
                return self._value(value, scope)
            case (
                ast.ListComp(elt=element, generators=[generator])
                | ast.GeneratorExp(elt=element, generators=[generator])
            ):
                return [self._value(element, scope) for _ in self._value(generator.iter, scope)]
        raise Unknown(ast.unparse(node)[:80])

    def _name(self, name: str, scope: Scope | None, line: int) -> Any:
        while scope is not None:
            binding = scope.latest(name, line)
            if binding is not None and scope.kind != "module":
                return self._bound(binding.expression, binding.path, binding.first_of, scope)
            if scope.function is not None and name in _parameters(scope.function):
                return self._parameter(name, scope)
            scope, line = scope.parent, 1 << 30
        if name in vars(self._module):
            return vars(self._module)[name]
        if name in _BUILTINS or name in ("True", "False", "None"):
            return getattr(builtins, name)
        raise Unknown(f"the name {name}")

    def _bound(self, expression: ast.expr, path: tuple[int, ...], first_of: bool, scope: Scope) -> Any:
        key = (id(expression), id(scope))
        if key not in self._known:
            self._known[key] = _Pending
            try:
                found = self._value(expression, scope)
                self._known[key] = next(iter(_single_process(found))) if first_of else found
            finally:
                if self._known[key] is _Pending:
                    del self._known[key]
        value = self._known[key]
        if value is _Pending:
            raise Unknown("defined by itself")
        for index in path:
            value = value[index]
        return value

    def _parameter(self, name: str, scope: Scope) -> Any:
        assert scope.function is not None
        for call, caller in self._callers(scope.function.name):
            shown = _argument(call, name, scope.function, method=scope.kind == "method")
            if shown is not None and caller is not scope:
                with contextlib.suppress(Unknown):
                    return self._value(shown, caller)
        default = _default(scope.function, name)
        if default is None:
            raise Unknown(f"the parameter {name}")
        return self._value(default, scope.parent or scope)

    def _callers(self, function: str) -> Iterator[tuple[ast.Call, Scope]]:
        for scope in self._scopes:
            for call in scope.calls:
                if _called_name(call) == function:
                    yield call, scope

    def _attribute(self, base: ast.expr, attribute: str, scope: Scope) -> Any:
        if isinstance(base, ast.Name) and base.id == "self":
            raise Unknown("self")
        return getattr(self._value(base, scope), attribute)

    def _call(self, node: ast.Call, scope: Scope) -> Any:
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("parse_args", "parse_known_args"):
            defaults = argparse.Namespace(**parser_defaults(self._scopes, lambda one, where: self._value(one, where)))
            return (defaults, []) if node.func.attr == "parse_known_args" else defaults
        function = self._value(node.func, scope)
        args = tuple(self._elements(node.args, scope))
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            found = self._value(keyword.value, scope)
            kwargs |= found if keyword.arg is None else {keyword.arg: found}
        return self._apply(function, args, kwargs)

    def _apply(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = getattr(function, "__name__", "")
        owner = getattr(function, "__self__", None)
        if name in _DEVICE_MOVES and isinstance(owner, torch.Tensor):
            return owner
        if parsed := self._arguments_function(function):
            return self._value(parsed.value, self._functions[name])  # type: ignore[arg-type]
        if not self._harmless(function):
            raise Unknown(f"the call of {name or function!r}")
        if function is torch.utils.data.DataLoader:
            kwargs |= {"num_workers": 0, "pin_memory": False, "persistent_workers": False}
            kwargs.pop("prefetch_factor", None)
        return function(*args, **kwargs)

    def _arguments_function(self, function: Any) -> ast.Return | None:
        """The `return parser.parse_args()` of a function of the file, which would read this process's command line."""
        scope = self._functions.get(getattr(function, "__name__", ""))
        if scope is None or getattr(function, "__module__", None) != self._module.__name__:
            return None
        reads = any(_called_name(call) in ("parse_args", "parse_known_args") for call in scope.calls)
        returns = [
            one for one in ast.walk(ast.Module(list(scope.body), [])) if isinstance(one, ast.Return) and one.value
        ]
        return returns[-1] if reads and returns else None

    def _harmless(self, function: Any) -> bool:
        name = getattr(function, "__name__", "")
        if name in _HARMFUL:
            return False
        home = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
        if home == self._module.__name__:
            return self._own_harmless(function, name)
        return str(home).split(".")[0] in _LIBRARIES or isinstance(function, types.MethodDescriptorType)

    def _own_harmless(self, function: Any, name: str) -> bool:
        if inspect.isclass(function):
            return True
        scope = self._functions.get(name)
        return scope is not None and not effects(scope.function)


_Pending = object()


def effects(function: Function | None) -> set[str]:
    """The names of the calls in `function` that train, read or write; also `global`."""
    if function is None:
        return {"unknown"}
    nodes = list(ast.walk(function))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    called = {_called_name(node) for node in calls}
    plain = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    return (
        (called & _HARMFUL) | (plain & _HARMFUL_BUILTINS) | {"global" for node in nodes if isinstance(node, ast.Global)}
    )


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Unknown inside the block after `seconds` of wall time; does nothing off the main thread."""

    def stop() -> None:
        raise Unknown("takes too long")

    with alarm(seconds, stop):
        yield


def _single_process(value: Any) -> Any:
    return itertools.islice(value, 1) if isinstance(value, Iterator) else value


def _called_name(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _parameters(function: Function) -> set[str]:
    spec = function.args
    return {one.arg for one in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)}


def _default(function: Function, name: str) -> ast.expr | None:
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    paired = zip(reversed(positional), reversed(spec.defaults), strict=False)
    found = {one.arg: default for one, default in paired}
    found |= {one.arg: default for one, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if default}
    return found.get(name)


def _argument(call: ast.Call, name: str, function: Function, *, method: bool) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    positional = [one.arg for one in (*function.args.posonlyargs, *function.args.args)][1 if method else 0 :]
    if name not in positional or positional.index(name) >= len(call.args):
        return None
    found = call.args[positional.index(name)]
    return None if isinstance(found, ast.Starred) else found
