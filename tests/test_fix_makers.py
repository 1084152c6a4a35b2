"""The makers of edits: they know the concrete syntax, and change nothing that they need not."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gradlint.code import UnfixableError
from gradlint.finding import Applicability
from gradlint.fixes.edits import Span, edited, span
from gradlint.fixes.repair import Repair, surroundings
from gradlint.source import Source
from tests.fixing import Maker, finding_at, made, repair


@pytest.mark.parametrize(
    ("text", "needle", "after"),
    [
        ("t += loss\n", "loss", "t += loss.item()\n"),
        ("t += a + b  # c\n", "a + b", "t += (a + b).item()  # c\n"),
        ("t += (a + b)\n", "a + b", "t += (a + b).item()\n"),
        ("t += (\n    a  # one\n    + b\n)\n", "a  # one\n    + b", "t += (\n    a  # one\n    + b\n).item()\n"),
        ("t = -x\n", "-x", "t = (-x).item()\n"),
        ("t = 1\n", "1", "t = (1).item()\n"),
        ("t = f(x)[0].y\n", "f(x)[0].y", "t = f(x)[0].y.item()\n"),
        ("t = (a), (b)\n", "(a), (b)", "t = ((a), (b)).item()\n"),
        ("t = (a, b)\n", "(a, b)", "t = (a, b).item()\n"),
        ("t = lambda: x\n", "lambda: x", "t = (lambda: x).item()\n"),
    ],
)
def test_suffix(text: str, needle: str, after: str) -> None:
    assert made(text, needle, lambda code: code.suffix(code.node, ".item()")) == after


@pytest.mark.parametrize(
    ("text", "needle", "after"),
    [
        ("x = [1]\n", "[1]", "x = F([1])\n"),
        ("x = (\n    [1]  # c\n)\n", "[1]", "x = F(\n    [1]  # c\n)\n"),
        ("x = 1, 2\n", "1, 2", "x = F((1, 2))\n"),
        ("x = (1, 2)\n", "(1, 2)", "x = F((1, 2))\n"),
        ("x = (y for y in z)\n", "(y for y in z)", "x = F(y for y in z)\n"),
        ("x = g(y for y in z)\n", "(y for y in z)", "x = g(F(y for y in z))\n"),
        ("x = a if(b)else c\n", "b", "x = a if(F(b))else c\n"),
        ("x = g(*y)\n", "y", "x = g(*F(y))\n"),
        ("x = not y\n", "not y", "x = F(not y)\n"),
        ("x = (y := 2)\n", "y := 2", "x = F(y := 2)\n"),
    ],
)
def test_wrap(text: str, needle: str, after: str) -> None:
    assert made(text, needle, lambda code: code.wrap(code.node, "F")) == after


@pytest.mark.parametrize(
    ("text", "needle", "after"),
    [
        ("y = s(x, 1)\n", "s(x, 1)", "y = x\n"),
        ("y = 2 * s(a + b)\n", "s(a + b)", "y = 2 * (a + b)\n"),
        ("y = 2 * s((a + b), 1)\n", "s((a + b), 1)", "y = 2 * (a + b)\n"),
        ("y = g(s(a + b), 2)\n", "s(a + b)", "y = g(a + b, 2)\n"),
        ("y = s(\n    a\n    + b, 1)\n", "s(\n    a\n    + b, 1)", "y = (a\n    + b)\n"),
        ("y = g(\n    s(  # c\n        x))\n", "s(  # c\n        x)", "y = g(\n    x)\n"),
        ("y = s(x).t\n", "s(x)", "y = x.t\n"),
        ("y = s(-x).t\n", "s(-x)", "y = (-x).t\n"),
        ("y = s(z for z in q)\n", "s(z for z in q)", "y = (z for z in q)\n"),
        ("return_ = s((yield_))\n", "s((yield_))", "return_ = (yield_)\n"),
    ],
)
def test_unwrap(text: str, needle: str, after: str) -> None:
    assert made(text, needle, lambda code: code.unwrap(code.node, code.call.args[0])) == after


def test_unwrap_of_a_method_and_edits_inside_of_what_stays() -> None:
    assert made("y = x.relu()\n", "x.relu()", lambda code: code.unwrap(code.call, code.call.func.value)) == "y = x\n"  # type: ignore[attr-defined]

    def fused(code: Repair) -> object:
        inner = code.call.args[0]
        assert isinstance(inner, ast.Call)
        return code.safe(code.rename(inner.func, "torch.log_softmax"), code.unwrap(code.call, inner))

    text = "import torch\nimport torch.nn.functional as F\ny = torch.log(F.softmax(x,  # logits\n    dim=1))\n"
    needle = text[text.index("torch.log(") : -1]
    after = "import torch\nimport torch.nn.functional as F\ny = torch.log_softmax(x,  # logits\n    dim=1)\n"
    assert made(text, needle, fused) == after  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "after"),
    [
        ("C()", "C(bias=False)"),
        ("C(  )", "C(bias=False  )"),
        ("C(1)", "C(1, bias=False)"),
        ("C(1, )", "C(1, bias=False, )"),
        ("C(1, bias=True)", "C(1, bias=False)"),
        ("C(1, bias = (True) , p=2)", "C(1, bias=False , p=2)"),
        ("C(1, 2, q)", "C(1, 2, bias=False)"),
        ("C(1, 2, q, p=2)", "C(1, 2, bias=False, p=2)"),
        ("C(\n    1,\n    2,  # two\n)", "C(\n    1,\n    2,  # two\n    bias=False,\n)"),
        ("C(\n\t1,\n\t2  # two\n)", "C(\n\t1,\n\t2,  # two\n\tbias=False\n)"),
        ("C(\n    1, 2\n)", "C(\n    1, 2, bias=False\n)"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_keyword(call: str, after: str, end: str) -> None:
    text, wanted = (f"l = {one}\n".replace("\n", end) for one in (call, after))
    needle = call.replace("\n", end)
    assert made(text, needle, lambda code: code.keyword(code.call, "bias", "False", position=2)) == wanted


@pytest.mark.parametrize("call", ["C(**k)", "C(*a)", "C(x for x in y)", "C(1, 2, q, r)"])
def test_keyword_of_a_call_that_may_have_it(call: str) -> None:
    code = repair(f"l = {call}\n", call)
    with pytest.raises(UnfixableError):
        code.keyword(code.call, "bias", "False", position=2)


@pytest.mark.parametrize(
    ("text", "index", "after"),
    [
        ("S(a, b, c)", 0, "S(b, c)"),
        ("S(a, b, c)", 1, "S(a, c)"),
        ("S(a, b, c)", 2, "S(a, b)"),
        ("S(a, b, c,)", 2, "S(a, b,)"),
        ("S(a)", 0, "S()"),
        ("S(a,)", 0, "S()"),
        ("(a, b)", 0, "(b,)"),
        ("(a, b)", 1, "(a,)"),
        ("(a, b,)", 0, "(b,)"),
        ("S(\n    a,\n    b,\n    c\n)", 1, "S(\n    a,\n    c\n)"),
        ("S(\n    a,\n    b,  # b\n    c  # c\n)", 2, "S(\n    a,\n    b  # b\n)"),
        ("S(\n    a,\n    b,\n)", 1, "S(\n    a,\n)"),
        ("(\n    a,\n    b\n)", 0, "(\n    b,\n)"),
        ("(\n    a,\n    b\n)", 1, "(\n    a,\n)"),
    ],
)
def test_drop(text: str, index: int, after: str) -> None:
    def dropped(code: Repair) -> object:
        return code.drop((code.node.args if isinstance(code.node, ast.Call) else code.node.elts)[index])  # type: ignore[attr-defined]

    assert made(f"x = {text}\n", text, dropped) == f"x = {after}\n"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a.b()\nc()\n", "c()\n"),
        ("c()\na.b()", "c()\n"),
        ("if x:\n    a.b()\n", "if x:\n    pass\n"),
        ("if x:\n    a.b()  # why\n", "if x:\n    pass  # why\n"),
        ("if x: a.b()\n", "if x: pass\n"),
        ("if x: a.b(); c()\n", "if x: c()\n"),
        ("a.b(); c()\n", "c()\n"),
        ("c(); a.b()  # d\n", "c()  # d\n"),
        ("def f():\n\t# stays\n\ta.b()\n\treturn 1\n", "def f():\n\t# stays\n\treturn 1\n"),
    ],
)
def test_delete(text: str, after: str) -> None:
    assert made(text, "a.b()", lambda code: code.delete(code.statement)) == after


def test_a_statement_above_another_one() -> None:
    assert made("if x:\n\ta()\n", "a()", lambda code: code.before(code.statement, "b()")) == "if x:\n\tb()\n\ta()\n"
    with pytest.raises(UnfixableError):
        made("if x: a()\n", "a()", lambda code: code.before(code.statement, "b()"))


@pytest.mark.parametrize(
    ("head", "name", "after", "written"),
    [
        ("from torch import nn\n", "torch.nn.ModuleList", "from torch import nn\n", "nn.ModuleList"),
        ("import torch\n", "torch.nn.ModuleList", "import torch\n", "torch.nn.ModuleList"),
        ("import torch.nn as nn\nimport torch\n", "torch.nn.ModuleList", None, "nn.ModuleList"),
        ("from torch.nn import ModuleList as L\n", "torch.nn.ModuleList", None, "L"),
        ("import torch.nn.functional as F\n", "torch.nn.functional.relu", None, "F.relu"),
        ("from torch import nn\n", "torch.nn.functional.relu", None, "nn.functional.relu"),
        (
            "from torch.nn import (\n    Linear,  # a\n    Module,\n)\n",
            "torch.nn.ModuleList",
            "from torch.nn import (\n    Linear,  # a\n    Module, ModuleList,\n)\n",
            "ModuleList",
        ),
        (
            "from torch.nn import Module\n",
            "torch.nn.ModuleList",
            "from torch.nn import Module, ModuleList\n",
            "ModuleList",
        ),
        ('"""Doc."""\n', "torch.nn.ModuleList", '"""Doc."""\nfrom torch import nn\n', "nn.ModuleList"),
        ("# coding: utf-8\nq = 1\n", "torch.log", "# coding: utf-8\nimport torch\nq = 1\n", "torch.log"),
        (
            "from __future__ import annotations\nimport os\n",
            "torch.log",
            "from __future__ import annotations\nimport torch\nimport os\n",
            "torch.log",
        ),
        ("nn = 1\n", "torch.nn.ModuleList", "import torch\nnn = 1\n", "torch.nn.ModuleList"),
        ("try:\n    import torch\nexcept ImportError:\n    pass\n", "torch.log", None, "torch.log"),
        ("import jittor as jt\n", "jittor.nn.relu", None, "jt.nn.relu"),
    ],
)
def test_names_are_written_as_the_file_writes_them(head: str, name: str, after: str | None, written: str) -> None:
    def renamed(code: Repair) -> object:
        found = code.imported(name)
        return code.safe(code.replace(code.node, f"{found}"), found)

    assert made(head + "x = yy\n", "yy", renamed) == (after or head) + f"x = {written}\n"  # type: ignore[arg-type]


def test_names_that_mean_something_else_are_not_used() -> None:
    with pytest.raises(UnfixableError):
        repair("torch = nn = 1\nx = y\n", "y").imported("torch.nn.ModuleList")
    code = repair("import torch\ndef f(torch):\n    return torch.log(1)\n", "torch.log(1)")
    assert code.resolved(code.call.func) == ""
    code = repair("from torch.nn import functional as F\ny = F.relu(1)\n", "F.relu(1)")
    assert code.resolved(code.call.func) == "torch.nn.functional.relu"
    code = repair("from .torch import nn\ny = nn.relu(1)\n", "nn.relu(1)")
    assert code.resolved(code.call.func) == ""


def test_a_fix_that_deletes_a_comment_is_unsafe() -> None:
    def unwrapped(code: Repair) -> object:
        return code.safe(code.unwrap(code.call, code.call.args[0]))

    kept = repair("y = s(  # c\n    x)\n", "s(  # c\n    x)")
    assert unwrapped(kept).applicability is Applicability.UNSAFE  # type: ignore[attr-defined]
    plain = repair("y = s(x)  # c\n", "s(x)")
    assert unwrapped(plain).applicability is Applicability.SAFE  # type: ignore[attr-defined]


def test_nothing_is_guessed() -> None:
    code = repair("y = s(x) + 1\n", "(x) +")
    with pytest.raises(UnfixableError):
        code.node  # noqa: B018
    code = repair("y = x + 1\n", "x + 1")
    with pytest.raises(UnfixableError):
        code.call  # noqa: B018
    with pytest.raises(UnfixableError):
        code.safe(())


def test_a_method_call_over_several_lines_is_found_by_its_name() -> None:
    text = "y = (\n    x.relu()\n    .detach()\n)\n"
    code = repair(text, "detach()")
    assert code.text(code.node) == "x.relu()\n    .detach()"


GAPS = ("", " ", "  ", "\n", "\n    ", "  # note\n  ", "\t", " \\\n ")
IN_BRACKETS = st.sampled_from(GAPS)
ATOMS = (
    "x",
    "a.b",
    "f(1)",
    "[1, 2]",
    "(a + b)",
    "x[0]",
    "-x",
    "a + b",
    "not a",
    "a if b else c",
    "'s'",
    "(1,)",
    "lambda: 0",
)
BLOCKS = ("", "if q:\n    ", "def f():\n\t", "class A:\n  def g(self):\n    ", "x = 1; ")


@st.composite
def calls(draw: st.DrawFn) -> str:
    """A call, its arguments divided by all kinds of blanks and comments."""

    def gap() -> str:
        return draw(IN_BRACKETS)

    members = draw(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3))
    names = draw(st.sampled_from([(), ("p=1",), ("p = (2)", "q=x")]))
    joined = f"{gap()},{gap()}".join([*members, *names])
    comma = draw(st.sampled_from(["", ",", " ,"]))
    return f"{draw(st.sampled_from(['s', 'm.s', 'g()']))}({gap()}{joined}{comma}{gap()})"


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, str]:
    """A program and a call in it."""
    call = draw(calls())
    context = draw(
        st.sampled_from(["y = {}", "y += 2 * {}", "print({}, 1)", "return_({})[0]", "y = [{}]", "y = ({})", "{}"])
    )
    head = draw(st.sampled_from(["", "'''Doc.'''\n", "# head  \n\n", "\f\n"]))
    tail = draw(st.sampled_from(["", "\n", "  # tail\n", "\nz = 3   \n\n", "  \n"]))
    return head + draw(st.sampled_from(BLOCKS)) + context.format(call) + tail, call


def comments(text: str) -> list[str]:
    return [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]


Transform = Callable[[ast.Call], ast.expr]


def suffixed(call: ast.Call) -> ast.expr:
    return ast.Call(ast.Attribute(call, "item", ast.Load()), [], [])


def wrapped(call: ast.Call) -> ast.expr:
    return ast.Call(ast.Name("F", ast.Load()), [call], [])


def first(call: ast.Call) -> ast.expr:
    return call.args[0]


def biased(call: ast.Call) -> ast.expr:
    return ast.Call(call.func, call.args, [*call.keywords, ast.keyword("bias", ast.Constant(False))])


def without_last(call: ast.Call) -> ast.expr:
    return ast.Call(call.func, call.args[:-1], call.keywords)


CASES: dict[str, tuple[Maker, Transform]] = {
    "suffix": (lambda code: code.suffix(code.node, ".item()"), suffixed),
    "wrap": (lambda code: code.wrap(code.node, "F"), wrapped),
    "unwrap": (lambda code: code.unwrap(code.node, code.call.args[0]), first),
    "keyword": (lambda code: code.keyword(code.call, "bias", "False"), biased),
    "drop": (lambda code: code.drop(code.call.args[-1]), without_last),
}


class Swap(ast.NodeTransformer):
    """Puts another expression in the place of one."""

    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(program=programs(), end=st.sampled_from(["\n", "\r\n"]))
def test_makers_mean_what_they_say_in_any_layout(case: str, program: tuple[str, str], end: str) -> None:
    text, needle = (part.replace("\n", end) for part in program)
    try:
        ast.parse(text)
    except SyntaxError:
        assume(False)
    source = Source("m.py", text)
    start = text.index(needle)
    code = Repair(surroundings(source), finding_at(source, Span(start, start + len(needle))))
    maker, transform = CASES[case]
    fix = code.safe(maker(code))  # type: ignore[arg-type]
    after = edited(source, fix.edits)
    wanted = ast.unparse(swapped(code, transform))
    assert ast.unparse(after.tree) == wanted
    places = sorted(span(source, one) for one in fix.edits)
    assert after.text.startswith(text[: places[0].start])
    assert after.text.endswith(text[places[-1].end :])
    if fix.applicability is Applicability.SAFE:
        assert comments(after.text) == comments(text)


def swapped(code: Repair, transform: Transform) -> ast.Module:
    """The tree of the file with the call transformed."""
    call = code.call
    tree = Swap(call, transform(call)).visit(code.tree)
    assert isinstance(tree, ast.Module)
    return tree
