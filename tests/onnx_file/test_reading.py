"""What a file's graph becomes: weights, gradient facts, literals, branches, loops, functions, places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gradlint.analysis.reach import reach
from gradlint.errors import TargetError
from gradlint.frontends.onnx_file.reading import read
from gradlint.graph import ModelGraph, Node, NodeKind
from tests.onnx_file.models import FIRST, classifier, constant, model, node, value, weight


@pytest.fixture
def reading(tmp_path: Path) -> Any:
    """The graph of a model, by way of a file."""

    def graph_of(proto: onnx.ModelProto) -> ModelGraph:
        path = tmp_path / "model.onnx"
        onnx.save(proto, path)
        return next(read(str(path)).graphs())

    return graph_of


def made(graph: ModelGraph, op: str) -> Node:
    """The only node of an op."""
    (found,) = [one for one in graph.nodes if one.op == op]
    return found


def names(graph: ModelGraph) -> set[str]:
    return {parameter.name for parameter in graph.model.parameters}


def starved(graph: ModelGraph) -> set[str]:
    return set(reach(graph).starved)


def test_weights_and_inputs(reading: Any) -> None:
    graph = reading(classifier())
    assert [parameter.name for parameter in graph.model.trainable] == list(FIRST)
    assert [parameter.shape for parameter in graph.model.parameters] == [(16, 8), (16,), (4, 16), (4,)]
    assert graph.model.inputs == ("float32[batch,8]",)
    assert graph.model.capture == "onnx"
    assert graph.model.name == "model"
    assert graph.model.complete
    assert starved(graph) == set()


def test_constants_are_no_weights(reading: Any) -> None:
    nodes = [
        node("Sub", "x mean", "centred"),
        node("Conv", "centred kernel", "mapped"),
        node("Clip", "mapped low high", "cut"),
        node("Mul", "cut scale", "scaled"),
        node("Reshape", "scaled shape", "flat"),
        node("Pow", "flat two", "squared"),
    ]
    weights = [
        constant("mean", np.ones((1, 3, 1, 1))),
        weight("kernel", 4, 3, 3, 3),
        constant("low", 0.0),
        constant("high", 6.0),
        constant("scale", [2.5]),
        constant("shape", [0, -1], np.int64),
        constant("two", 2.0),
    ]
    graph = reading(model(nodes, [value("x", 1, 3, 8, 8)], ["squared"], weights))
    assert names(graph) == {"kernel"}
    assert made(graph, "relu6").literals["max"] == 6.0
    assert made(graph, "mul").literals == {"1": 2.5}
    assert made(graph, "pow").literals == {"1": 2.0}
    assert made(graph, "reshape").literals["1"] == [0, -1]


@pytest.mark.parametrize(
    ("between", "dtype"),
    [
        ([node("Transpose", "stored", "used", perm=[1, 0])], np.float32),
        ([node("Identity", "stored", "used")], np.float32),
        ([node("Cast", "stored", "used", to=TensorProto.FLOAT)], np.float16),
        ([node("Mul", "stored two", "doubled"), node("Transpose", "doubled", "used", perm=[1, 0])], np.float32),
    ],
)
def test_weights_behind_what_is_computed_from_constants(reading: Any, between: list[Any], dtype: Any) -> None:
    nodes = [*between, node("MatMul", "x used", "y")]
    weights = [weight("stored", 8, 8, dtype=dtype), constant("two", 2.0)]
    graph = reading(model(nodes, [value("x", 1, 8)], ["y"], weights))
    assert names(graph) == {"stored"}
    assert starved(graph) == set()


def test_weights_in_constant_nodes(reading: Any) -> None:
    held = helper.make_tensor("held", TensorProto.FLOAT, [8, 8], np.ones(64, np.float32))
    nodes = [node("Constant", "", "w", value=held), node("MatMul", "x w", "y")]
    assert names(reading(model(nodes, [value("x", 1, 8)], ["y"]))) == {"w"}


def test_quantised_weights_are_stored_and_not_trained(reading: Any) -> None:
    nodes = [node("DequantizeLinear", "stored scale zero", "w"), node("MatMul", "x w", "y")]
    weights = [weight("stored", 8, 8, dtype=np.int8), constant("scale", 0.1), constant("zero", 0, np.int8)]
    graph = reading(model(nodes, [value("x", 1, 8)], ["y"], weights))
    assert [(p.name, p.trainable) for p in graph.model.parameters] == [("stored", False)]


def test_bias_and_scale_behind_a_weight(reading: Any) -> None:
    nodes = [node("MatMul", "x w", "m"), node("Add", "m b", "a"), node("Mul", "a g", "y")]
    weights = [weight("w", 8, 8), weight("b", 8), weight("g", 8)]
    assert names(reading(model(nodes, [value("x", 1, 8)], ["y"], weights))) == {"w", "b", "g"}


@pytest.mark.parametrize(
    ("tail", "lost"),
    [
        ([node("ArgMax", "scores", "end", axis=1)], FIRST),
        ([node("Round", "scores", "end")], FIRST),
        ([node("Greater", "scores limit", "flag"), node("Cast", "flag", "end", to=TensorProto.FLOAT)], FIRST),
        ([node("Cast", "scores", "whole", to=TensorProto.INT64), node("Neg", "whole", "end")], FIRST),
        ([node("TopK", "scores two", "end indices", axis=1)], ()),
        ([node("TopK", "scores two", "values end", axis=1)], FIRST),
        ([node("Softmax", "scores", "end", axis=1)], ()),
        ([node("Shape", "scores", "end")], FIRST),
    ],
)
def test_what_reaches_the_end(reading: Any, tail: list[Any], lost: tuple[str, ...]) -> None:
    more = [constant("limit", 0.5), constant("two", [2], np.int64)]
    assert starved(reading(classifier(*tail, end="end", more=more))) == set(lost)


def test_types_follow_the_schemas(reading: Any) -> None:
    graph = reading(classifier(node("ArgMax", "scores", "best"), node("Cast", "best", "end", to=10), end="end"))
    assert made(graph, "argmax").dtype == "int64"
    assert made(graph, "to").dtype == "float16"
    assert made(graph, "relu").dtype == "float32"


def test_both_branches_count(reading: Any) -> None:
    def branch(name: str) -> onnx.GraphProto:
        inner = node("MatMul", f"x {name}", f"{name}_out")
        return helper.make_graph([inner], name, [], [onnx.ValueInfoProto(name=f"{name}_out")], [weight(name, 8, 8)])

    nodes = [node("If", "flag", "y", then_branch=branch("yes"), else_branch=branch("no"))]
    graph = reading(model(nodes, [value("x", 1, 8), value("flag", dtype=TensorProto.BOOL)], ["y"]))
    assert names(graph) == {"yes", "no"}
    assert starved(graph) == set()


def loop(*inner: onnx.NodeProto) -> onnx.ModelProto:
    """A loop whose state goes through some nodes, from `state` to `after`."""
    inputs = [
        value("round", dtype=TensorProto.INT64),
        value("go", dtype=TensorProto.BOOL),
        value("state", 1, 8),
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in ("go_on", "after", "each")]
    body = helper.make_graph(
        [node("Identity", "go", "go_on"), *inner, node("Identity", "after", "each")], "body", inputs, outputs
    )
    nodes = [
        node("MatMul", "x w", "start"),
        node("Loop", "count - start", "last all", body=body),
        node("MatMul", "last v", "one"),
        node("ReduceSum", "all", "two"),
        node("Add", "one two", "y"),
    ]
    return model(
        nodes, [value("x", 1, 8)], ["y"], [weight("w", 8, 8), weight("v", 8, 8), constant("count", 3, np.int64)]
    )


def test_a_loop_passes_its_state(reading: Any) -> None:
    assert starved(reading(loop(node("Tanh", "state", "after")))) == set()


def test_a_scan_passes_state_and_slices(reading: Any) -> None:
    body = helper.make_graph(
        [node("MatMul", "item w", "mapped"), node("Add", "mapped state", "after"), node("Round", "mapped", "each")],
        "body",
        [value("state", 8), value("item", 8)],
        [onnx.ValueInfoProto(name="after"), onnx.ValueInfoProto(name="each")],
    )
    nodes = [node("Scan", "zero x", "last all", body=body, num_scan_inputs=1)]
    weights = [weight("w", 8, 8), constant("zero", np.zeros(8))]
    assert starved(reading(model(nodes, [value("x", 3, 8)], ["last"], weights))) == set()
    assert starved(reading(model(nodes, [value("x", 3, 8)], ["all"], weights))) == {"w"}


def function(*nodes: onnx.NodeProto, attributes: tuple[str, ...] = ()) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    return helper.make_function("own", "Step", ["a"], ["b"], list(nodes), imports, list(attributes))


def test_functions_are_written_out(reading: Any) -> None:
    cast = node("Cast", "a", "b")
    cast.attribute.add(name="to", ref_attr_name="kind", type=onnx.AttributeProto.INT)
    for kind, lost in ((TensorProto.FLOAT16, set()), (TensorProto.INT32, set(FIRST))):
        tail = node("Step", "scores", "end", domain="own", kind=kind)
        proto = classifier(tail, end="end")
        proto.functions.append(function(cast, attributes=("kind",)))
        graph = reading(proto)
        assert graph.model.complete
        assert starved(graph) == lost


def test_a_foreign_operator_is_opaque(reading: Any) -> None:
    graph = reading(classifier(node("Mystery", "scores", "end", domain="somebody"), end="end"))
    assert not graph.model.complete
    assert made(graph, "somebody.Mystery").kind is NodeKind.OPAQUE
    assert starved(graph) == set()


def test_nodes_in_any_order(reading: Any) -> None:
    proto = classifier()
    turned = list(reversed(proto.graph.node))
    del proto.graph.node[:]
    proto.graph.node.extend(turned)
    graph = reading(proto)
    assert [one.native for one in graph.nodes if one.kind is NodeKind.OP] == ["onnx::Gemm", "onnx::Relu", "onnx::Gemm"]


def test_sequences_and_optionals_pass_gradients(reading: Any) -> None:
    tail = [
        node("SequenceConstruct", "scores scores", "several"),
        node("SequenceAt", "several first", "one"),
        node("Optional", "one", "maybe"),
        node("OptionalGetElement", "maybe", "end"),
    ]
    assert starved(reading(classifier(*tail, end="end", more=[constant("first", 0, np.int64)]))) == set()


def test_a_missing_input_keeps_the_places_of_the_others(reading: Any) -> None:
    tail = node("Clip", "scores - high", "end")
    graph = reading(classifier(tail, end="end", more=[constant("high", 3.0)]))
    assert made(graph, "clamp").literals == {"2": 3.0, "max": 3.0}


def test_metadata_name_module_model_and_source(reading: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text("class Net:\n    def forward(self, x):\n        return x.argmax(-1)\n")
    monkeypatch.chdir(tmp_path)
    proto = classifier(node("ArgMax", "scores", "end", name="node_argmax"), end="end")
    told = {
        "pkg.torch.onnx.stack_trace": f'File "{tmp_path}/net.py", line 3, in forward\n    return x.argmax(-1)\n'
        f'  File "/elsewhere/site-packages/torch/functional.py", line 9, in argmax',
        "pkg.torch.onnx.name_scopes": "['', 'head', 'argmax']",
        "pkg.torch.onnx.class_hierarchy": "['__main__.Net', 'aten.argmax.default']",
    }
    for key, text in told.items():
        proto.graph.node[-1].metadata_props.add(key=key, value=text)
    graph = reading(proto)
    place = made(graph, "argmax").at
    assert place is not None
    assert (place.path, place.line, place.column, place.end_column) == ("net.py", 3, 9, 28)
    assert made(graph, "argmax").module == "head"
    assert graph.model.name == "Net"


def test_sources_elsewhere_are_not_looked_at(reading: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.py").write_text("a secret\n")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in (f"{tmp_path}/secret.py", "../secret.py", "/etc/passwd"):
        proto = classifier(node("ArgMax", "scores", "end"), end="end")
        proto.graph.node[-1].metadata_props.add(
            key="pkg.torch.onnx.stack_trace", value=f'File "{name}", line 1, in forward'
        )
        place = made(reading(proto), "argmax").at
        assert place is not None
        assert place.path.endswith("model.onnx")


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (model([node("Relu", "b", "a"), node("Relu", "a", "b")], [], ["b"]), "its own result"),
        (model([node("Relu", "nothing", "y")], [], ["y"]), "reads `nothing`, which nothing makes"),
        (model([node("Relu", "x", "y")], [value("x", 1)], ["z"]), "returns `z`, which nothing makes"),
        (model([node("Relu", "x", "y"), node("Abs", "x", "y")], [value("x", 1)], ["y"]), "`y` is made twice"),
        (model([node("If", "x", "y")], [value("x", 1)], ["y"]), "has no graph `then_branch`"),
        (
            model([node("Step", "x", "y", domain="own")], [value("x", 1)], ["y"], domains=[("own", 1)],
                  functions=[function(node("Step", "a", "b", domain="own"))]),
            "60 deep",
        ),
    ],
)  # fmt: skip
def test_graphs_that_are_none(reading: Any, proto: onnx.ModelProto, words: str) -> None:
    with pytest.raises(TargetError) as error:
        reading(proto)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_functions_that_grow_without_end(reading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradlint.frontends.onnx_file.values.MOST_NODES", 1000)
    functions = []
    for level in range(20):
        inner = f"F{level + 1}" if level < 19 else "Relu"
        domain = "own" if level < 19 else ""
        nodes = [node(inner, "a", "h", domain=domain), node(inner, "h", "b", domain=domain)]
        imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"F{level}", ["a"], ["b"], nodes, imports))
    proto = model([node("F0", "x", "y", domain="own")], [value("x", 1)], ["y"], functions=functions)
    with pytest.raises(TargetError, match="more than 1000 values"):
        reading(proto)


@pytest.mark.parametrize("dims", [[-1, 8], [1 << 40, 1 << 40]])
def test_sizes_that_no_tensor_has(reading: Any, dims: list[int]) -> None:
    proto = classifier()
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend(dims)
    with pytest.raises(TargetError, match="sizes that no tensor has"):
        reading(proto)


def test_large_tensors_are_not_loaded(tmp_path: Path) -> None:
    proto = classifier()
    proto.graph.initializer.append(weight("table", 2000, 500))
    path = tmp_path / "large.onnx"
    onnx.save(proto, path)
    from gradlint.frontends.onnx_file.loading import load

    kept = load(str(path))
    assert kept.ByteSize() < 4000
    assert list(kept.graph.initializer[-1].dims) == [2000, 500]
    assert [one.op_type for one in kept.graph.node] == ["Gemm", "Relu", "Gemm"]


def test_external_data_stay_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(classifier(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    graph = next(read(str(path)).graphs())
    assert names(graph) == set(FIRST)


def test_weights_behind_inputs_that_are_left_out(reading: Any) -> None:
    nodes = [node("LSTM", "x w r - - start", "y", hidden_size=4)]
    weights = [weight("w", 1, 16, 8), weight("r", 1, 16, 4), weight("start", 1, 1, 4)]
    assert names(reading(model(nodes, [value("x", 3, 1, 8)], ["y"], weights))) == {"w", "r"}


def test_weights_of_a_network_over_constants(reading: Any) -> None:
    nodes = [
        node("MatMul", "coordinates w", "mapped"),
        node("Relu", "mapped", "bias"),
        node("MatMul", "x v", "y0"),
        node("Add", "y0 bias", "y"),
    ]
    weights = [weight("coordinates", 8, 2), weight("w", 2, 8), weight("v", 8, 8)]
    assert names(reading(model(nodes, [value("x", 8, 8)], ["y"], weights))) == {"w", "v"}


def test_shapes_are_inferred_where_none_are_told(reading: Any) -> None:
    assert made(reading(classifier()), "relu").shape is None
    fixed = classifier()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 5
    assert made(reading(fixed), "relu").shape == (5, 16)


@pytest.mark.parametrize(("told", "training"), [({}, False), ({"training_mode": 1}, True)])
def test_the_mode_of_a_batch_norm(reading: Any, told: dict[str, int], training: bool) -> None:
    more = [weight(name, 4) for name in ("scale", "shift", "mean", "var")]
    tail = node("BatchNormalization", "scores scale shift mean var", "end", **told)
    graph = reading(classifier(tail, end="end", more=more))
    assert made(graph, "batch_norm").literals["training"] is training
    assert names(graph) == {*FIRST, "scale", "shift"}


def test_a_dropout_that_is_left_in_is_off(reading: Any) -> None:
    assert (
        made(reading(classifier(node("Dropout", "scores", "end"), end="end")), "dropout").literals["training"] is False
    )
    on = [constant("p", 0.5), constant("on", True, np.bool_)]
    graph = reading(classifier(node("Dropout", "scores p on", "end"), end="end", more=on))
    assert (made(graph, "dropout").literals["training"], made(graph, "dropout").literals["p"]) == (True, 0.5)
