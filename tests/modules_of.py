"""Files of models as the recorder sees them: imported under their stem, with their syntax tree."""

from __future__ import annotations

import ast
import importlib.util
import linecache
import pathlib
import sys
import types
from dataclasses import dataclass

from gradlint.frontends.recorder.feeding.examples import Shown, shown

FEEDING = pathlib.Path(__file__).parent / "feeding"


@dataclass(frozen=True)
class Imported:
    """One imported file."""

    tree: ast.Module
    module: types.ModuleType
    shown: Shown


def imported(path: pathlib.Path) -> Imported:
    """The file at `path`, imported."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    tree = ast.parse(path.read_text())
    return Imported(tree, module, shown(tree, module))


def written(folder: pathlib.Path, text: str, name: str = "model_file") -> Imported:
    """The source `text` as a file in `folder`, imported."""
    path = folder / f"{name}.py"
    path.write_text(text)
    linecache.checkcache(str(path))
    return imported(path)
