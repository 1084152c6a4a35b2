"""Where a name of a file gets its value: the file's scopes and what each binds, read from the syntax tree alone."""

from __future__ import annotations

import ast
import doctest
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

Function = ast.FunctionDef | ast.AsyncFunctionDef
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Binding:
    """One assignment to a name: `expression`, unpacked along `path`; `first_of` takes the first element."""

    line: int
    expression: ast.expr
    path: tuple[int, ...] = ()
    first_of: bool = False


@dataclass(frozen=True, eq=False)
class Scope:
    """A function, the `__main__` block, the module or an example in a docstring, with the statements of its own."""

    body: tuple[ast.stmt, ...]
    kind: str
    function: Function | None = None
    owner: str | None = None
    parent: Scope | None = field(default=None, repr=False)

    @cached_property
    def bindings(self) -> Mapping[str, tuple[Binding, ...]]:
        """Every name that this scope itself assigns, in the order of the lines."""
        found: dict[str, list[Binding]] = {}
        for node in own_nodes(self.body):
            for name, binding in _bindings(node):
                found.setdefault(name, []).append(binding)
        return {name: tuple(sorted(all_, key=lambda one: one.line)) for name, all_ in found.items()}

    @cached_property
    def calls(self) -> tuple[ast.Call, ...]:
        """Every call in the scope's own statements."""
        return tuple(node for node in own_nodes(self.body) if isinstance(node, ast.Call))

    def latest(self, name: str, line: int) -> Binding | None:
        """The assignment to `name` that is nearest above `line`, else the first one."""
        every = self.bindings.get(name, ())
        above = [binding for binding in every if binding.line < line]
        return above[-1] if above else (every[0] if every else None)


def words(text: str) -> frozenset[str]:
    """The words of a table of names."""
    return frozenset(text.split())


def own_nodes(body: tuple[ast.stmt, ...]) -> Iterator[ast.AST]:
    """The nodes below `body` without those of nested functions, lambdas and classes."""
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def file_scopes(tree: ast.Module) -> tuple[Scope, ...]:
    """The `__main__` block, the module, its functions, the methods and the docstrings' examples, likeliest first."""
    guards = [node for node in tree.body if isinstance(node, ast.If) and is_main_guard(node)]
    main = tuple(statement for guard in guards for statement in guard.body)
    rest = tuple(node for node in tree.body if not is_main_guard(node))
    module = Scope(rest, "module")
    entry = Scope(main, "main", parent=module)
    functions = tuple(_functions(tree, entry))
    return (entry, module, *functions, *_examples(tree, entry))


def is_main_guard(node: ast.AST) -> bool:
    """Whether the statement is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and "__name__" in ast.dump(node.test) and "__main__" in ast.dump(node.test)


def _functions(tree: ast.Module, parent: Scope) -> Iterator[Scope]:
    for node in tree.body:
        yield from _functions_of(node, None, parent)


def _functions_of(node: ast.stmt, owner: str | None, parent: Scope) -> Iterator[Scope]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            scope = Scope(tuple(node.body), "method" if owner else "function", node, owner, parent)
            yield scope
            for inner in node.body:
                yield from _functions_of(inner, owner, scope)
        case ast.ClassDef():
            for inner in node.body:
                yield from _functions_of(inner, node.name, parent)
        case ast.If(body=body) | ast.Try(body=body) | ast.With(body=body):
            for inner in body:
                yield from _functions_of(inner, owner, parent)
        case _:
            return


def _examples(tree: ast.Module, parent: Scope) -> Iterator[Scope]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = ast.get_docstring(node)
            body = tuple(_example_code(text)) if text and ("(" in text) else ()
            if body:
                owner = node.name if isinstance(node, ast.ClassDef) else None
                yield Scope(body, "docstring", owner=owner, parent=parent)


def _example_code(text: str) -> Iterator[ast.stmt]:
    yield from _parsed("".join(example.source for example in _doctests(text)))
    for fence in _FENCE.findall(text):
        if ">>>" not in fence:
            yield from _parsed(textwrap.dedent(fence))


def _doctests(text: str) -> list[doctest.Example]:
    try:
        return doctest.DocTestParser().get_examples(text)
    except ValueError:
        return []


def _parsed(code: str) -> list[ast.stmt]:
    try:
        return ast.parse(code).body
    except (SyntaxError, ValueError):
        return []


def _bindings(node: ast.AST) -> Iterator[tuple[str, Binding]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _unpack(target, Binding(node.lineno, value))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, Binding(node.lineno, value)
        case ast.NamedExpr(target=ast.Name(id=name), value=value):
            yield name, Binding(node.lineno, value)
        case ast.For(target=target, iter=iterable) | ast.AsyncFor(target=target, iter=iterable):
            yield from _unpack(target, Binding(node.lineno, iterable, first_of=True))
        case ast.comprehension(target=target, iter=iterable):
            yield from _unpack(target, Binding(iterable.lineno, iterable, first_of=True))
        case _:
            return


def _unpack(target: ast.expr, binding: Binding) -> Iterator[tuple[str, Binding]]:
    match target:
        case ast.Name(id=name):
            yield name, binding
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for index, part in enumerate(parts):
                inner = Binding(binding.line, binding.expression, (*binding.path, index), binding.first_of)
                yield from _unpack(part, inner)
        case _:
            return
