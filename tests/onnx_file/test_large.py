"""Models of more than 2 GiB, which protobuf cannot parse: files with holes, so that they take no room on the disk."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from gradlint.config import Settings
from gradlint.frontends.onnx_file.moments import moments
from gradlint.graph_files import judge
from tests.onnx_file.models import classifier

ROWS, COLUMNS = 16, 40_000_000
SIZE = ROWS * COLUMNS * 4
"""Bytes of the weight: 2.4 GiB."""

MOST_MIB = 300
"""What reading may add to this process, whatever the weights take."""

LENGTH_DELIMITED = 2

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files with holes are the file system's to offer")


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, size: int) -> bytes:
    """The head of a field of some bytes."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(size)


def with_hole(path: Path) -> None:
    """A classifier whose first weight stands in the file, all zeros."""
    proto = classifier()
    del proto.graph.initializer[0]
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    tensor = TensorProto(name="first.weight", dims=[ROWS, COLUMNS], data_type=TensorProto.FLOAT).SerializeToString()
    tensor += field(9, SIZE)
    inner = field(5, len(tensor) + SIZE) + tensor
    with open(path, "wb") as file:
        file.write(proto.SerializeToString() + field(7, len(graph) + len(inner) + SIZE) + graph + inner)
        file.truncate(file.tell() + SIZE)


def resident() -> float:
    """The largest resident set so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


def test_weights_in_the_file(tmp_path: Path) -> None:
    with_hole(tmp_path / "large.onnx")
    assert (tmp_path / "large.onnx").stat().st_size > 2 << 30
    before = resident()
    (told,) = judge(str(tmp_path / "large.onnx"), Settings()).models
    assert (told.parameters, told.elements) == (4, ROWS * COLUMNS + 4 * 16 + 16 + 4)
    assert resident() - before < MOST_MIB


def test_weights_beside_the_file(tmp_path: Path) -> None:
    proto = classifier()
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.dims[:] = [ROWS, COLUMNS]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    onnx.save(proto, tmp_path / "large.onnx")
    with open(tmp_path / "weights.bin", "wb") as file:
        file.truncate(SIZE)
    before = resident()
    (told,) = judge(str(tmp_path / "large.onnx"), Settings()).models
    assert told.parameters == 4
    assert resident() - before < MOST_MIB


@pytest.mark.slow
def test_moments_of_a_weight_of_more_than_two_gibibytes(tmp_path: Path) -> None:
    with_hole(tmp_path / "large.onnx")
    found = moments(str(tmp_path / "large.onnx"), "first.weight")
    assert found.constant
    assert (found.elements, found.mean) == (ROWS * COLUMNS, 0)
