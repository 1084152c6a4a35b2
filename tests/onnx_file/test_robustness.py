"""Broken and hostile files: one clear finding, never a crash, within the limits of time and memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from gradlint.config import Settings
from gradlint.errors import TargetError
from gradlint.frontends.onnx_file.loading import load
from gradlint.frontends.onnx_file.scanning import KEPT_BYTES, without_weights
from gradlint.graph_files import Readers, judge
from gradlint.judged import Judged
from tests.onnx_file.models import classifier, model, node, value, weight
from tests.onnx_file.mutants import BYTES, GRAPHS, mutants
from tests.onnx_file.test_reading import loop

LIMITS = Settings(timeout=30.0, memory=512)
SOURCES = [
    proto.SerializeToString()
    for proto in (
        classifier(),
        loop(node("Tanh", "state", "after")),
        classifier(node("Softmax", "scores", "p"), node("Log", "p", "end"), end="end"),
        classifier(node("ArgMax", "scores", "best"), node("Cast", "best", "end", to=TensorProto.FLOAT), end="end"),
    )
]
"""Files to break; nearly all of their bytes are structure once the weights are small."""


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with ExitStack() as stack:
        yield Readers(stack)


def said(judged: Judged) -> set[str]:
    return {finding.code for finding in judged.findings}


def refusal(path: Path) -> str | None:
    """Why a file is refused; None for one that is judged."""
    try:
        judge(str(path), LIMITS)
    except TargetError as error:
        return str(error)
    return None


@given(which=st.integers(0, len(SOURCES) - 1), seed=st.integers(0, 1 << 30))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutants_are_judged_or_refused_in_one_line(tmp_path: Path, which: int, seed: int) -> None:
    path = tmp_path / "mutant.onnx"
    path.write_bytes(next(mutants(SOURCES[which], seed)))
    why = refusal(path)
    assert why is None or (why and "\n" not in why)


@pytest.mark.parametrize("seed", range(10))
def test_mutants_in_the_worker(tmp_path: Path, readers: Readers, seed: int) -> None:
    path = tmp_path / "mutant.onnx"
    path.write_bytes(next(mutants(SOURCES[seed % len(SOURCES)], seed)))
    assert not {"GL004"} & said(readers.judged(str(path), LIMITS))


def test_every_way_to_mutate_changes_something() -> None:
    dice = random.Random(3)
    for way in BYTES:
        assert any(way(SOURCES[0], dice) != SOURCES[0] for _ in range(5))
    for change in GRAPHS:
        assert any(_changed(change, dice) for _ in range(20))


def _changed(change: Any, dice: random.Random) -> bool:
    proto = onnx.ModelProto()
    proto.ParseFromString(SOURCES[1])
    change(proto.graph, dice)
    return proto.SerializeToString() != SOURCES[1]


def test_names_that_are_no_text(tmp_path: Path, readers: Readers) -> None:
    data = classifier().SerializeToString().replace(b"/first/Gemm", b"/f\xff\xfest/Gemm")
    (tmp_path / "m.onnx").write_bytes(data)
    (found,) = readers.judged(str(tmp_path / "m.onnx"), LIMITS).findings
    assert (found.code, "is no text" in found.message) == ("GL001", True)


def test_names_that_a_terminal_would_obey(tmp_path: Path, readers: Readers) -> None:
    wild = "\x1b]0;owned\x07\x1b[2J\n" + "n" * 5000
    proto = classifier(
        node("Round", "scores", "r", name=wild), node("MatMul", "r w", "end"), end="end", more=[weight("w", 4, 2)]
    )
    proto.graph.initializer[0].name = proto.graph.node[0].input[1] = wild
    onnx.save(proto, tmp_path / "m.onnx")
    judged = readers.judged(str(tmp_path / "m.onnx"), LIMITS)
    (found,) = judged.findings
    assert found.code == "GL108"
    for text in (found.message, *found.parameters, *judged.models[0].starved):
        assert text.isprintable()
        assert len(text) < 600


def nested(depth: int) -> onnx.ModelProto:
    """Branches in branches."""
    graph = helper.make_graph([node("Relu", "x", "y0")], "g", [], [onnx.ValueInfoProto(name="y0")])
    for level in range(1, depth):
        inner = node("If", "flag", f"y{level}", then_branch=graph, else_branch=graph)
        graph = helper.make_graph([inner], "g", [], [onnx.ValueInfoProto(name=f"y{level}")])
    return model(list(graph.node), [value("x", 1), value("flag", dtype=TensorProto.BOOL)], [f"y{depth - 1}"])


def test_deep_branches(tmp_path: Path, readers: Readers) -> None:
    """Twelve levels are 4,096 branches; the bytes of more would not fit anywhere."""
    onnx.save(nested(12), tmp_path / "m.onnx")
    assert said(readers.judged(str(tmp_path / "m.onnx"), LIMITS)) == set()


def test_messages_in_messages(tmp_path: Path, readers: Readers) -> None:
    """A graph in an attribute of a node, a thousand times over, around something large."""
    data = b"\x12" + _sized(b"n" * (KEPT_BYTES + 1))
    for _ in range(1000):
        data = b"\x0a" + _sized(b"\x2a" + _sized(b"\x32" + _sized(data)))
    (tmp_path / "m.onnx").write_bytes(b"\x3a" + _sized(data))
    (found,) = readers.judged(str(tmp_path / "m.onnx"), LIMITS).findings
    assert (found.code, "nested more than" in found.message) == ("GL001", True)


def _sized(data: bytes) -> bytes:
    out, size = bytearray(), len(data)
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*out, size)) + data


def test_a_file_of_nothing_but_one_long_number(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 1_000_000)
    with pytest.raises(TargetError, match="no number at byte 0"):
        load(str(tmp_path / "m.onnx"))


def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(TargetError, match="cannot be read"):
        load(str(tmp_path / "folder.onnx"))


@given(sizes=st.lists(st.integers(0, 3 * KEPT_BYTES), max_size=4), count=st.integers(0, 6))
@settings(deadline=None)
def test_what_is_left_is_the_same_model(sizes: list[int], count: int) -> None:
    proto = classifier(more=[weight(f"t{n}", size) for n, size in enumerate(sizes)])
    for n in range(count):
        held = helper.make_tensor("held", TensorProto.FLOAT, [n * 300], [0.5] * n * 300)
        proto.graph.node.append(node("Constant", "", f"c{n}", value=held))
    kept = onnx.ModelProto()
    kept.ParseFromString(without_weights(memoryview(proto.SerializeToString()), 1 << 30))
    for one in (proto, kept):
        for tensor in (*one.graph.initializer, *(a.t for n in one.graph.node for a in n.attribute if a.HasField("t"))):
            if len(tensor.raw_data) + 4 * len(tensor.float_data) > KEPT_BYTES:
                tensor.ClearField("raw_data")
                tensor.ClearField("float_data")
    assert kept == proto


def test_a_structure_that_is_too_large_is_refused() -> None:
    data = memoryview(classifier().SerializeToString())
    with pytest.raises(TargetError, match="its nodes alone"):
        without_weights(data, 100)
