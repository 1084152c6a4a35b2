"""A star import of many files opens only those that can hold the name, and still rests on all that it passed over."""

from pathlib import Path

from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import Reading, read_file
from gradlint.source import read

LAYER = "from torch import nn\n\nclass {name}(nn.Linear):\n    pass\n"
USER = "import torch\nfrom layers import Second\nnet = Second(2, 3)\nnet(torch.zeros(1, 2)).sum().backward()\n"


def written(folder: Path, package: str) -> Path:
    (folder / "layers").mkdir()
    (folder / "layers" / "__init__.py").write_text(package)
    for name in ("first", "second", "third"):
        (folder / "layers" / f"{name}.py").write_text(LAYER.format(name=name.title()))
    (folder / "user.py").write_text(USER)
    return folder / "user.py"


def reading(folder: Path, package: str) -> tuple[Reading, Project]:
    project = Project(str(folder))
    return read_file(read(written(folder, package)), project), project


def test_only_the_file_that_holds_the_name_is_parsed(tmp_path: Path) -> None:
    found, project = reading(tmp_path, "from .first import *\nfrom .second import *\nfrom .third import *\n")
    assert [p.name for p in found.graphs[0].model.parameters] == ["weight", "bias"]
    assert {Path(path).name for path in project.modules} == {"__init__.py", "second.py", "user.py"}


def test_a_file_that_was_passed_over_may_change_the_answer(tmp_path: Path) -> None:
    found, _ = reading(tmp_path, "from .second import *\nfrom .third import *\n")
    assert str(tmp_path / "layers" / "third.py") in found.files


def test_a_star_behind_a_star_is_followed(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(LAYER.format(name="Second"))
    found, _ = reading(tmp_path, "from .outer import *\n")
    assert not found.graphs
    (tmp_path / "layers" / "outer.py").write_text("from inner import *\n")
    found = read_file(read(tmp_path / "user.py"), Project(str(tmp_path)))
    assert [p.name for p in found.graphs[0].model.parameters] == ["weight", "bias"]


def test_a_relative_file_of_a_library_s_name_brings_no_library(tmp_path: Path) -> None:
    package = "from .made import *\nfrom .math import *\n"
    user = written(tmp_path, package)
    (tmp_path / "layers" / "made.py").write_text("from torch import nn\n\ndef second(n):\n    return nn.Linear(n, n)\n")
    user.write_text("import torch\nfrom layers import second\nsecond(2)(torch.zeros(1, 2)).sum().backward()\n")
    found = read_file(read(user), Project(str(tmp_path)))
    assert [p.name for p in found.graphs[0].model.parameters] == ["weight", "bias"]
