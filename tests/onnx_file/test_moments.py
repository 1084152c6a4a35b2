"""The moments of initialisers: right for every way to store them, and nothing outside of the model's folder is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file import tensors as storage
from gradlint.frontends.onnx_file.moments import Moments, Scale, fans, moments
from tests.onnx_file.models import model, node, value

RANDOM = np.random.default_rng(0)


def saved(path: Path, *tensors: onnx.TensorProto, **options: Any) -> str:
    onnx.save(model([node("Relu", "x", "y")], [value("x", 1)], ["y"], tensors), path, **options)
    return str(path)


def expect(found: Moments, values: np.ndarray[Any, Any]) -> None:
    exact = values.astype(np.float64)
    assert found.shape == values.shape
    assert found.elements == values.size
    assert found.mean == pytest.approx(exact.mean(), abs=1e-9)
    assert found.deviation == pytest.approx(exact.std(), rel=1e-9)
    assert (found.least, found.most) == (exact.min(), exact.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, np.uint8, np.int32, np.int64])
def test_every_way_to_write_numbers(tmp_path: Path, dtype: Any) -> None:
    values = (RANDOM.normal(3, 20, (40, 60)) % 120).astype(dtype)
    raw = numpy_helper.from_array(values, "raw")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    listed = helper.make_tensor("listed", kind, values.shape, values.reshape(-1))
    path = saved(tmp_path / "m.onnx", raw, listed)
    for name in ("raw", "listed"):
        expect(moments(path, name), values)


def test_bfloat16(tmp_path: Path) -> None:
    values = RANDOM.normal(0, 1, (30, 50)).astype(np.float32)
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    tensor = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=values.shape, raw_data=upper.tobytes())
    expect(moments(saved(tmp_path / "m.onnx", tensor), "w"), (upper.astype(np.uint32) << 16).view(np.float32))


def test_more_than_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "CHUNK", 1000)
    values = (RANDOM.normal(0, 1, 4321) + np.linspace(0, 50, 4321)).astype(np.float32)
    expect(moments(saved(tmp_path / "m.onnx", numpy_helper.from_array(values, "w")), "w"), values)


def test_constants_and_what_is_not_finite(tmp_path: Path) -> None:
    mask = np.array([[0, -np.inf], [np.nan, 0]], np.float32)
    tensors = (np.full((4, 4), 0.5, np.float32), mask, np.zeros((0, 3), np.float32))
    path = saved(tmp_path / "m.onnx", *(numpy_helper.from_array(one, f"t{n}") for n, one in enumerate(tensors)))
    assert moments(path, "t0").constant
    assert (moments(path, "t1").infinite, moments(path, "t1").constant, moments(path, "t1").most) == (2, False, 0)
    assert moments(path, "t2").elements == 0


@given(
    shape=st.sampled_from([(64, 32), (256, 100), (32, 16, 3, 3), (100, 1000)]),
    scale=st.sampled_from(list(Scale)),
    uniform=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_scales_are_recognised(shape: tuple[int, ...], scale: Scale, uniform: bool, seed: int) -> None:
    fan_in, fan_out = fans(shape)
    deviation = {
        Scale.XAVIER: (2 / (fan_in + fan_out)) ** 0.5,
        Scale.HE: (2 / fan_in) ** 0.5,
        Scale.LECUN: (1 / fan_in) ** 0.5,
        Scale.TORCH: (1 / (3 * fan_in)) ** 0.5,
    }
    dice = np.random.default_rng(seed)
    drawn = dice.uniform(-(3**0.5), 3**0.5, shape) if uniform else dice.normal(0, 1, shape)
    drawn = (drawn - drawn.mean()) / drawn.std() * deviation[scale]
    found = Moments(shape, drawn.size, 0.0, float(drawn.std()), float(drawn.min()), float(drawn.max()), 0)
    assert found.scale() is scale or deviation[scale] == pytest.approx(deviation[found.scale() or scale], rel=0.05)


def test_other_scales_are_not() -> None:
    assert Moments((64, 64), 4096, 0.0, 1.0, -3.0, 3.0, 0).scale() is None
    assert Moments((64, 64), 4096, 0.1, (2 / 64) ** 0.5, -3.0, 3.0, 0).scale() is None
    assert Moments((64,), 64, 0.0, 0.1, -1.0, 1.0, 0).scale() is None


def test_external_data(tmp_path: Path) -> None:
    values = RANDOM.normal(0, 1, (50, 70)).astype(np.float32)
    tensors = [numpy_helper.from_array(values + n, f"w{n}") for n in range(3)]
    path = saved(tmp_path / "m.onnx", *tensors, save_as_external_data=True, location="data.bin", size_threshold=0)
    for n in range(3):
        expect(moments(path, f"w{n}"), values + n)


def outside(location: str, **more: str) -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=text)
    return tensor


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "inner/../../secret.bin", "link.bin", "", "."])
def test_data_outside_of_the_folder_are_not_read(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    os.symlink(tmp_path / "secret.bin", folder / "link.bin")
    path = saved(folder / "m.onnx", outside(location))
    with pytest.raises(TargetError, match="external data"):
        moments(path, "w")


@pytest.mark.parametrize("more", [{"offset": "8"}, {"length": "99999"}, {"offset": "-4"}, {"offset": "1e3"}])
def test_places_that_are_none(tmp_path: Path, more: dict[str, str]) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(16))
    with pytest.raises(TargetError, match="the tensor `w`"):
        moments(saved(tmp_path / "m.onnx", outside("data.bin", **more)), "w")


def test_tensors_that_are_not_what_they_say(tmp_path: Path) -> None:
    short = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1000, 1000], raw_data=bytes(4000))
    huge = TensorProto(name="v", data_type=TensorProto.FLOAT, dims=[1 << 40], raw_data=bytes(4000))
    path = saved(tmp_path / "m.onnx", short, huge)
    with pytest.raises(TargetError, match="cut off"):
        moments(path, "w")
    with pytest.raises(TargetError, match="larger than 4 GiB"):
        moments(path, "v")
    with pytest.raises(TargetError, match="no initialiser"):
        moments(path, "u")
