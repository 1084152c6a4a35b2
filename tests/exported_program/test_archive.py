"""Broken and hostile `.pt2` files end in one line, whatever is in them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradlint.analysis.reach import reach
from gradlint.errors import TargetError
from gradlint.frontends.exported_program import archive
from gradlint.frontends.exported_program.reading import read
from tests.command import environment, gradlint
from tests.exported_program.programs import PATH, Small, changed, exported
from tests.exported_program.test_reading import BATCH, Branches, Frozen


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [exported(model, BATCH) for model in (Small(), Frozen(), Branches())]


def told(data: bytes) -> str:
    """Why a file cannot be read; empty when it can."""
    try:
        for graph in read(PATH, io.BytesIO(data)).graphs():
            reach(graph)
    except TargetError as error:
        return str(error)
    return ""


def zipped(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, text in members.items():
            made.writestr(name, text)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "file is not a zip file"),
        (b"PK\x03\x04 no more", "file is not a zip file"),
        (zipped(**{"a/readme": ""}), "it holds no models/*.json"),
        (zipped(**{"a/data/aotinductor/model/x.so": ""}), "it holds compiled code only"),
        (zipped(**{"a/models/model.json": "{"}), "a/models/model.json: Invalid JSON"),
        (zipped(**{"a/models/model.json": "{}"}), "a/models/model.json at graph_module: Field required"),
        (
            zipped(**{"a/models/model.json": "[" * 100_000}),
            "a/models/model.json: Invalid JSON: recursion limit exceeded",
        ),
        (zipped(**{"../../x": "", "a/models/model.json": "{}"}), "its member '../../x' points out of the archive"),
        (zipped(**{"/etc/x": ""}), "its member '/etc/x' points out of the archive"),
    ],
)
def test_what_is_no_program_is_told_in_one_line(data: bytes, why: str) -> None:
    assert told(data).startswith("it is no exported program: ")
    assert why in told(data)
    assert "\n" not in told(data)


def test_a_member_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/models/model.json", " " * (1 << 22))
    monkeypatch.setattr(archive, "MOST_JSON_BYTES", 1 << 20)
    assert told(file.getvalue()).endswith("a/models/model.json is larger than 1 MiB")


def nested(depth: int) -> dict[str, Any]:
    graph: dict[str, Any] = {"inputs": [], "outputs": [], "nodes": []}
    for _ in range(depth):
        call = {
            "target": "torch.ops.higher_order.wrap",
            "inputs": [{"arg": {"as_graph": {"name": "inner", "graph": graph}}}],
            "outputs": [{"as_tensor": {"name": "made"}}],
        }
        graph = {"inputs": [], "outputs": [], "nodes": [call]}
    return graph


def test_graphs_that_lie_too_deep_are_refused(files: list[bytes]) -> None:
    def bury(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"] = nested(30)

    assert "recursion limit" in told(changed(files[0], bury)) or not told(changed(files[0], bury))


CUTS = st.integers(0, 2**20)
FLIPS = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=12)
STRANGE: list[Any] = [None, True, -1, 10**30, "", "x", [], {}, [[]], {"as_tensor": {"name": "x"}}, {"as_graph": {}}]


@given(st.integers(0, 2), CUTS)
@settings(deadline=None)
def test_a_file_that_was_cut_off_is_told(files: list[bytes], which: int, length: int) -> None:
    data = files[which]
    assert told(data[: length % len(data)])


@given(st.integers(0, 2), FLIPS)
@settings(deadline=None, max_examples=200)
def test_a_file_with_wrong_bytes_is_read_or_told(files: list[bytes], which: int, flips: list[tuple[int, int]]) -> None:
    data = bytearray(files[which])
    for place, byte in flips:
        data[place % len(data)] = byte
    assert "\n" not in told(bytes(data))


@given(st.integers(0, 2), st.lists(st.integers(0, 40), max_size=9), st.sampled_from(STRANGE))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_a_program_with_strange_parts_is_read_or_told(
    files: list[bytes], which: int, way: list[int], strange: Any
) -> None:
    def put(program: dict[str, Any]) -> None:
        holder: Any = program
        last: Any = "graph_module"
        here: Any = program[last]
        for step in way:
            keys = list(here) if isinstance(here, dict) else list(range(len(here))) if isinstance(here, list) else []
            if not keys:
                break
            holder, last = here, keys[step % len(keys)]
            here = holder[last]
        holder[last] = strange

    assert "\n" not in told(changed(files[which], put))


def test_reading_needs_no_torch_and_no_pickle(tmp_path: Path, files: list[bytes]) -> None:
    (tmp_path / "net.pt2").write_bytes(files[0])
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'onnx', 'pickle')))\n"
        "from gradlint.frontends.exported_program.reading import read\n"
        "print(len(read('net.pt2').nodes))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "8"), done.stderr


def test_the_command_reads_a_program(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(exported(Small(lambda h: h.round()), BATCH))
    done = gradlint(tmp_path, "net.pt2", "--output-format", "json", "--isolated")
    (found,) = done.report["findings"]
    assert (found["code"], found["path"]) == ("GL108", "net.pt2")
    assert found["parameters"] == ["before.weight", "before.bias"]
    assert done.report["models"][0]["capture"] == "exported"
    assert done.code == 1


def test_the_command_tells_of_a_broken_program_and_goes_on(tmp_path: Path, files: list[bytes]) -> None:
    (tmp_path / "cut.pt2").write_bytes(files[0][:500])
    (tmp_path / "whole.pt2").write_bytes(files[0])
    done = gradlint(tmp_path, "cut.pt2", "whole.pt2", "--output-format", "json", "--isolated")
    assert [(f["code"], f["path"]) for f in done.report["findings"]] == [("GL001", "cut.pt2")]
    assert [model["path"] for model in done.report["models"]] == ["whole.pt2"]


def test_a_program_of_another_schema_is_read_as_far_as_it_is_alike(files: list[bytes]) -> None:
    def older(program: dict[str, Any]) -> None:
        program["schema_version"] = {"major": 8, "minor": 1}
        program["graph_module"]["graph"]["unheard_of"] = json.loads("[1, 2]")

    assert told(changed(files[0], older)) == ""
