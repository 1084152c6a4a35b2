"""The op facts as data and as an interface: names are found however they are spelt, wrong data are refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gradlint.errors import InternalError
from gradlint.ops import FRAMEWORKS, Kind, OpFacts, build, facts, lookup, parse, table

DATA = sorted((Path(__file__).parent.parent / "gradlint" / "ops").glob("*.toml"))
OPS = st.sampled_from(sorted(table().values(), key=lambda op: op.name))
POSITIONS = st.integers(0, 5) | st.sampled_from(["index", "weight", "target"])


def op(**fields: object) -> OpFacts:
    return OpFacts.model_validate({"name": "op", "kind": "other"} | fields)


@pytest.mark.parametrize(
    ("native", "name"),
    [
        ("relu", "relu"),
        ("relu_", "relu"),
        ("ReLU", "relu"),
        ("torch.nn.functional.relu", "relu"),
        ("aten::relu_", "relu"),
        ("torch.ops.aten.relu_.default", "relu"),
        ("aten.add.Tensor", "add"),
        ("__add__", "add"),
        ("__iadd__", "add"),
        ("__rsub__", "sub"),
        ("__rfloordiv__", "floor_divide"),
        ("requires_grad_", "requires_grad"),
        ("torch.Tensor.__array__", "numpy"),
        ("torch.norm", "norm"),
        ("torch.linalg.norm", "linalg_norm"),
        ("linalg_norm", "linalg_norm"),
        ("torch.linalg.inv", "inverse"),
        ("torch.fft.fft", "fft_fft"),
        ("torch.special.expit", "sigmoid"),
        ("_native_batch_norm", "native_batch_norm"),
        ("scaled_dot_product_attention", "scaled_dot_product_attention"),
        ("nn.Conv2d", "conv2d"),
    ],
)
def test_torch_spellings(native: str, name: str) -> None:
    found = lookup("torch", native)
    assert found is not None
    assert found.name == name
    assert facts(name) is found


@pytest.mark.parametrize(
    ("framework", "native", "name"),
    [
        ("keras", "keras.ops.argmax", "argmax"),
        ("keras", "layers.Dense", "linear"),
        ("tensorflow", "tf.math.reduce_sum", "sum"),
        ("tensorflow", "tf.keras.layers.Dense", "linear"),
        ("tensorflow", "tf.stop_gradient", "stop_gradient"),
        ("jittor", "jt.nn.relu", "relu"),
        ("jittor", "stop_grad", "stop_gradient"),
        ("onnx", "ArgMax", "argmax"),
        ("onnx", "Gemm", "linear"),
    ],
)
def test_other_frameworks(framework: str, native: str, name: str) -> None:
    found = lookup(framework, native)
    assert found is not None
    assert found.name == name


def test_unknown_names_have_no_facts() -> None:
    assert facts("no_such_op") is None
    assert lookup("torch", "no_such_op") is None
    assert lookup("torch", "") is None
    assert lookup("onnx", "relu") is None


def test_unknown_frameworks_are_a_key_error() -> None:
    with pytest.raises(KeyError):
        lookup("caffe", "relu")


@given(OPS)
def test_every_listed_name_finds_its_op(op: OpFacts) -> None:
    for framework in FRAMEWORKS:
        for native in op.native(framework):
            assert lookup(framework, native) is op
            assert lookup(framework, f"some.package.{native}") is not None


@given(OPS, POSITIONS, st.integers(0, 3))
def test_an_op_off_the_graph_never_passes_gradient(op: OpFacts, source: int | str, output: int) -> None:
    flow = op.flow(source, output)
    assert op.differentiable or flow == "blocked"
    assert output not in op.nondifferentiable_outputs or flow == "blocked"
    assert source not in op.nondifferentiable_inputs or flow == "blocked"
    assert not op.zero or flow in ("zero", "blocked")


@given(OPS)
def test_some_pair_of_a_differentiable_op_is_on_the_graph(op: OpFacts) -> None:
    flows = {op.flow(source, output) for source in range(5) for output in range(5)}
    assert (flows == {"blocked"}) == (not op.differentiable)


def test_flow_of_the_ops_that_users_stumble_on() -> None:
    table_of_flows = {
        ("topk", 0, 0): "flows",
        ("topk", 0, 1): "blocked",
        ("gather", 0, 0): "flows",
        ("gather", 2, 0): "blocked",
        ("argmax", 0, 0): "blocked",
        ("round", 0, 0): "zero",
        ("floor_divide", 0, 0): "raises",
        ("copysign", 1, 0): "zero",
        ("cosine_embedding_loss", "target", 0): "blocked",
        ("igamma", "input", 0): "raises",
        ("meshgrid", 0, 0): "flows",
        ("meshgrid", 0, 1): "blocked",
        ("frac", 0, 0): "flows",
    }
    assert {key: table()[key[0]].flow(*key[1:]) for key in table_of_flows} == table_of_flows


def test_rounding_mode_makes_the_gradient_of_a_division_zero() -> None:
    assert table()["div"].flow(0, 0) == "flows"
    assert table()["div"].flow(0, 0, given=["rounding_mode"]) == "zero"


@pytest.mark.parametrize(
    ("native", "escape"),
    [
        ("detach", "detach"),
        ("data", "detach"),
        ("numpy", "numpy"),
        ("item", "scalar"),
        ("tolist", "scalar"),
        ("__float__", "scalar"),
        ("__int__", "scalar"),
        ("torch.tensor", "rewrap"),
        ("from_numpy", "rewrap"),
        ("long", "cast"),
        ("clone", ""),
    ],
)
def test_escapes(native: str, escape: str) -> None:
    found = lookup("torch", native)
    assert found is not None
    assert found.escape == escape
    assert found.differentiable == (escape == "")


def test_facts_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        table()["relu"] = op()  # type: ignore[index]
    with pytest.raises(ValidationError):
        table()["relu"].zero = True  # type: ignore[misc]


def test_an_infinite_bound_is_none() -> None:
    (softplus,) = parse("activation", "[softplus]\nrange = [0.0, inf]\npositive = true")
    assert softplus.range == (0.0, None)


def test_the_torch_name_is_the_canonical_one_unless_it_is_given() -> None:
    same, other, none = parse("other", '[a]\n[b]\ntorch = ["c"]\n[d]\ntorch = []')
    assert (same.torch, other.torch, none.torch) == (("a",), ("c",), ())


@pytest.mark.parametrize(
    "text",
    [
        "[relu]\nrnage = [0.0, 1.0]",
        "[relu]\ntorch = 3",
        '[relu]\ntorch = ["nn.relu"]',
        '[relu]\nescape = "gone"',
        "[relu]\nnondifferentiable_inputs = [-1]",
        "[relu]\nderivative_bound = -1.0",
        "[relu]\nrange = [1.0, 0.0]",
        "[relu]\nrange = [-1.0, 1.0]\npositive = true",
        "[relu]\ndifferentiable = false\nzero = true",
        "[relu]\ndifferentiable = false\nraises = true",
        "[relu]\n[relu]",
        "relu = 1",
        "[relu",
    ],
)
def test_wrong_data_are_refused(text: str) -> None:
    with pytest.raises(InternalError, match=r"activation\.toml"):
        parse("activation", text)


def test_a_file_that_is_no_kind_is_refused() -> None:
    with pytest.raises(InternalError, match=r"surprise\.toml"):
        parse("surprise", "[relu]")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_ops_cannot_share_a_name(framework: str) -> None:
    ops = [op(name="first", **{framework: ["same"]}), op(name="second", **{framework: ["same"]})]
    with pytest.raises(InternalError, match="first and second"):
        build(ops)


def test_two_ops_cannot_share_a_canonical_name() -> None:
    with pytest.raises(InternalError, match="two op facts are named"):
        build([op(), op()])


def test_every_kind_has_its_file() -> None:
    assert {file.stem for file in DATA} == {str(kind) for kind in Kind}


@pytest.mark.parametrize("file", DATA, ids=lambda file: file.stem)
def test_data_are_sorted_and_hold_no_default(file: Path) -> None:
    entries = tomllib.loads(file.read_text(encoding="utf-8"))
    assert list(entries) == sorted(entries, key=lambda name: (name.strip("_").lower(), name))
    for name, entry in entries.items():
        read = {field: getattr(table()[name], field) for field in entry if field != "torch"}
        assert not [field for field, value in read.items() if value == OpFacts.model_fields[field].default]
        assert tuple(entry.get("torch", ())) != (name,)
