"""Findings that were there already: written down once, counted no more, struck off when they are gone.

An entry names a finding by its file, its rule, the text of its line and which of equal ones it is, so that it holds
when lines move.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gradlint.errors import UsageError
from gradlint.finding import Evidence
from gradlint.judged import Marked

FILE = ".gradlint-baseline.json"
VERSION = 1
MARK_LENGTH = 12
"""Hexadecimal digits of a mark: 48 bits tell the findings of one file and rule apart."""

TRACED = " traced"
"""What follows a code whose finding needed a recording: a run over source cannot say that it is gone."""


class Entry(NamedTuple):
    """One known finding; `path` is written from the baseline's folder, with slashes."""

    path: str
    rule: str
    mark: str

    @property
    def code(self) -> str:
        """The rule's code."""
        return self.rule.removesuffix(TRACED)

    @property
    def traced(self) -> bool:
        """Whether only a recording can show it."""
        return self.rule.endswith(TRACED)


@dataclass(frozen=True)
class Comparison:
    """Today's findings beside those of a baseline; `stale` are the entries that are gone."""

    new: tuple[Marked, ...]
    known: tuple[Marked, ...] = ()
    stale: frozenset[Entry] = frozenset()


def today(comparison: Comparison, file: Path) -> frozenset[Entry]:
    """All of today's findings as a baseline in a file names them."""
    folder = os.path.dirname(os.path.abspath(file))
    return frozenset(entry(item, folder) for item in (*comparison.new, *comparison.known))


def entry(item: Marked, folder: str) -> Entry:
    """How a baseline in a folder names a finding."""
    finding = item.finding
    source = finding.evidence in (Evidence.SOURCE, Evidence.STATIC_GRAPH)
    text = f"{finding.code}\0{item.text}\0{item.occurrence}".encode("utf-8", "surrogatepass")
    path = os.path.relpath(finding.path, folder).replace(os.sep, "/")
    return Entry(path, finding.code + TRACED * (not source), hashlib.sha256(text).hexdigest()[:MARK_LENGTH])


def compare(items: Sequence[Marked], file: Path | None, looked_for: Callable[[str, str, bool], bool]) -> Comparison:
    """Today's findings beside a baseline's, all of them new when there is none.

    `looked_for` says whether the run would have seen a finding: by its file, its code, whether it needs a recording.
    Raises `UsageError` when the file cannot be read.
    """
    folder = os.path.dirname(os.path.abspath(file)) if file else os.getcwd()
    known = read(file) if file else frozenset()
    named = [(item, entry(item, folder)) for item in items]
    still = frozenset(name for _, name in named)
    return Comparison(
        new=tuple(item for item, name in named if name not in known),
        known=tuple(item for item, name in named if name in known),
        stale=frozenset(old for old in known - still if _is_gone(old, folder, looked_for)),
    )


def _is_gone(old: Entry, folder: str, looked_for: Callable[[str, str, bool], bool]) -> bool:
    path = os.path.normpath(os.path.join(folder, old.path))
    return looked_for(path, old.code, old.traced) or not os.path.exists(path)


def read(file: Path) -> frozenset[Entry]:
    """The entries of a baseline; raises `UsageError` when it is none."""
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: the baseline cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{file}: the baseline is no JSON; write it anew with gradlint baseline") from None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise UsageError(f"{file}: not a baseline of this version; write it anew with gradlint baseline")
    try:
        return frozenset(_entries(content["findings"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(f"{file}: the baseline is damaged; write it anew with gradlint baseline") from None


def _entries(findings: Any) -> Iterable[Entry]:
    for path, rules in findings.items():
        for rule, marks in rules.items():
            for mark in marks:
                if not isinstance(mark, str):
                    raise TypeError(mark)
                yield Entry(path, rule, mark)


def written(entries: Iterable[Entry]) -> str:
    """The text of a baseline: sorted, one line for each file and rule, the same for the same findings."""
    files: dict[str, dict[str, list[str]]] = {}
    for path, rule, mark in sorted(entries):
        files.setdefault(path, {}).setdefault(rule, []).append(mark)
    blocks = [f" {json.dumps(path)}: {{\n{_lines(rules)}\n }}" for path, rules in files.items()]
    findings = ",\n".join(blocks)
    return f'{{"version": {VERSION}, "findings": {{\n{findings}\n}}}}\n'


def _lines(rules: dict[str, list[str]]) -> str:
    return ",\n".join(f"  {json.dumps(rule)}: {json.dumps(marks)}" for rule, marks in rules.items())
