"""Files that can be read and not be run: operators that there are not, shapes and types that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gradlint.frontends.onnx_file.reading import read
from gradlint.recording import Fault
from tests.command import gradlint
from tests.onnx_file.models import classifier, constant, model, node, value, weight


def faults(folder: Path, proto: onnx.ModelProto) -> list[Fault]:
    path = folder / "model.onnx"
    onnx.save(proto, path)
    return list(read(str(path)).faults)


def told(proto: onnx.ModelProto, name: str, *shape: int) -> onnx.ModelProto:
    """A model that says something of one of its values."""
    proto.graph.value_info.append(value(name, *shape))
    return proto


def with_function(tail: onnx.NodeProto) -> onnx.ModelProto:
    """A model with a function of its author's, which multiplies."""
    proto = classifier(tail, end="end", more=[weight("seven", 7, 6), weight("four", 4, 6)])
    own = helper.make_function("mine", "Times", ["a", "b"], ["c"], [node("MatMul", "a b", "c")],
                               [helper.make_opsetid("", 20)])  # fmt: skip
    proto.functions.append(own)
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    return proto


def test_an_operator_that_there_is_not(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, classifier(node("Reluu", "scores", "end", name="/odd"), end="end"))
    assert found.number == 4
    assert found.why == "cannot be run: opset 20 of ONNX has no operator `Reluu` (/odd)"
    assert 'did you mean "Relu"?' in found.remedy


@pytest.mark.parametrize(
    ("op_type", "opset", "remedy"),
    [("Gelu", 17, "came with version 20"), ("Upsample", 13, "taken out with version 10")],
)
def test_an_operator_of_another_version(tmp_path: Path, op_type: str, opset: int, remedy: str) -> None:
    proto = model([node(op_type, "x", "y")], [value("x", 1, 8)], ["y"], opset=opset)
    (found,) = faults(tmp_path, proto)
    assert f"opset {opset} of ONNX has no operator `{op_type}` (y)" in found.why
    assert remedy in found.remedy


def test_one_operator_is_told_of_once(tmp_path: Path) -> None:
    tail = [node("Mystery", "scores", "one"), node("Mystery", "one", "end"), node("Riddle", "one", "other")]
    assert [one.number for one in faults(tmp_path, classifier(*tail, end="end"))] == [4, 6]


@pytest.mark.parametrize(
    ("domain", "op_type", "opset"),
    [
        ("com.example", "Mystery", 20),
        ("com.microsoft", "FusedGelu", 20),
        ("", "Mystery", 9999),
        ("", "EfficientNMS_TRT", 17),
        ("", "ImageScaler", 7),
        ("ai.onnx.ml", "Normalizer", 20),
        ("", "GroupNormalization", 18),
    ],
)
def test_operators_that_somebody_has(tmp_path: Path, domain: str, op_type: str, opset: int) -> None:
    imported = [(domain, 1)] if domain else []
    proto = classifier(node(op_type, "scores", "end", domain=domain), end="end")
    proto.opset_import[0].version = opset
    proto.opset_import.extend(helper.make_opsetid(*one) for one in imported)
    assert [one for one in faults(tmp_path, proto) if "no operator" in one.why] == []


def test_types_that_runtimes_take_beyond_the_standard(tmp_path: Path) -> None:
    proto = model([node("Equal", "x x", "y")], [value("x", 2, 3)], ["y"], opset=7)
    assert faults(tmp_path, proto) == []


@pytest.mark.parametrize(
    ("tail", "other", "why"),
    [
        (
            node("MatMul", "scores other", "end"),
            weight("other", 7, 6),
            "`MatMul` (end) of float32[batch, 4], float32[7",
        ),
        (node("Add", "scores other", "end"), weight("other", 7), "incompatible dimensions"),
        (node("Add", "scores other", "end"), weight("other", 4, dtype=np.int64), "inconsistent type tensor(int64)"),
        (node("Concat", "scores other", "end", axis=0), weight("other", 7, 3), "Inferred=3 Declared=4"),
        (node("Transpose", "scores", "end", perm=[0, 1, 2]), weight("other", 1), "perm"),
        (node("BatchNormalization", "scores other other other other", "end"), weight("other", 7), "between 7 and 4"),
    ],
)
def test_operands_that_do_not_fit(tmp_path: Path, tail: onnx.NodeProto, other: onnx.TensorProto, why: str) -> None:
    (found,) = faults(tmp_path, classifier(tail, end="end", more=[other]))
    assert found.number == 4
    assert found.why.startswith("cannot be run: ")
    assert why in found.why


def test_what_follows_from_a_fault_is_none_of_its_own(tmp_path: Path) -> None:
    tail = [
        node("MatMul", "scores seven", "one", name="first"),
        node("Conv", "one seven", "two"),
        node("Relu", "two", "end"),
        node("MatMul", "scores five", "three", name="second"),
    ]
    found = faults(tmp_path, classifier(*tail, end="end", more=[weight("seven", 7, 6), weight("five", 5, 6)]))
    assert [one.number for one in found] == [4, 7]


def test_a_file_that_contradicts_itself(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, told(classifier(), "hidden", 3, 17))
    assert found.number == 1
    assert "contradicts itself" in found.why
    assert "dimension 1 is 16, and it says 17" in found.why


def test_inside_of_functions_and_branches(tmp_path: Path) -> None:
    def branch(op_type: str, inputs: str) -> onnx.GraphProto:
        return helper.make_graph([node(op_type, inputs, "out")], op_type, [], [onnx.ValueInfoProto(name="out")])

    choice = node(
        "If", "yes", "end", then_branch=branch("MatMul", "scores seven"), else_branch=branch("Relu", "scores")
    )
    proto = classifier(choice, end="end", more=[weight("seven", 7, 6), constant("yes", True, np.bool_)])
    (in_branch,) = faults(tmp_path, proto)
    (in_function,) = faults(tmp_path, with_function(node("Times", "scores seven", "end", domain="mine")))
    assert faults(tmp_path, with_function(node("Times", "scores four", "end", domain="mine"))) == []
    assert "incompatible dimensions" in in_branch.why
    assert "incompatible dimensions" in in_function.why


def test_bodies_of_the_standard_s_own_operators_are_no_fault_of_the_file(tmp_path: Path) -> None:
    proto = model([node("MeanVarianceNormalization", "x", "y")], [value("x", 3, 3, 3, 1)], ["y"], opset=13)
    assert faults(tmp_path, proto) == []


def test_sound_models(tmp_path: Path) -> None:
    casts = [node("Cast", "scores", "whole", to=TensorProto.INT64), node("Gather", "table whole", "end")]
    assert faults(tmp_path, classifier()) == []
    assert faults(tmp_path, classifier(*casts, end="end", more=[weight("table", 9, 2)])) == []
    assert faults(tmp_path, told(classifier(), "hidden", 3, 16)) == []


def test_the_command_names_the_node_and_goes_on(tmp_path: Path) -> None:
    tail = [
        node("Round", "scores", "whole", name="/round"),
        node("MatMul", "whole last", "rest", name="/last"),
        node("Mystery", "rest", "end", name="/odd"),
    ]
    onnx.save(classifier(*tail, end="end", more=[weight("last", 4, 2)]), tmp_path / "model.onnx")
    done = gradlint(tmp_path, "model.onnx", "--output-format", "json")
    assert done.code == 1
    assert {(one["code"], one["severity"], one["column"]) for one in done.report["findings"]} >= {
        ("GL003", "warning", 6),
    }
    (found,) = [one for one in done.report["findings"] if one["code"] == "GL003"]
    assert found["message"].startswith("`model.onnx` cannot be run: ")
    assert found["message"].count("/odd") == 1
    assert done.report["models"][0]["parameters"] == 5
