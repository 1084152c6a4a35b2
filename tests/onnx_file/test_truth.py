"""Every operator that the installed onnx package knows has facts, and they agree with finite differences."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from onnx import defs

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file import signatures
from gradlint.frontends.onnx_file.reading import recorded
from gradlint.frontends.onnx_file.schemas import KNOWN_DOMAINS
from gradlint.ops import lookup
from tests.onnx_file.backend_truth import Pair, cases, pairs

EVERY = 16
"""Of the cases one in so many is looked at in the fast test."""

FEWEST_CASES, FEWEST_PAIRS = 1000, 2500

STILL = {
    ("GRU", 2, 0): "one step from a state of zeros: the recurrent weights multiply nothing",
    ("GRU", 2, 1): "one step from a state of zeros",
    ("LSTM", 2, 0): "one step from a state of zeros",
    ("LSTM", 2, 1): "one step from a state of zeros",
    ("RNN", 2, 1): "one step from a state of zeros",
}
"""Pairs with a gradient that no case of the package can show, and why."""

UNTOLD = ("a function", "Adagrad", "Adam", "Momentum")
"""Cases without one operator, and operators whose n-th output belongs to one of several inputs by their number."""

MESSAGE = 60


def test_every_operator_of_every_version_has_facts() -> None:
    schemas = {(schema.domain, schema.name) for schema in defs.get_all_schemas_with_history()}
    assert len(schemas) > 200
    assert sorted(name for _, name in schemas if lookup("onnx", name) is None) == []
    assert {domain for domain, _ in schemas} <= KNOWN_DOMAINS


def test_no_operator_is_listed_that_the_standard_does_not_have() -> None:
    names = {schema.name for schema in defs.get_all_schemas_with_history()} | {"MultiHeadAttention"}
    tables = (signatures.PLACES, signatures.BEYOND, signatures.APART, signatures.STEPPED)
    assert {key.split()[0] for table in tables for key in table} <= names


def unread(chosen: Iterable[object]) -> list[str]:
    """The cases that cannot be read, with what is said of them."""
    found = []
    for case in chosen:
        try:
            recorded(case.model, "case.onnx")  # type: ignore[attr-defined]
        except TargetError as error:
            found.append(f"{case.name}: {error}")  # type: ignore[attr-defined]
    return found


def seen(chosen: Iterable[object]) -> tuple[list[Pair], list[str]]:
    """All pairs of some cases, and the cases that the reference evaluator does not run."""
    found: list[Pair] = []
    failed: list[str] = []
    for case in chosen:
        try:
            found += pairs(case)
        except RuntimeError as error:
            failed.append(f"{case.name}: {str(error)[:MESSAGE]}")  # type: ignore[attr-defined]
    return found, failed


def wrong(found: Iterable[Pair]) -> list[str]:
    """The pairs that move though our facts say that no gradient passes."""
    return [f"{p.case}: output {p.target} moves with input {p.source}" for p in found if p.measured and not p.told]


def test_every_case_can_be_read() -> None:
    assert unread(cases()) == []


def test_no_gradient_is_told_where_nothing_moves() -> None:
    found, _ = seen(cases()[::EVERY])
    assert sum(not pair.told for pair in found) > 10
    assert sum(pair.told and pair.measured for pair in found) > 50
    assert wrong(found) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_facts_agree_with_finite_differences_on_all_cases() -> None:
    found, failed = seen(cases())
    ran = {pair.case for pair in found}
    closed = [pair for pair in found if not pair.told]
    moving = {pair.known_as for pair in found if pair.measured}
    still = {pair.known_as for pair in found if pair.told and pair.op not in UNTOLD} - moving
    whole = sum(pair.whole for pair in closed)
    print(  # noqa: T201
        f"\n{len(cases())} cases, {len(ran)} with floating inputs, {len(found)} pairs: {len(closed)} have no gradient "
        f"({whole} of them to whole numbers), {len(closed) - len(wrong(closed))} agree; never moving: {sorted(still)}; "
        f"not run: {failed}"
    )
    assert len(ran) >= FEWEST_CASES
    assert len(found) >= FEWEST_PAIRS
    assert wrong(found) == []
    assert still - set(STILL) == set()


def test_a_wrong_fact_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    relu = next(case for case in cases() if case.name == "test_relu")
    assert wrong(pairs(relu)) == []
    monkeypatch.setitem(signatures.APART, "Relu", frozenset({(0, 0)}))  # type: ignore[misc]
    signatures.passage.cache_clear()
    assert wrong(pairs(relu)) == ["test_relu: output 0 moves with input 0"]
    monkeypatch.undo()
    signatures.passage.cache_clear()
