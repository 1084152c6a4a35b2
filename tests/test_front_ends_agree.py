"""One model through all front-ends starves the same parameters, wherever what it does survives the way there."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from gradlint import notebook
from gradlint.analysis.reach import reach
from gradlint.config import Settings
from gradlint.frontends.exported_program.reading import read as read_program
from gradlint.frontends.recorder.live import record
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.graph import ModelGraph
from gradlint.proving import found_in
from gradlint.registry import configured
from tests import agreeing_models
from tests.agreeing_models import CASES, Case, batch

PATH = Path(agreeing_models.__file__)
ENOUGH = 30
COMPILER = "GL2"
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.model.__name__)


def made(case: Case) -> nn.Module:
    torch.manual_seed(0)
    return case.model()


def expected(case: Case) -> set[str]:
    """The names of the parameters in the parts that are told to starve."""
    return {name for name, _ in made(case).named_parameters() if name.startswith(tuple(f"{p}." for p in case.starved))}


def starved(graph: ModelGraph) -> set[str]:
    return set(reach(graph).starved)


def codes(graph: ModelGraph) -> set[str]:
    """The codes of what is found; what the compiler says of a program that it has taken apart is another question."""
    found = {finding.code for finding in found_in([graph], configured(Settings()))}
    return {code for code in found if not code.startswith(COMPILER)}


def recorded(case: Case) -> ModelGraph:
    (graph,) = record(made(case), batch(case.kind)).graphs()
    return graph


@cache
def read() -> dict[str, ModelGraph]:
    """All models, read from their source."""
    reading = read_file(notebook.read(str(PATH)), Project(str(PATH.parent)))
    return {graph.model.name: graph for graph in reading.graphs}


def exported(case: Case) -> ModelGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(made(case), (batch(case.kind),))
        file = io.BytesIO()
        torch.export.save(program, file)
    (graph,) = read_program("model.pt2", file).graphs()
    return graph


def test_there_are_enough_models() -> None:
    assert len(CASES) >= ENOUGH
    assert len({case.model for case in CASES}) == len(CASES)
    assert any(case.starved for case in CASES)


@EACH
def test_recorder(case: Case) -> None:
    assert starved(recorded(case)) == expected(case)


@EACH
def test_source(case: Case) -> None:
    graph = read()[case.model.__name__]
    assert starved(graph) == expected(case)
    assert graph.model.complete


@EACH
def test_exported_program(case: Case) -> None:
    graph = exported(case)
    assert starved(graph) == expected(case)
    assert graph.model.complete


def shown_by_all(case: Case) -> Iterator[str]:
    """The codes that each of three front-ends shows."""
    for graph in (recorded(case), read()[case.model.__name__], exported(case)):
        yield " ".join(sorted(codes(graph)))


@EACH
def test_the_same_rules_speak(case: Case) -> None:
    recorder, source, program = shown_by_all(case)
    assert recorder == source == program


def in_onnx(case: Case, folder: Path) -> tuple[ModelGraph, set[str]]:
    """The graph of a model in an `.onnx` file, and the names of the parameters that kept theirs."""
    reading = pytest.importorskip("gradlint.frontends.onnx_file.reading")
    path = str(folder / "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = made(case).train()
        mode = torch.onnx.TrainingMode.TRAINING
        torch.onnx.export(model, (batch(case.kind),), path, dynamo=False, training=mode, do_constant_folding=False)
    (graph,) = reading.read(path).graphs()
    names = {name for name, _ in model.named_parameters()}
    return graph, names & {parameter.name for parameter in graph.model.parameters}


SURVIVING = [case for case in CASES if not case.lost_in_onnx]


@pytest.mark.parametrize("case", SURVIVING, ids=lambda case: case.model.__name__)
def test_onnx(case: Case, tmp_path: Path) -> None:
    graph, kept = in_onnx(case, tmp_path)
    assert kept
    assert starved(graph) & kept == expected(case) & kept
