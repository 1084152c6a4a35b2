"""Graph modules and exported programs that a caller holds in hand."""

from __future__ import annotations

import inspect
import linecache
from pathlib import Path

import pytest
import torch
from torch import nn

import gradlint
from gradlint.errors import TargetError
from gradlint.finding import Report
from tests.exported_program.programs import Small

BATCH = torch.randn(2, 4)
STARVED = ("before.weight", "before.bias")


def rounding() -> nn.Module:
    return Small(torch.round)


def told(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.code, finding.parameters) for finding in report.findings]


def test_a_graph_module_is_recorded() -> None:
    traced = torch.fx.symbolic_trace(rounding())
    report = gradlint.check(traced, BATCH)
    assert report.models[0].capture == "recorded"
    assert told(report) == [("GL108", STARVED)]


def test_a_node_without_lines_of_its_own_is_named() -> None:
    traced = torch.fx.symbolic_trace(rounding())
    (found,) = gradlint.check(traced, BATCH).findings
    number = next(n for n, node in enumerate(traced.graph.nodes, 1) if node.name == "round_1")
    assert (found.path, found.line, found.column) == ("<live>", 1, number)
    assert found.message.endswith("(node `round_1`)")


def test_a_node_of_a_part_is_named_with_the_part() -> None:
    model = nn.Sequential(nn.Linear(4, 4), torch.fx.symbolic_trace(rounding()))
    (found,) = gradlint.check(model, BATCH, select=("GL108",)).findings
    assert found.message.endswith("(node `1.round_1`)")


def test_a_node_that_was_traced_with_its_stack_stands_at_the_author_s_line() -> None:
    tracer = torch.fx.Tracer()
    tracer.record_stack_traces = True
    model = rounding()
    (found,) = gradlint.check(torch.fx.GraphModule(model, tracer.trace(model)), BATCH).findings
    (exported,) = gradlint.check(torch.export.export(model, (BATCH,)).module(), BATCH).findings
    for one in (found, exported):
        assert one.path == inspect.getsourcefile(Small)
        assert "self.between" in linecache.getline(one.path, one.line)


def test_an_edited_graph_is_told_by_its_new_nodes() -> None:
    traced = torch.fx.symbolic_trace(Small())
    node = next(one for one in traced.graph.nodes if one.target == "after")
    with traced.graph.inserting_before(node):
        cut = traced.graph.call_method("detach", (node.args[0],))
        node.args = (cut,)
    traced.recompile()
    (found,) = gradlint.check(traced, BATCH).findings
    assert found.code == "GL101"
    assert found.message.endswith(f"(node `{cut.name}`)")


def test_an_exported_program_is_read() -> None:
    program = torch.export.export(rounding(), (BATCH,))
    report = gradlint.check(program)
    assert report.models[0].capture == "exported"
    assert told(report) == [("GL108", STARVED)]


def test_the_module_of_an_exported_program_is_recorded() -> None:
    module = torch.export.export(rounding(), (BATCH,)).module()
    report = gradlint.check(module, BATCH)
    assert report.models[0].capture == "recorded"
    assert told(report) == [("GL108", STARVED)]


def test_a_healthy_program_has_no_findings_and_stays_as_it_is() -> None:
    program = torch.export.export(Small(), (BATCH,))
    before = str(program.graph)
    report = gradlint.check(program)
    assert not report.findings
    assert str(program.graph) == before
    assert all(parameter.grad is None for parameter in program.parameters())


def test_the_file_and_the_object_show_the_same(tmp_path: Path) -> None:
    program = torch.export.export(Small(lambda h: h.detach()), (BATCH,))
    torch.export.save(program, tmp_path / "net.pt2")
    read = gradlint.check_paths([str(tmp_path / "net.pt2")]).models[0]
    live = gradlint.check(program).models[0]
    assert (read.starved, read.parameters) == (live.starved, live.parameters)


def test_a_program_that_torch_cannot_write_is_told() -> None:
    program = torch.export.export(Small(), (BATCH,))
    next(iter(program.graph.nodes)).meta.clear()
    with pytest.raises(TargetError, match="torch cannot write the exported program down"):
        gradlint.check(program)
