"""What git knows of a folder. Nothing that a repository configures is executed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from gradlint.errors import GradlintError

SECONDS = 60.0
_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""Variables that a hook inherits and that speak of another folder than the one that is asked about."""


class GitError(GradlintError):
    """git is not installed, this is no repository, or the question was wrong; the text is git's last line."""


def ask(folder: str, *arguments: str) -> bytes:
    """The output of a git command in a folder; raises `GitError`."""
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-C", folder or ".", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, env=environment, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise GitError(str(error)) from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").split("\n")
        raise GitError(next((line.strip() for line in reversed(lines) if line.strip()), "git failed"))
    return done.stdout


def names(folder: str, *arguments: str) -> list[str]:
    """The names that a git command prints with `-z`, as Python names files."""
    return split(ask(folder, *arguments))


def split(output: bytes) -> list[str]:
    """File names that are separated by null bytes."""
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def is_ignored(folder: str) -> bool:
    """Whether the repository around a folder ignores it as a whole."""
    try:
        ask(folder, "check-ignore", "-q", ".")
    except GitError:
        return False
    return True


def repository(folder: str) -> str:
    """The root of the working tree around a folder; raises `GitError` when there is none."""
    return os.fsdecode(ask(folder, "rev-parse", "--show-toplevel").removesuffix(b"\n"))


def inside_repository(folder: str) -> bool:
    """Whether a `.git` lies in a folder or above it; asks the file system only."""
    return any(os.path.exists(os.path.join(place, ".git")) for place in above(os.path.abspath(folder)))


def above(folder: str) -> Iterable[str]:
    """A folder and the folders above it, the innermost first."""
    while True:
        yield folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return
        folder = parent
