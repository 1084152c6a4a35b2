"""The file of `gradlint demo`: a dozen models that train without an exception and each lose a gradient."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from gradlint.errors import UsageError

PLANTED_FILE = "demo_model.py.txt"


def text() -> str:
    """The planted file."""
    return resources.files("gradlint").joinpath(PLANTED_FILE).read_text(encoding="utf-8")


@contextmanager
def planted(keep: Path | None, name: str) -> Iterator[Path]:
    """The folder in which the planted file lies under a name: `keep`, or one that is removed afterwards.

    Raises `UsageError` when `keep` cannot be written or holds another file of this name.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="gradlint-demo-") as folder:
            yield _written(Path(folder), name)
    else:
        yield _written(keep, name)


def _written(folder: Path, name: str) -> Path:
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_text(encoding="utf-8") != text():
            raise UsageError(f"{path} exists already and is another file")
        path.write_text(text(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--keep {folder}: {(error.strerror or str(error)).lower()}") from None
    return folder
