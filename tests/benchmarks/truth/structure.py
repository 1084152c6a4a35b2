"""Ways of losing a gradient, and look-alikes, that change statements, definitions and the training loop."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from .edits import Edit, indented
from .sites import Anatomy, Site
from .ways import Traits

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """The edits of one injection; `also` are further lines that a finding may name (as numbered before the edits)."""

    edits: tuple[Edit, ...]
    also: tuple[int, ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Structural(Traits):
    """A transformation of a program: `plan` draws one place, or gives None where the program has none."""

    name: str
    plan: Callable[[Anatomy, random.Random], Plan | None]


def _wrap(header: str, after: str = "") -> Callable[[Anatomy, random.Random], Plan | None]:
    """A block `header` around a statement that computes a value with a gradient, then `after` on its target."""

    def plan(anatomy: Anatomy, draw: random.Random) -> Plan | None:
        site = _choose(draw, (s for s in anatomy.sites if _alone(s) and (s.target or not after)))
        if site is None:
            return None
        start, end = anatomy.positions.whole_lines(site.statement)
        column = site.statement.col_offset
        body = header + "\n" + indented(_dedented(anatomy.text[start:end], column), 4)
        if after:
            body += after.format(t=site.target) + "\n"
        return Plan((Edit(start, end, indented(body, column)),))

    return plan


def _switched(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """`set_grad_enabled(False)` before an assignment and True behind it."""
    site = _choose(draw, (s for s in anatomy.sites if s.target and _alone(s)))
    if site is None:
        return None
    start, end = anatomy.positions.whole_lines(site.statement)
    pad = " " * site.statement.col_offset
    before, after = f"{pad}torch.set_grad_enabled(False)\n", f"{pad}torch.set_grad_enabled(True)\n"
    return Plan((Edit(start, end, before + anatomy.text[start:end] + after),))


def _decorate(decorator: str) -> Callable[[Anatomy, random.Random], Plan | None]:
    """A decorator on a function in which a value with a gradient is computed."""

    def plan(anatomy: Anatomy, draw: random.Random) -> Plan | None:
        site = _choose(draw, (s for s in anatomy.sites if s.function is not None and s.kind == "return"))
        if site is None or site.function is None:
            return None
        line = anatomy.positions.line_start(site.function.lineno)
        header = anatomy.text[line : anatomy.text.index("\n", line) + 1]
        written = f"{' ' * site.function.col_offset}{decorator}\n{header}"
        body = range(site.function.lineno, (site.function.end_lineno or site.function.lineno) + 1)
        return Plan((Edit(line, line + len(header), written),), also=tuple(body))

    return plan


def _skipped(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """`self.layer(x)` becomes `x`: the layer is never used."""
    site = _choose(draw, (s for s in anatomy.sites if s.callee))
    if site is None or not isinstance(site.node, ast.Call):
        return None
    start, end = anatomy.positions.span(site.node)
    argument = f"({anatomy.positions.source(site.node.args[0])})"
    return Plan((Edit(start, end, argument),), also=_definitions(anatomy, site.callee or ""))


def _dropped(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """`x = self.layer(x)` becomes `self.layer(x)`: the result is thrown away."""
    site = _choose(draw, (s for s in anatomy.sites if s.callee and s.target and _reads(s, s.target)))
    if site is None:
        return None
    (start, _), (value, end) = anatomy.positions.span(site.statement), anatomy.positions.span(site.node)
    text = anatomy.text[value:end]
    return Plan((Edit(start, end, text),), also=_definitions(anatomy, site.callee or ""))


def _weights_detached(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """`self.layer(x)` becomes a functional call on detached weights."""
    site = _choose(draw, (s for s in anatomy.sites if s.callee))
    if site is None or not isinstance(site.node, ast.Call):
        return None
    start, end = anatomy.positions.span(site.node)
    argument = anatomy.positions.source(site.node.args[0])
    weights = f"{{k: v.detach() for k, v in {site.callee}.state_dict(keep_vars=True).items()}}"
    return Plan((Edit(start, end, f"torch.func.functional_call({site.callee}, {weights}, ({argument},))"),))


def _calls(anatomy: Anatomy, function: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(anatomy.tree)
        if isinstance(node, ast.Call) and len(node.args) == 1 and ast.unparse(node.func) == function
    ]


def _plain_list(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """`nn.ModuleList(layers)` becomes a plain list."""
    call = _choose(draw, _calls(anatomy, "nn.ModuleList"))
    if call is None:
        return None
    start, end = anatomy.positions.span(call)
    return Plan((Edit(start, end, f"list({anatomy.positions.source(call.args[0])})"),))


def _no_parameter(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """`nn.Parameter(tensor)` becomes the tensor with `requires_grad_()`."""
    call = _choose(draw, _calls(anatomy, "nn.Parameter"))
    if call is None:
        return None
    start, end = anatomy.positions.span(call)
    inner = anatomy.positions.source(call.args[0])
    return Plan((Edit(start, end, draw.choice(["({}).requires_grad_()", "({}).requires_grad_(True)"]).format(inner)),))


def _after_build(*texts: str) -> Callable[[Anatomy, random.Random], Plan | None]:
    """Statements behind `model = Net()`."""

    def plan(anatomy: Anatomy, draw: random.Random) -> Plan | None:
        build = _choose(draw, anatomy.builds)
        if build is None:
            return None
        statement, name, _ = build
        end = anatomy.positions.whole_lines(statement)[1]
        body = indented(draw.choice(texts).format(model=name) + "\n", statement.col_offset)
        return Plan((Edit(end, end, body),))

    return plan


def _before_backward(*texts: str) -> Callable[[Anatomy, random.Random], Plan | None]:
    """Statements before `loss.backward()`."""

    def plan(anatomy: Anatomy, draw: random.Random) -> Plan | None:
        found = _choose(draw, _method_calls(anatomy, "backward"))
        if found is None:
            return None
        statement, name = found
        start = anatomy.positions.whole_lines(statement)[0]
        pad = statement.col_offset
        body = indented(draw.choice(texts).format(loss=name) + "\n", pad)
        return Plan((Edit(start, start, body),), also=(statement.lineno,))

    return plan


def _method_calls(anatomy: Anatomy, method: str) -> Iterator[tuple[ast.Expr, str]]:
    for node in ast.walk(anatomy.tree):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr))) if attr == method:
                yield node, name


def _teacher(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """A copy of the model that follows it by an exponential moving average."""
    build, step = _choose(draw, anatomy.builds), _choose(draw, _method_calls(anatomy, "step"))
    if build is None or step is None or build[0].lineno > step[0].lineno:
        return None
    statement, name, _ = build
    made = f"teacher = copy.deepcopy({name})\nfor frozen in teacher.parameters():\n    frozen.requires_grad_(False)\n"
    moved = (
        "with torch.no_grad():\n"
        f"    for slow, fast in zip(teacher.parameters(), {name}.parameters(), strict=True):\n"
        "        slow.mul_(0.99).add_(fast, alpha=0.01)\n"
    )
    first, second = anatomy.positions.whole_lines(statement)[1], anatomy.positions.whole_lines(step[0])[1]
    edits = (
        Edit(first, first, indented(made, statement.col_offset)),
        Edit(second, second, indented(moved, step[0].col_offset)),
    )
    return Plan(edits, imports=("import copy",))


def _frozen_part(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """One child of the model is frozen, and the optimizer gets only what is trainable."""
    build = _choose(draw, [b for b in anatomy.builds if len(b[2]) > 1])
    if build is None:
        return None
    statement, name, children = build
    given = f"{name}.parameters()"
    call = next((c for c in ast.walk(anatomy.tree) if _takes(anatomy, c, given)), None)
    if not isinstance(call, ast.Call):
        return None
    end = anatomy.positions.whole_lines(statement)[1]
    start, stop = anatomy.positions.span(call.args[0])
    frozen = f"{name}.{draw.choice(children)}.requires_grad_(False)\n"
    trainable = f"[p for p in {given} if p.requires_grad]"
    return Plan((Edit(end, end, indented(frozen, statement.col_offset)), Edit(start, stop, trainable)))


def _takes(anatomy: Anatomy, node: ast.AST, given: str) -> bool:
    if not isinstance(node, ast.Call) or not node.args or "optim" not in ast.unparse(node.func):
        return False
    return anatomy.positions.source(node.args[0]) == given


def _unchanged(anatomy: Anatomy, draw: random.Random) -> Plan | None:
    """The program as it is."""
    del anatomy, draw
    return Plan(())


def _alone(site: Site) -> bool:
    """Whether the site is the whole value of an assignment or a return that is not part of a one-line block."""
    return site.kind in ("assign", "return") and isinstance(site.statement, ast.Assign | ast.Return)


def _reads(site: Site, name: str) -> bool:
    return isinstance(site.node, ast.Call) and ast.unparse(site.node.args[0]) == name


def _dedented(text: str, by: int) -> str:
    return "".join(line[by:] if not line[:by].strip() else line for line in text.splitlines(keepends=True))


def _definitions(anatomy: Anatomy, attribute: str) -> tuple[int, ...]:
    """The lines that assign `self.layer`, alone or in a tuple, and the lines of every class (a parameter's home)."""
    lines: list[int] = []
    for node in ast.walk(anatomy.tree):
        if isinstance(node, ast.Assign) and any(attribute in ast.unparse(target) for target in node.targets):
            lines += range(node.lineno, (node.end_lineno or node.lineno) + 1)
        if isinstance(node, ast.ClassDef):
            lines.append(node.lineno)
    return tuple(lines)


def _choose(draw: random.Random, options: Iterable[T]) -> T | None:
    found = list(options)
    return draw.choice(found) if found else None


_FREEZE = (
    "{model}.requires_grad_(False)",
    "for parameter in {model}.parameters():\n    parameter.requires_grad = False",
)
_REBUILT = (
    "{loss} = torch.tensor({loss}.item(), requires_grad=True)",
    "{loss} = {loss}.detach().requires_grad_(True)",
    "{loss} = torch.autograd.Variable({loss}.data, requires_grad=True)",
)
_LOGGED = ("history = [{loss}.item()]", "printed = float({loss})", "best = min(1e9, {loss}.detach().item())")

STRUCTURAL_CUTS = (
    Structural("no-grad-block", _wrap("with torch.no_grad():")),
    Structural("inference-mode-block", _wrap("with torch.inference_mode():", "{t} = {t}.clone()")),
    Structural("grad-disabled-block", _wrap("with torch.set_grad_enabled(False):")),
    Structural("grad-switched-off", _switched),
    Structural("no-grad-decorator", _decorate("@torch.no_grad()")),
    Structural("loss-rebuilt", _before_backward(*_REBUILT)),
    Structural("loss-detached", _before_backward("{loss} = {loss}.detach()", "{loss} = {loss}.data")),
    Structural("everything-frozen", _after_build(*_FREEZE), frees=True),
    Structural("layer-skipped", _skipped, soft=True),
    Structural("result-dropped", _dropped, soft=True),
    Structural("weights-detached", _weights_detached),
    Structural("plain-list", _plain_list, hides=True),
    Structural("parameter-unregistered", _no_parameter, hides=True),
)

STRUCTURAL_LOOKALIKES = (
    Structural("unchanged", _unchanged, harmless=True),
    Structural("moving-average-teacher", _teacher, harmless=True),
    Structural("frozen-part", _frozen_part, harmless=True),
    Structural("logged-loss", _before_backward(*_LOGGED), harmless=True),
    Structural("grad-enabled-block", _wrap("with torch.enable_grad():"), harmless=True),
    Structural("grad-mode-kept", _wrap("with torch.set_grad_enabled(True):"), harmless=True),
)
