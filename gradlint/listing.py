"""The Python files and notebooks below a folder: as git lists them, else by walking with the .gitignore files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gradlint import git
from gradlint.errors import UsageError

if TYPE_CHECKING:
    import pathspec

    from gradlint.config import Settings

SUFFIXES = (".py", ".ipynb")
SKIPPED_FOLDERS = frozenset(
    ("__pycache__", "__pypackages__", "venv", "node_modules", "site-packages", "build", "_build", "buck-out", "dist")
)
"""Folders that hold nobody's own sources, beside those whose name begins with a dot."""

SKIPPED_ENDING = ".egg-info"
ENVIRONMENT_MARK = "pyvenv.cfg"
"""The file that makes a folder a virtual environment."""

SettingsAt = Callable[[str], "Settings"]
"""The settings that hold in a folder."""

Skip = Callable[[str, str], None]
"""Told of a path that is left out although it was asked for, and why."""


def files(folder: str, settings_at: SettingsAt, skip: Skip) -> Iterator[str]:
    """Every Python file and notebook below a folder, sorted by folder and name.

    What git or .gitignore files ignore, what `exclude` names and `SKIPPED_FOLDERS` are left out; a folder that is named
    itself is not. Links to folders are not followed.
    """
    found = candidates(folder, skip)
    excluded = _Excluded(os.path.normpath(folder), settings_at)
    for path in sorted(found, key=lambda path: path.split(os.sep)):
        if excluded.file(path):
            continue
        if _undecodable(path):
            skip(os.fsencode(path).decode(errors="backslashreplace"), "its name is not UTF-8")
            continue
        yield path


def candidates(folder: str, skip: Skip) -> Iterable[str]:
    """The files before any setting is asked, in no order."""
    names = _from_git(folder)
    return _walk(folder, _Rules.above(folder), skip) if names is None else names


def _undecodable(path: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in path)


def _skipped(name: str) -> bool:
    return name.startswith(".") or name in SKIPPED_FOLDERS or name.endswith(SKIPPED_ENDING)


def _from_git(folder: str) -> list[str] | None:
    """What git lists below a folder; None where it cannot say, and for a folder that is ignored as a whole."""
    if not git.inside_repository(folder):
        return None
    try:
        names = git.names(folder, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    except git.GitError:
        return None
    found = [path for name in dict.fromkeys(names) for path in _listed(folder, name)]
    return found if found or not git.is_ignored(folder) else None


def _listed(folder: str, name: str) -> Iterator[str]:
    """A listed file, or the files of a repository inside of this one."""
    path = os.path.normpath(os.path.join(folder, name))
    if name.endswith(SUFFIXES) and os.path.isfile(path):
        yield path
    elif not name.endswith(SUFFIXES) and os.path.exists(os.path.join(path, ".git")) and not os.path.islink(path):
        yield from _from_git(path) or ()


class _Excluded:
    """Which folders and files below `top` the program and its users leave out; every folder is judged once.

    Settings that exclude `top` itself are not asked: it was named all the same.
    """

    def __init__(self, top: str, settings_at: SettingsAt) -> None:
        self._settings_at = settings_at
        self._folders = {"" if top == os.curdir else top: False}
        outer = settings_at(top)
        self._lifted = outer if outer.exclude and is_excluded(f"{top}/", outer) else None

    def file(self, path: str) -> bool:
        folder = os.path.dirname(path)
        return self._folder(folder) or self._named(folder, path)

    def _folder(self, path: str) -> bool:
        unknown = []
        while path not in self._folders:
            unknown.append(path)
            path = os.path.dirname(path)
        for inner in reversed(unknown):
            self._folders[inner] = self._folders[path] or self._left_out(path, inner)
            path = inner
        return self._folders[path]

    def _left_out(self, parent: str, path: str) -> bool:
        environment = os.path.exists(os.path.join(path, ENVIRONMENT_MARK))
        return _skipped(os.path.basename(path)) or environment or self._named(parent, path + "/")

    def _named(self, folder: str, path: str) -> bool:
        """Whether the settings of a folder exclude something in it."""
        settings = self._settings_at(folder)
        return bool(settings.exclude) and settings != self._lifted and is_excluded(path, settings)


def is_excluded(path: str, settings: Settings) -> bool:
    """Whether `exclude` names a file, or a folder whose path ends with a slash."""
    relative = os.path.relpath(path, settings.root or None)
    inside = os.path.basename(path.rstrip("/")) if relative.startswith(os.pardir) else relative
    return bool(_spec(settings.exclude).match_file(inside + "/" * path.endswith("/")))


@cache
def _spec(patterns: tuple[str, ...]) -> pathspec.GitIgnoreSpec:
    import pathspec

    return pathspec.GitIgnoreSpec.from_lines(patterns)


class _Rules:
    """The patterns of the .gitignore files from the repository's root down to one folder, innermost last."""

    def __init__(self, files: tuple[tuple[str, tuple[str, ...]], ...] = ()) -> None:
        self._files = files

    @classmethod
    def above(cls, folder: str) -> _Rules:
        """The files above a folder that lies in a repository and is not itself ignored."""
        here, *parents = git.above(os.path.abspath(folder))
        roots = [number for number, parent in enumerate(parents) if os.path.exists(os.path.join(parent, ".git"))]
        if not roots or os.path.exists(os.path.join(here, ".git")):
            return cls()
        rules = cls()
        for parent in reversed(parents[: roots[0] + 1]):
            rules = rules.inside(parent)
        return cls() if rules.ignore(here, True) else rules

    def inside(self, folder: str) -> _Rules:
        """These and those of a folder's own file."""
        try:
            lines = Path(folder, ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return self
        return _Rules((*self._files, (os.path.abspath(folder), tuple(lines))))

    def ignore(self, path: str, is_folder: bool) -> bool:
        """Whether the innermost file that speaks of a path ignores it."""
        for base, patterns in reversed(self._files):
            relative = os.path.relpath(path, base) + "/" * is_folder
            verdict = _spec(patterns).check_file(relative).include
            if verdict is not None:
                return bool(verdict)
        return False


def _walk(top: str, outer: _Rules, skip: Skip) -> Iterator[str]:
    """The files below a folder that no .gitignore file names; a stack, because folders nest deeper than calls."""
    folders = [(top, outer)]
    while folders:
        folder, rules = folders.pop()
        entries = _entries(folder, skip, inner=folder != top)
        rules = rules.inside(folder) if any(entry.name == ".gitignore" for entry in entries) else rules
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not _skipped(entry.name) and not rules.ignore(entry.path, True):
                    folders.append((entry.path, rules))
            elif entry.name.endswith(SUFFIXES) and not rules.ignore(entry.path, False) and entry.is_file():
                yield os.path.normpath(entry.path)


def _entries(folder: str, skip: Skip, inner: bool) -> Iterable[os.DirEntry[str]]:
    """What a folder holds; one that cannot be read is left out, or a mistake when the user named it."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        why = f"cannot be read: {(error.strerror or str(error)).lower()}"
        if not inner:
            raise UsageError(f"{folder}: {why}") from None
        skip(folder, why)
        return ()
