"""What all targets showed, made into what the run says: each fault once, without the silenced and the known ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from gradlint import notebook
from gradlint.errors import GradlintError
from gradlint.finding import LOSS_CUT, Edit, Finding, Fix, Related, fingerprint, same_fault
from gradlint.judged import Marked
from gradlint.notebook import Notebook
from gradlint.source import Source


def distinct(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding a rule and position; what it does to several models is told in one.

    A loss that is detached takes what this cuts from other models with it.
    """
    best: dict[tuple[str, str, int, int], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.path, finding.line, finding.column)
        best[key] = _united(best[key], finding) if key in best else finding
    losses = [finding for finding in best.values() if finding.code == LOSS_CUT]
    return tuple(f for f in best.values() if f in losses or not any(same_fault(f, loss) for loss in losses))


def _united(one: Finding, other: Finding) -> Finding:
    """Two findings of one cause: all parameters of both, in the words of the one that concerns the larger share."""
    first, second = sorted((one, other), key=lambda f: (f.severity.rank, f.parameter_share), reverse=True)
    return first.model_copy(update={"parameters": tuple(dict.fromkeys((*first.parameters, *second.parameters)))})


def sources_of(paths: Iterable[str], known: Mapping[str, Source]) -> dict[str, Source]:
    """The sources of files that can be read."""
    found = dict(known)
    for path in sorted(set(paths) - set(known)):
        try:
            found[path] = notebook.read(path)
        except GradlintError:
            continue
    return found


def marked(findings: Iterable[Finding], sources: Mapping[str, Source], root: str) -> Iterator[Marked]:
    """Sorted findings with their fingerprints, which name files from `root`."""
    seen: dict[tuple[str, str, str], int] = {}
    for finding in sorted(findings, key=lambda f: f.order):
        source = sources.get(finding.path)
        text = source.line(finding.line).strip() if source else ""
        key = (finding.code, finding.path, text)
        seen[key] = seen.get(key, 0) + 1
        print_ = fingerprint(finding.code, from_folder(finding.path, root), text, seen[key])
        yield Marked(finding.model_copy(update={"fingerprint": print_}), text, seen[key])


def from_folder(path: str, folder: str) -> str:
    """A path as it is written from a folder, with slashes."""
    return os.path.relpath(path, folder or os.curdir).replace(os.sep, "/")


def placed(finding: Finding, sources: Mapping[str, Source]) -> Finding:
    """A finding in a notebook at its cell; every other one as it is."""
    related = tuple(_placed_related(place, sources) for place in finding.related)
    source = sources.get(finding.path)
    if not isinstance(source, Notebook):
        return finding.model_copy(update={"related": related}) if related != finding.related else finding
    cell, line = source.cell_at(finding.line)
    last_cell, last = source.cell_at(finding.end_line)
    inside = last_cell == cell
    where = {"cell": cell, "line": line, "end_line": last if inside else line}
    end = {} if inside else {"end_column": max(finding.column, len(source.line(finding.line)) + 1)}
    return finding.model_copy(update={**where, **end, "related": related, "fix": _placed_fix(finding.fix, source)})


def _placed_related(place: Related, sources: Mapping[str, Source]) -> Related:
    source = sources.get(place.path)
    if not isinstance(source, Notebook):
        return place
    cell, line = source.cell_at(place.line)
    return place.model_copy(update={"cell": cell, "line": line})


def _placed_fix(fix: Fix | None, source: Notebook) -> Fix | None:
    return fix and fix.model_copy(update={"edits": tuple(_placed_edit(edit, source) for edit in fix.edits)})


def _placed_edit(edit: Edit, source: Notebook) -> Edit:
    cell, line = source.cell_at(edit.line)
    return edit.model_copy(update={"cell": cell, "line": line, "end_line": line + edit.end_line - edit.line})
