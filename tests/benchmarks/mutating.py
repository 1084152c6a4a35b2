"""Files changed at random, in their bytes or in their syntax tree; the same seed makes the same change."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Sequence

MOST_CHANGES = 4
TOKENS = (*b"( ) [ ] { : ' \\ * = def class".split(), b'"""', b"\n", b"\t", b"\x0c", b"\r")


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A changed copy of a file; a file that does not parse is changed in its bytes."""
    if draw.random() < 1 / 2:
        return _repeated(content, BYTES, draw)
    try:
        tree = ast.parse(content)
        for _ in range(draw.randint(1, MOST_CHANGES)):
            draw.choice(TREES)(tree, draw)
        return ast.unparse(ast.fix_missing_locations(tree)).encode()
    except (SyntaxError, ValueError, RecursionError, AttributeError, TypeError, IndexError):
        return _repeated(content, BYTES, draw)


def _repeated(content: bytes, ways: Sequence[Callable[[bytes, random.Random], bytes]], draw: random.Random) -> bytes:
    for _ in range(draw.randint(1, MOST_CHANGES)):
        content = draw.choice(ways)(content, draw)
    return content


def _span(content: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(content) + 1)
    return start, min(len(content), start + draw.choice((1, 2, 8, 64, 512)))


def _cut(content: bytes, draw: random.Random) -> bytes:
    start, stop = _span(content, draw)
    return content[:start] + content[stop:]


def _doubled(content: bytes, draw: random.Random) -> bytes:
    start, stop = _span(content, draw)
    return content[:stop] + content[start:]


def _noise(content: bytes, draw: random.Random) -> bytes:
    start, stop = _span(content, draw)
    return content[:start] + draw.randbytes(min(stop - start, 8)) + content[stop:]


def _token(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    word = draw.choice(
        (b"(", b")", b"[", b"]", b"{", b":", b"'", b'"""', b"\\", b"\n", b"\t", b"*", b"=", b"\x0c", b"\r")
    )
    return content[:start] + word + content[start:]


def _truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _swapped(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _bodies(tree: ast.AST) -> list[list[ast.stmt]]:
    """The lists of statements that can lose one."""
    found = (getattr(node, field, None) for node in ast.walk(tree) for field in ("body", "orelse", "finalbody"))
    return [body for body in found if isinstance(body, list) and body]


def _statement_dropped(tree: ast.AST, draw: random.Random) -> None:
    body = draw.choice(_bodies(tree))
    body[draw.randrange(len(body))] = ast.Pass()


def _statement_moved(tree: ast.AST, draw: random.Random) -> None:
    source, target = draw.choice(_bodies(tree)), draw.choice(_bodies(tree))
    target.insert(draw.randrange(len(target) + 1), copy.deepcopy(draw.choice(source)))


def _statement_nested(tree: ast.AST, draw: random.Random) -> None:
    body = draw.choice(_bodies(tree))
    at = draw.randrange(len(body))
    name = ast.Name(draw.choice(("x", "self", "unknown")), ast.Load())
    inner = [body[at]]
    body[at] = draw.choice(
        (
            ast.If(name, inner, []),
            ast.While(name, inner, []),
            ast.For(ast.Name("i", ast.Store()), name, inner, []),
            ast.With([ast.withitem(name)], inner),
        )
    )


def _expressions(tree: ast.AST) -> list[tuple[ast.AST, str, int | None, ast.expr]]:
    """The places of all expressions that are read: their parent, its field, and the position in a list."""
    found: list[tuple[ast.AST, str, int | None, ast.expr]] = []
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.expr) and isinstance(getattr(value, "ctx", ast.Load()), ast.Load):
                found.append((parent, field, None, value))
            elif isinstance(value, list):
                found += [(parent, field, at, item) for at, item in enumerate(value) if _is_read(item)]
    return found


def _is_read(item: object) -> bool:
    return isinstance(item, ast.expr) and isinstance(getattr(item, "ctx", ast.Load()), ast.Load)


def _put(place: tuple[ast.AST, str, int | None, ast.expr], value: ast.expr) -> None:
    parent, field, at, _ = place
    if at is None:
        setattr(parent, field, value)
    else:
        getattr(parent, field)[at] = value


def _expression_replaced(tree: ast.AST, draw: random.Random) -> None:
    places = _expressions(tree)
    _put(draw.choice(places), copy.deepcopy(draw.choice(places)[3]))


def _constant_changed(tree: ast.AST, draw: random.Random) -> None:
    values = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    draw.choice(values).value = draw.choice((0, -1, 1, 2**70, 1e308, float("inf"), "", "x", None, True, b"", ..., 1j))


def _argument_dropped(tree: ast.AST, draw: random.Random) -> None:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and (node.args or node.keywords)]
    call = draw.choice(calls)
    if call.args and draw.random() < 1 / 2:
        call.args.pop(draw.randrange(len(call.args)))
    elif call.keywords:
        call.keywords.pop(draw.randrange(len(call.keywords)))


def _name_exchanged(tree: ast.AST, draw: random.Random) -> None:
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    draw.choice(names).id = draw.choice(names).id


def _attribute_exchanged(tree: ast.AST, draw: random.Random) -> None:
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    draw.choice(attributes).attr = draw.choice(attributes).attr


def _base_exchanged(tree: ast.AST, draw: random.Random) -> None:
    """Classes that extend themselves or each other, functions that call themselves."""
    classes = [node for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    draw.choice(classes).name = draw.choice(classes).name


BYTES = [_cut, _doubled, _noise, _token, _truncated, _swapped]
TREES = [
    _statement_dropped,
    _statement_moved,
    _statement_nested,
    _expression_replaced,
    _constant_changed,
    _argument_dropped,
    _name_exchanged,
    _attribute_exchanged,
    _base_exchanged,
]
