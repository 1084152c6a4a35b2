"""What torch's compiler and exporter made of a model: how many graphs, where they break, and why."""

from __future__ import annotations

from dataclasses import dataclass

from gradlint.frame import Frame

UNTRACED = "untraced:"
"""How the native name of a node begins that stands for a place in a source at which the compiler breaks; behind it
stands one of these, or the name of what the compiler does not trace."""

NUMBER, TEXT, SHAPE, DEFINITION = "number", "text", "shape", "class"


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the compiler ended its graph and Python went on.

    `id` is the number of the reason in torch's registry of graph breaks (`GB0124`, empty where it has none), `title`,
    `explanation` and `hints` are torch's own words, `frames` the frames that led to the place, innermost first.
    """

    id: str
    title: str
    explanation: str
    hints: tuple[str, ...] = ()
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Recompilation:
    """A function that was compiled again though the inputs had the same shapes, and the guard that failed."""

    frame: Frame
    guard: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why `torch.export` refused a model: `mode` is "strict" or "non-strict"."""

    mode: str
    reason: str
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Compilation:
    """What the compiler made of a model on one set of inputs: the number of its `graphs`, and what went wrong.

    `tried_export` says that `torch.export` was asked too; without a refusal it took the model. `untried` is why the
    compiler was not asked, or not to the end, where the program or the user wanted it to be; empty where it was.
    """

    graphs: int
    breaks: tuple[Break, ...] = ()
    recompilations: tuple[Recompilation, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    tried_export: bool = False
    untried: str = ""
