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

from gradlint.frontends.recorder.feeding.arguments import parser_defaults
from gradlint.frontends.recorder.feeding.functions import HARMFUL, argument, called_name, default, effects, parameters
from gradlint.frontends.recorder.feeding.limits import Unknown, time_limit
from gradlint.frontends.recorder.feeding.scopes import Function, Scope, own_nodes, words

KNOWN_SECONDS = 1.0
MISSING = object()
"""An argument whose value cannot be told."""
MAX_DEPTH = 40
"""Names and calls followed for one expression; deeper ones are given up (recursive definitions)."""

_BUILTINS = words(
    """
    abs all any bool dict divmod enumerate float frozenset int iter isinstance len list map max min next pow range
    reversed round set slice sorted str sum tuple type zip
    """
)
LIBRARIES = words(
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


class Evaluator:
    """Finds values in one file; each name of each scope is evaluated once.

    `module` is the file imported. A file that is only read has an empty one, `imported` for what it imports, and
    `trusted` modules, whose classes may be called.
    """

    def __init__(
        self,
        scopes: tuple[Scope, ...],
        module: types.ModuleType,
        imported: Callable[..., Any] | None = None,
        trusted: frozenset[str] = frozenset(),
    ) -> None:
        self._scopes = scopes
        self._module = module
        self._imported = imported
        self._trusted = trusted
        self._functions = {scope.function.name: scope for scope in scopes if scope.function is not None}
        self._known: dict[tuple[int, int], Any] = {}
        self._asked: set[tuple[int, str]] = set()
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

    def imported(self, name: str, hops: int = 0) -> Any:
        """What the file imports under `name`; raises Unknown for what cannot be told."""
        if self._imported is None:
            raise Unknown(f"the name {name}")
        return self._imported(name, hops)

    def named(self, name: str, hops: int = 0) -> Any:
        """The value of a name at the top of the file; raises Unknown as `value` does."""
        module = next(one for one in self._scopes if one.kind == "module")
        if name in module.bindings:
            return self.value(ast.Name(name, ast.Load(), lineno=1 << 30), module)
        return self.imported(name, hops)

    def known(self, call: ast.Call, scope: Scope) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of `call` as far as they can be told, `MISSING` for the others."""
        args: list[Any] = []
        for one in itertools.takewhile(lambda one: not isinstance(one, ast.Starred), call.args):
            args.append(self._or_missing(one, scope))
        kwargs: dict[str, Any] = {}
        for keyword in call.keywords:
            found = self._or_missing(keyword.value, scope)
            kwargs |= {keyword.arg: found} if keyword.arg else found if isinstance(found, dict) else {}
        return args, kwargs

    def _or_missing(self, node: ast.expr, scope: Scope) -> Any:
        try:
            return self.value(node, scope, KNOWN_SECONDS)
        except Unknown:
            return MISSING

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
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node, scope)
        raise Unknown(ast.unparse(node)[:80])

    def _comprehension(self, node: ast.expr, scope: Scope) -> Any:
        """A comprehension whose free names are known and whose calls have no effect."""
        names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
        bound = {one.id for one in names if isinstance(one.ctx, ast.Store)}
        free = {one.id: self._name(one.id, scope, one.lineno) for one in names if one.id not in bound}
        called = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
        methods = {one.attr for one in called if isinstance(one, ast.Attribute)}
        harmless = all(self._harmless(free[one.id]) for one in called if isinstance(one, ast.Name) and one.id in free)
        if methods & HARMFUL or not harmless:
            raise Unknown(ast.unparse(node)[:80])
        shown = ast.ListComp(node.elt, node.generators) if isinstance(node, ast.GeneratorExp) else node
        return eval(compile(ast.fix_missing_locations(ast.Expression(shown)), "<shown>", "eval"), free)

    def _name(self, name: str, scope: Scope | None, line: int) -> Any:
        while scope is not None:
            binding = scope.latest(name, line)
            if binding is not None and (scope.kind != "module" or self._imported is not None):
                return self._bound(binding.expression, binding.path, binding.first_of, scope)
            if scope.function is not None and name in parameters(scope.function):
                return self._parameter(name, scope)
            scope, line = scope.parent, 1 << 30
        if name in vars(self._module):
            return vars(self._module)[name]
        if name in _BUILTINS or name in ("True", "False", "None"):
            return getattr(builtins, name)
        return self.imported(name)

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
        asked = (id(scope), name)
        if asked in self._asked:
            raise Unknown("given by itself")
        self._asked.add(asked)
        try:
            return self._passed(name, scope, scope.function)
        finally:
            self._asked.discard(asked)

    def _passed(self, name: str, scope: Scope, function: Function) -> Any:
        for call, caller in self._callers(function.name):
            shown = argument(call, name, function, method=scope.kind == "method")
            if shown is not None and caller is not scope:
                with contextlib.suppress(Unknown):
                    return self._value(shown, caller)
        usual = default(function, name)
        if usual is None:
            raise Unknown(f"the parameter {name}")
        return self._value(usual, scope.parent or scope)

    def _callers(self, function: str) -> Iterator[tuple[ast.Call, Scope]]:
        for scope in self._scopes:
            for call in scope.calls:
                if called_name(call) == function:
                    yield call, scope

    def _attribute(self, base: ast.expr, attribute: str, scope: Scope) -> Any:
        if isinstance(base, ast.Name) and base.id == "self":
            raise Unknown("self")
        return getattr(self._value(base, scope), attribute)

    def _call(self, node: ast.Call, scope: Scope) -> Any:
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("parse_args", "parse_known_args"):
            defaults = argparse.Namespace(**parser_defaults(self._scopes, lambda one, where: self._value(one, where)))
            return (defaults, []) if node.func.attr == "parse_known_args" else defaults
        if self._imported is not None and (name := called_name(node)) in self._functions and self._is_own(node):
            return self._returned(self._functions[name])
        function = self._value(node.func, scope)
        args = tuple(self._elements(node.args, scope))
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            found = self._value(keyword.value, scope)
            kwargs |= found if keyword.arg is None else {keyword.arg: found}
        return self._apply(function, args, kwargs)

    def _is_own(self, call: ast.Call) -> bool:
        """Whether a file that is only read defines the function that it calls."""
        return isinstance(call.func, ast.Name) and self._functions[call.func.id].kind == "function"

    def _returned(self, scope: Scope) -> Any:
        """What a function of a file that is only read returns."""
        assert scope.function is not None
        returns = [one.value for one in own_nodes(scope.body) if isinstance(one, ast.Return) and one.value]
        if not returns or effects(scope.function):
            raise Unknown(f"the call of {scope.function.name}")
        return self._value(returns[-1], scope)

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
        reads = any(called_name(call) in ("parse_args", "parse_known_args") for call in scope.calls)
        returns = [
            one for one in ast.walk(ast.Module(list(scope.body), [])) if isinstance(one, ast.Return) and one.value
        ]
        return returns[-1] if reads and returns else None

    def _harmless(self, function: Any) -> bool:
        name = getattr(function, "__name__", "")
        if name in HARMFUL:
            return False
        home = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
        if home in self._trusted:
            return inspect.isclass(function)
        if home == self._module.__name__:
            return self._own_harmless(function, name)
        return str(home).split(".")[0] in LIBRARIES or isinstance(function, types.MethodDescriptorType)

    def _own_harmless(self, function: Any, name: str) -> bool:
        if inspect.isclass(function):
            return True
        scope = self._functions.get(name)
        return scope is not None and not effects(scope.function)


_Pending = object()


def _single_process(value: Any) -> Any:
    return itertools.islice(value, 1) if isinstance(value, Iterator) else value
