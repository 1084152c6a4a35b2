"""Op facts held against finite differences: the onnx package's own node tests, run by its reference evaluator.

Every case is a model of one operator (or of the function that it is defined by) with inputs. A pair of a floating
input and an output is told by our reading of the model: a gradient passes, or none does. The evaluator tells by moving
the input a little: the output moves in proportion, or it stays where it is.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

from gradlint.frontends.onnx_file.reading import recorded
from gradlint.graph import ModelGraph

STEP = 1e-6
SHAKE = 1e-3
"""What an input is moved by for the difference, and first to leave ties and borders, relative to its size."""

SEEDS = (1, 2, 3)
FLOATING = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Pair:
    """One input and one output of a case: whether a gradient passes by our facts, and by finite differences."""

    case: str
    op: str
    source: int
    target: int
    told: bool
    measured: bool
    whole: bool

    @property
    def known_as(self) -> tuple[str, int, int]:
        """The operator, and the places of input and output."""
        return self.op, self.source, self.target


@cache
def cases() -> tuple[Any, ...]:
    """The node tests of the installed onnx package."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return tuple(collect_testcases(None))


def pairs(case: Any) -> Iterator[Pair]:
    """Every floating input of a case with every output; none where the evaluator does not run the case."""
    given = list(case.data_sets[0][0])
    graph = next(recorded(case.model, f"{case.name}.onnx").graphs())
    floating = [position for position, value in enumerate(given) if _is_floating(value)]
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for source in floating:
            moved = _moves(case, given, source)
            for target, (moves, whole) in enumerate(moved):
                told = _is_told(graph, case.model.graph, source, target)
                yield Pair(case.name, _op_of(case), _place_of(case, source), target, told, moves, whole)


def _op_of(case: Any) -> str:
    return case.model.graph.node[0].op_type if len(case.model.graph.node) == 1 else "a function"


def _place_of(case: Any, source: int) -> int:
    """Where a lone operator reads a graph's input; the input's own number for others."""
    read = list(case.model.graph.node[0].input)
    name = case.model.graph.input[source].name
    return read.index(name) if name in read else source


def _is_floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size > 0 and str(value.dtype) in FLOATING


def _is_told(graph: ModelGraph, proto: Any, source: int, target: int) -> bool:
    """Whether an open way leads from an input to an output in our reading."""
    numbers = {node.name: node.id for node in graph.nodes if node.kind == "input"}
    start = numbers.get(proto.input[source].name)
    end = graph.model.outputs[target]
    return start is not None and start in graph.reaching([end], lambda edge: edge.open)


def _moves(case: Any, given: Sequence[Any], source: int) -> list[tuple[bool, bool]]:
    """For every output, whether it moves with an input for some seed, and whether it holds whole numbers."""
    evaluator = ReferenceEvaluator(case.model)
    names = evaluator.input_names
    found: list[tuple[bool, bool]] = []
    for seed in SEEDS:
        if found and all(moved for moved, _ in found):
            break
        try:
            seen = _differences(evaluator, names, given, source, seed)
        except Exception:
            continue
        found = [(old[0] or new[0], new[1]) for old, new in zip(found, seen, strict=True)] if found else seen
    return found


def _differences(
    evaluator: ReferenceEvaluator, names: Sequence[str], given: Sequence[Any], source: int, seed: int
) -> list[tuple[bool, bool]]:
    random = np.random.default_rng(seed)
    base = [value.astype(np.float64) if _is_floating(value) else value for value in given]
    size = max(float(np.nanmean(np.abs(base[source]))), SHAKE)
    start = base[source] + SHAKE * size * random.uniform(-1, 1, base[source].shape)
    step = STEP * size * random.choice([-1.0, 1.0], base[source].shape) * random.uniform(0.5, 1, base[source].shape)
    ends = []
    for place in (start - step, start, start + step):
        ends.append(evaluator.run(None, dict(zip(names, [*base[:source], place, *base[source + 1 :]], strict=False))))
    return [_moved(*three) for three in zip(*ends, strict=True)]


def _moved(before: Any, middle: Any, after: Any) -> tuple[bool, bool]:
    """Whether an output moved in proportion: by about as much on both sides."""
    if isinstance(middle, (list, tuple)):
        inner = [_moved(*three) for three in zip(before, middle, after, strict=False) if three[1] is not None]
        return any(moved for moved, _ in inner), all(whole for _, whole in inner)
    if not isinstance(middle, (np.ndarray, np.generic)) or before.shape != after.shape or before.shape != middle.shape:
        return False, True
    if not np.issubdtype(middle.dtype, np.floating):
        return False, True
    low, high = (middle - before).astype(np.float64), (after - middle).astype(np.float64)
    fine = np.isfinite(low) & np.isfinite(high)
    moved = fine & (np.abs(low) > 0) & (np.abs(high) > 0) & (np.abs(low - high) < 0.5 * (np.abs(low) + np.abs(high)))
    return bool(moved.any()), False
