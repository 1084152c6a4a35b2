"""An `.onnx` file as a target of the command: findings, their severities and places, broken files, what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import gradlint as package
from tests.command import gradlint
from tests.onnx_file.models import FIRST, classifier, constant, model, node, value, weight

JSON = ("--output-format", "json", "--notes")


def saved(folder: Path, proto: onnx.ModelProto, name: str = "model.onnx") -> str:
    onnx.save(proto, folder / name)
    return name


def findings(folder: Path, proto: onnx.ModelProto) -> list[dict[str, Any]]:
    """What a run says of a model, notes too."""
    done = gradlint(folder, saved(folder, proto), *JSON, "--no-cache")
    found: list[dict[str, Any]] = done.report["findings"]
    return found


def routed() -> onnx.ModelProto:
    """A choice between weights: an embedding is looked up by an argmax."""
    tail = [
        node("ArgMax", "scores", "best", name="/ArgMax", axis=1, keepdims=0),
        node("Gather", "table best", "chosen", name="/table/Gather"),
        node("MatMul", "chosen last", "end", name="/last/MatMul"),
    ]
    return classifier(*tail, end="end", more=[weight("table", 4, 6), weight("last", 6, 2)])


def test_a_cut_between_weights_is_an_error(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, routed())
    assert (found["code"], found["severity"], found["evidence"]) == ("GL105", "error", "graph")
    assert (found["path"], found["line"], found["column"]) == ("model.onnx", 1, 4)
    assert found["parameters"] == list(FIRST)
    assert "ArgMax (/ArgMax)" in found["message"]


def test_the_same_cut_behind_the_last_weight_is_a_note(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, classifier(node("ArgMax", "scores", "end"), end="end"))
    assert (found["code"], found["severity"], len(found["parameters"])) == ("GL105", "note", 4)


def test_detection_ends_in_a_choice(tmp_path: Path) -> None:
    tail = [
        node("Reshape", "scores box", "boxes"),
        node("Reshape", "scores single", "likely"),
        node("NonMaxSuppression", "boxes likely most", "picked"),
        node("Cast", "picked", "end", to=TensorProto.FLOAT),
    ]
    shapes = {"box": [1, -1, 4], "single": [1, 1, -1], "most": [10]}
    more = [constant(name, shape, np.int64) for name, shape in shapes.items()]
    (found,) = findings(tmp_path, classifier(*tail, end="end", more=more))
    assert found["severity"] == "note"


def test_a_cast_between_weights(tmp_path: Path) -> None:
    tail = [
        node("Cast", "scores", "whole", to=TensorProto.INT32),
        node("Cast", "whole", "back", to=TensorProto.FLOAT),
        node("MatMul", "back last", "end"),
    ]
    (found,) = findings(tmp_path, classifier(*tail, end="end", more=[weight("last", 4, 2)]))
    assert (found["code"], found["severity"]) == ("GL106", "error")


def test_rounding_between_weights(tmp_path: Path) -> None:
    tail = [node("Round", "scores", "whole"), node("MatMul", "whole last", "end")]
    (found,) = findings(tmp_path, classifier(*tail, end="end", more=[weight("last", 4, 2)]))
    assert (found["code"], found["severity"]) == ("GL108", "error")


def test_two_cuts_are_two_findings(tmp_path: Path) -> None:
    nodes = [
        *(node("MatMul", f"x w{n}", f"m{n}") for n in range(2)),
        node("Round", "m0", "r0"),
        node("Round", "m1", "r1"),
        *(node("MatMul", f"r{n} v{n}", f"y{n}") for n in range(2)),
    ]
    weights = [weight(f"{name}{n}", 8, 8) for n in range(2) for name in "wv"]
    found = findings(tmp_path, model(nodes, [value("x", 1, 8)], ["y0", "y1"], weights))
    assert sorted(tuple(one["parameters"]) for one in found) == [("w0",), ("w1",)]


def quantised(static: bool) -> onnx.ModelProto:
    """Activations that are quantised and taken back between two layers, or quantised by their own range."""
    if static:
        tail = [
            node("QuantizeLinear", "scores scale zero", "small"),
            node("DequantizeLinear", "small scale zero", "back"),
        ]
    else:
        tail = [
            node("DynamicQuantizeLinear", "scores", "small by at"),
            node("DequantizeLinear", "small by at", "back"),
        ]
    more = [weight("last", 4, 2), constant("scale", 0.1), constant("zero", 0, np.uint8)]
    return classifier(*tail, node("MatMul", "back last", "end"), end="end", more=more)


@pytest.mark.parametrize("static", [True, False])
def test_quantisation_is_no_mistake(tmp_path: Path, static: bool) -> None:
    assert [one for one in findings(tmp_path, quantised(static)) if one["severity"] != "note"] == []


def test_the_log_of_a_softmax(tmp_path: Path) -> None:
    tail = [node("Softmax", "scores", "p", axis=1), node("Log", "p", "end", name="/Log")]
    (found,) = findings(tmp_path, classifier(*tail, end="end"))
    assert (found["code"], found["line"], found["column"]) == ("GL801", 1, 5)
    assert "/Log" in found["message"]


def test_an_eps_guards_it(tmp_path: Path) -> None:
    tail = [node("Softmax", "scores", "p", axis=1), node("Add", "p eps", "q"), node("Log", "q", "end")]
    assert findings(tmp_path, classifier(*tail, end="end", more=[constant("eps", 1e-6)])) == []


def test_a_dead_branch(tmp_path: Path) -> None:
    proto = classifier(node("MatMul", "hidden spare", "nowhere"), more=[weight("spare", 16, 2)])
    (found,) = findings(tmp_path, proto)
    assert (found["code"], found["parameters"]) == ("GL109", ["spare"])


def test_what_no_node_reads_is_not_called_a_parameter(tmp_path: Path) -> None:
    assert findings(tmp_path, classifier(more=[weight("left.over", 16, 2)])) == []


def test_many_layers_without_a_norm_are_a_note_because_norms_are_folded(tmp_path: Path) -> None:
    nodes = []
    for n in range(10):
        nodes += [node("MatMul", f"h{n} w{n}", f"m{n}"), node("Relu", f"m{n}", f"h{n + 1}")]
    weights = [weight(f"w{n}", 8, 8) for n in range(10)]
    (found,) = findings(tmp_path, model(nodes, [value("h0", 1, 8)], ["h10"], weights))
    assert (found["code"], found["severity"]) == ("GL501", "note")


def test_many_saturating_layers(tmp_path: Path) -> None:
    nodes = []
    for n in range(8):
        nodes += [node("MatMul", f"h{n} w{n}", f"m{n}"), node("Sigmoid", f"m{n}", f"h{n + 1}")]
    weights = [weight(f"w{n}", 8, 8) for n in range(8)]
    found = findings(tmp_path, model(nodes, [value("h0", 1, 8)], ["h8"], weights))
    assert ("GL401", "warning") in {(one["code"], one["severity"]) for one in found}


def test_what_is_said_of_exported_graphs_is_said_once(tmp_path: Path) -> None:
    names = [saved(tmp_path, classifier(), f"{n}.onnx") for n in range(3)]
    done = gradlint(tmp_path, *names)
    assert done.code == 0
    assert sum("nothing is executed" in line for line in done.notes) == 1
    assert not any("importing" in line for line in done.notes)


def test_the_report_of_a_model(tmp_path: Path) -> None:
    done = gradlint(tmp_path, saved(tmp_path, routed()), "--output-format", "json")
    (told,) = done.report["models"]
    assert done.code == 1
    assert (told["name"], told["capture"], told["reach_at"]) == ("model", "onnx", "outputs")
    assert (told["parameters"], told["reached"]) == (6, 2)
    assert told["starved"] == list(FIRST)
    assert told["inputs"] == ["float32[batch,8]"]


def test_a_run_is_repeated_from_the_cache(tmp_path: Path) -> None:
    name = saved(tmp_path, routed())
    (tmp_path / "pyproject.toml").write_text("[tool.gradlint]\n")
    first, second = gradlint(tmp_path, name), gradlint(tmp_path, name)
    assert (first.code, first.out) == (second.code, second.out)
    saved(tmp_path, classifier())
    assert gradlint(tmp_path, name).code == 0


def test_a_baseline_holds(tmp_path: Path) -> None:
    name = saved(tmp_path, routed())
    assert gradlint(tmp_path, name).code == 1
    (tmp_path / "pyproject.toml").write_text("[tool.gradlint]\n")
    done = gradlint(tmp_path, "baseline", name)
    assert done.code == 0, done.err
    assert gradlint(tmp_path, name).code == 0
    saved(tmp_path, classifier())
    assert any("1 findings are gone" in line for line in gradlint(tmp_path, name).notes)


@pytest.mark.parametrize("content", [b"", b"import torch\n", b"\x08\x0a", b"\xff" * 100, b"\x3a\xff\xff\xff\xff\x0f"])
def test_files_that_hold_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    done = gradlint(tmp_path, "broken.onnx", saved(tmp_path, routed()), "--output-format", "json")
    assert done.code == 1
    assert done.found == [("broken.onnx", "GL001", 1), ("model.onnx", "GL105", 1)]
    assert "\n" not in done.report["findings"][0]["message"]
    assert "Traceback" not in done.err


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    onnx.save(routed(), tmp_path / "whole.onnx")
    whole = (tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    done = gradlint(tmp_path, "half.onnx", "--output-format", "json")
    assert done.found == [("half.onnx", "GL001", 1)]
    assert "cut off" in done.report["findings"][0]["message"]


def test_text_of_a_binary_file_is_never_shown(tmp_path: Path) -> None:
    done = gradlint(tmp_path, saved(tmp_path, routed()))
    assert done.code == 1
    assert "first.weight\n" not in done.out
    assert done.out.isprintable() or all(line.isprintable() for line in done.out.splitlines())


def test_a_file_that_takes_too_long(tmp_path: Path) -> None:
    nodes = [node("Relu", f"h{n}", f"h{n + 1}") for n in range(30_000)]
    name = saved(tmp_path, model(nodes, [value("h0", 1, 8)], ["h30000"]))
    done = gradlint(tmp_path, name, "--timeout", "0.05", "--output-format", "json")
    assert done.found == [("model.onnx", "GL004", 1)]


def test_torch_is_not_needed(tmp_path: Path) -> None:
    saved(tmp_path, routed())
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    done = gradlint(tmp_path, "model.onnx", "--output-format", "json")
    assert done.found == [("model.onnx", "GL105", 1)]


def test_check_paths(tmp_path: Path) -> None:
    path = tmp_path / saved(tmp_path, routed())
    report = package.check_paths([str(path)])
    assert [finding.code for finding in report.findings] == ["GL105"]


def test_notes_are_not_shown_unless_asked_for(tmp_path: Path) -> None:
    done = gradlint(tmp_path, saved(tmp_path, classifier(node("ArgMax", "scores", "end"), end="end")))
    assert done.code == 0
    assert "GL105" not in done.out


def test_a_sub_graph_is_judged_like_any_other(tmp_path: Path) -> None:
    inner = [node("Round", "state", "rounded"), node("MatMul", "rounded v", "after")]
    body = helper.make_graph(
        [node("Identity", "go", "go_on"), *inner],
        "body",
        [value("round", dtype=TensorProto.INT64), value("go", dtype=TensorProto.BOOL), value("state", 1, 4)],
        [onnx.ValueInfoProto(name="go_on"), onnx.ValueInfoProto(name="after")],
    )
    tail = node("Loop", "count - scores", "looped", body=body)
    proto = classifier(tail, node("MatMul", "looped v", "end"), end="end",
                       more=[constant("count", 3, np.int64), weight("v", 4, 4)])  # fmt: skip
    assert findings(tmp_path, proto) == []


def test_the_way_of_a_parameter(tmp_path: Path) -> None:
    name = saved(tmp_path, routed())
    done = gradlint(tmp_path, "why", name, "first.weight")
    assert done.code == 0, done.err
    assert "model.onnx:1:4" in done.out
    assert "no gradient" in done.out
    wrong = gradlint(tmp_path, "why", name, "first.weigth")
    assert (wrong.code, "first.weight" in wrong.notes[-1]) == (2, True)
    (tmp_path / "broken.onnx").write_bytes(b"\xff")
    assert gradlint(tmp_path, "why", "broken.onnx", "w").code in (2, 3)
