"""Draws programs with an injection and labels them by what autograd does."""

from __future__ import annotations

import ast
import pathlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from . import library, oracle, placing
from .edits import Edit, apply, moved
from .sites import Anatomy, dissect
from .structure import STRUCTURAL_CUTS, STRUCTURAL_LOOKALIKES, Plan, Structural
from .ways import CUTS, LOOKALIKES, Way

MODELS = pathlib.Path(__file__).parent / "models"
NOT_OPTIMIZED = "parameters-not-optimized"
ATTEMPTS = 40
"""How many models are tried before a way is given up for one case."""

_NOTHING: frozenset[str] = frozenset()

Injection = Way | Structural
Names = dict[str, frozenset[str]]


@dataclass(frozen=True)
class Case:
    """A labelled program.

    `starved` per root model is what autograd leaves without a gradient, `newly` what of it had one in the untouched
    program; `optional` are parameters whose gradient is identically zero though a path reaches them. `loses` is whether
    something must be reported, on one of `lines`; `soft` when a warning will do; `tolerated` rules may fire on these
    lines in any case.
    """

    name: str
    model: str
    way: str
    text: str
    lines: frozenset[int]
    starved: Names
    newly: Names
    optional: Names
    loses: bool
    harmless: bool
    soft: bool = False
    tolerated: tuple[str, ...] = ()


def injections(only: str | None = None) -> list[Injection]:
    """Every way and look-alike, or those whose name holds `only`."""
    every: list[Injection] = [*CUTS, *STRUCTURAL_CUTS, *LOOKALIKES, *STRUCTURAL_LOOKALIKES]
    return [injection for injection in every if only is None or only in injection.name]


@cache
def sources() -> dict[str, str]:
    """Every model file: name to text."""
    own = {path.stem: path.read_text() for path in sorted(MODELS.glob("*.py"))}
    return own | {program.name: program.text for program in library.programs()}


@cache
def anatomy(name: str) -> Anatomy:
    """One model file with its sites; raises ValueError when it does not train."""
    return dissect(name, sources()[name])


def draw_cases(
    count: int, seed: int, only: str | None = None, model: str | None = None, stride: int = 1
) -> Iterator[Case]:
    """`count` cases in models whose name holds `model`, every `stride`-th way in turn.

    The same arguments give the same programs.
    """
    chosen = injections(only)
    for number in range(count):
        injection = chosen[number * stride % len(chosen)]
        draw = random.Random(f"{seed}/{number}/{injection.name}")
        case = _draw_one(injection, draw, number, model or "")
        if case is not None:
            yield case


def _draw_one(injection: Injection, draw: random.Random, number: int, model: str) -> Case | None:
    names = sorted(name for name in sources() if model in name)
    for _ in range(ATTEMPTS):
        case = inject(anatomy(draw.choice(names)), injection, draw)
        if case is not None:
            return replace(case, name=f"case{number:05}_{case.model}")
    return None


def inject(model: Anatomy, injection: Injection, draw: random.Random) -> Case | None:
    """One case of an injection in a model; None where it does not fit, or where the program then ends in an error."""
    if isinstance(injection, Structural):
        plan = injection.plan(model, draw)
        return _labelled(model, injection, plan, plan) if plan is not None else None
    placed = placing.place(model, injection, draw)
    return _labelled(model, injection, *placed) if placed is not None else None


def _labelled(model: Anatomy, injection: Injection, plan: Plan, detached: Plan) -> Case | None:
    text, lines = _written(model, plan)
    outcome = _run(text)
    if outcome is None:
        return None
    roots = _roots(model)
    starved, optional = {name: outcome.starved(name) for name in roots}, dict.fromkeys(roots, _NOTHING)
    if injection.zero:
        zeros = _zeros(model, text, _written(model, detached)[0])
        if zeros is None:
            return None
        starved, optional = zeros
    elif any(_fresh_zeros(model, outcome).values()):
        optional = _vanishing(model, text, starved)
    newly = {name: starved[name] & model.base.reached[name] for name in roots}
    loses = any(newly.values()) or _withdrawn(injection, model, outcome)
    if (injection.harmless and loses) or (injection.frees and not loses):
        return None
    return Case(
        name=model.name,
        model=model.name,
        way=injection.name,
        text=text,
        lines=lines,
        starved=starved,
        newly=newly,
        optional=optional,
        loses=loses,
        harmless=injection.harmless,
        soft=injection.soft,
        tolerated=(*injection.tolerated, *_untaken(model, outcome)),
    )


def _roots(model: Anatomy) -> list[str]:
    """The root model classes that the untouched program trains."""
    return [name for name in model.base.trainable if model.base.reached[name]]


def _withdrawn(injection: Injection, model: Anatomy, outcome: oracle.Outcome) -> bool:
    """Whether parameters are lost by not being trainable, or not being registered, any more."""
    left = {name: outcome.trainable.get(name, _NOTHING) for name in _roots(model)}
    hidden = any(model.base.trainable[name] - left[name] for name in left)
    return (injection.frees and not any(left.values())) or (injection.hides and hidden)


def _untaken(model: Anatomy, outcome: oracle.Outcome) -> tuple[str, ...]:
    """The rule that may say so where an optimizer gets copies in the place of parameters that are trainable."""
    taken = {name: outcome.taken.get(name, _NOTHING) for name in _roots(model)}
    lost = any((model.base.taken[name] & outcome.trainable.get(name, _NOTHING)) - taken[name] for name in taken)
    return (NOT_OPTIMIZED,) if lost else ()


def _zeros(model: Anatomy, text: str, detached: str) -> tuple[Names, Names] | None:
    """What a zero gradient starves, and what else has a zero gradient beside it; None when the two disagree.

    A parameter is starved when a detach at the same place would leave it without a gradient. Its gradient must then
    be zero in every draw of the parameters. Others, as the weights behind a multiplication by zero, are optional.
    """
    truth, zero, natural = _run(detached), oracle.always_zero(text), _natural_zeros(model.name)
    if truth is None or zero is None or natural is None:
        return None
    roots = _roots(model)
    starved = {name: truth.starved(name) for name in roots}
    if any(not starved[name] <= zero.get(name, _NOTHING) for name in roots):
        return None
    return starved, {name: zero[name] - natural.get(name, _NOTHING) - starved[name] for name in roots}


def _fresh_zeros(model: Anatomy, outcome: oracle.Outcome) -> Names:
    """What has a gradient of zeros, and has it not in the untouched program."""
    return {name: outcome.zero.get(name, _NOTHING) - model.base.zero.get(name, _NOTHING) for name in _roots(model)}


def _vanishing(model: Anatomy, text: str, starved: Names) -> Names:
    """What has a gradient of zeros in every draw of the parameters, as what lies before the sign of a value."""
    zero, natural = oracle.always_zero(text), _natural_zeros(model.name)
    if zero is None or natural is None:
        return dict.fromkeys(starved, _NOTHING)
    return {name: zero.get(name, _NOTHING) - natural.get(name, _NOTHING) - starved[name] for name in starved}


@cache
def _natural_zeros(name: str) -> Names | None:
    """The parameters whose gradient is zero in every draw of the untouched model."""
    return oracle.always_zero(sources()[name])


def _run(text: str) -> oracle.Outcome | None:
    outcome = oracle.run(text)
    usable = outcome.problem is None and outcome.finite and not outcome.disputed
    return outcome if usable else None


def _written(model: Anatomy, plan: Plan) -> tuple[str, frozenset[int]]:
    wanted = [line for line in plan.imports if line not in model.text]
    imports = Edit(_first_import(model), _first_import(model), "".join(f"{line}\n" for line in wanted), blamed=False)
    edits = [imports, *plan.edits] if wanted else list(plan.edits)
    text, blamed = apply(model.text, edits)
    return text, blamed | moved(model.text, edits, plan.also)


def _first_import(model: Anatomy) -> int:
    for node in model.tree.body:
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module != "__future__"):
            return model.positions.line_start(node.lineno)
    raise ValueError(f"{model.name} imports nothing")
