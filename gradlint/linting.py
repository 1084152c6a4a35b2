"""One run of the linter for the command line: from flags to settings, to what is said, to the exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlint.terminal import INTERNAL, emit, note, note_failures, publish, rest_on, say, split_output, write_file

if TYPE_CHECKING:
    from gradlint.config import Settings, SettingsTree
    from gradlint.engine import Result
    from gradlint.finding import Report
    from gradlint.fixing import Fixed
    from gradlint.progress import Progress
    from gradlint.source import Source

CLEAN, FOUND, MISUSED, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130

LOST = {
    ".onnx": "an exported graph has no detach, no_grad, frozen parameter, loss or training step left, "
    "so rules on these are off",
    ".pt2": "an exported program has no loss and no training step, so rules on these are off",
}
"""What is said of graphs once a run, by the endings of their names."""


def settings_tree(given: dict[str, Any]) -> SettingsTree:
    """The settings of every folder; the command line's lists and flags win over the files'."""
    from gradlint.config import SettingsTree

    options, isolated = given.pop("config", None) or (), given.pop("isolated")
    overrides = {key: _list(key, value) for key, value in given.items() if value is not None}
    for key in ("baseline", "cache_dir"):
        if key in overrides:
            overrides[key] = os.path.abspath(overrides[key])
    return SettingsTree(options, isolated, overrides)


def run_settings(texts: Sequence[str], tree: SettingsTree) -> Settings:
    """The settings for the first target, which say how the run is done."""
    from gradlint.discover import folder_of
    from gradlint.report import check_format

    settings = tree.at(folder_of(texts[0]))
    if settings.inputs:
        from gradlint.inputs import parse_input

        for text in settings.inputs:
            parse_input(text)
    check_format(settings.output_format)
    for text in settings.output:
        check_format(split_output(text)[0])
    return settings


def _list(key: str, value: Any) -> Any:
    """Comma-separated rules as single words; everything else as it is."""
    if key in ("select", "ignore", "extend_select"):
        return tuple(word.strip() for text in value for word in text.split(",") if word.strip())
    return tuple(value) if isinstance(value, list) else value


def lint_and_report(texts: Sequence[str], tree: SettingsTree) -> int:
    settings = _with_baseline(run_settings(texts, tree))
    if settings.diff:
        return _shown(_fixed(texts, settings, tree), settings)
    if settings.fix:
        return _written(_fixed(texts, settings, tree), settings)
    result = linted(texts, settings, tree)
    publish(result.report, settings)
    code = _ended(result, settings)
    _allow_encore(result, settings, tree)
    return code


def _allow_encore(result: Result, settings: Settings, tree: SettingsTree) -> None:
    """Lets the next run repeat this one, when this one only read files and said what it found in them."""
    from gradlint.baseline import FILE
    from gradlint.source_run import folder

    wrote = settings.output or (result.comparison.stale and not _in_ci())
    if result.inputs is None or wrote or settings.verbose or settings.diff_base is not None or not settings.cache:
        return
    known = os.path.join(settings.root, settings.baseline or FILE)
    rest_on(result.inputs.files | tree.asked | {known}, result.inputs.folders, folder(settings))


def _ended(result: Result, settings: Settings) -> int:
    stale = _strike_off(result, settings)
    return _verdict(result.report, settings) or (FOUND if stale and not settings.exit_zero else CLEAN)


def linted(texts: Sequence[str], settings: Settings, tree: SettingsTree) -> Result:
    with _watched(texts, settings) as progress:
        from gradlint.engine import lint

        return lint(texts, settings, progress, tree.at)


def _watched(texts: Sequence[str], settings: Settings) -> Progress:
    """What a run tells of its progress, after it was said what it is going to do."""
    from gradlint.progress import Progress

    _check_rules(texts, settings)
    announce(texts, settings)
    live = not settings.quiet and sys.stderr.isatty()
    return Progress(note if settings.verbose else None, live)


def _fixed(texts: Sequence[str], settings: Settings, tree: SettingsTree) -> Fixed:
    with _watched(texts, settings) as progress:
        from gradlint.engine import lint
        from gradlint.fixing import fix

        def again(drafts: Mapping[str, Source]) -> Result:
            return lint(texts, settings, progress, tree.at, drafts)

        return fix(again, unsafe=settings.unsafe_fixes, dry=settings.diff)


def _shown(done: Fixed, settings: Settings) -> int:
    """What `--diff` prints, and its exit code."""
    say("".join(change.diff() for change in done.changes))
    note_failures(done.result.report, settings)
    _note_fixes(done, settings, "Would fix")
    if any(failure.code == INTERNAL for failure in done.result.report.failures):
        return BROKEN
    return FOUND if done.changes and not settings.exit_zero else CLEAN


def _written(done: Fixed, settings: Settings) -> int:
    """What `--fix` prints, and its exit code: the report goes to stderr when the fixed standard input is on stdout."""
    if done.stream is None:
        publish(done.result.report, settings)
    else:
        emit(done.stream.encoded())
        with contextlib.redirect_stdout(sys.stderr):
            publish(done.result.report, settings)
    _note_fixes(done, settings, "Fixed")
    return _ended(done.result, settings)


def _note_fixes(done: Fixed, settings: Settings, verb: str) -> None:
    if settings.quiet or not (done.fixed or done.unsafe):
        return
    more = f"; {done.unsafe} more with --unsafe-fixes" if done.unsafe else ""
    note(f"{verb} {done.fixed} finding{'' if done.fixed == 1 else 's'}{more}")


def _check_rules(texts: Sequence[str], settings: Settings) -> None:
    """Raises `UsageError` for a rule or a rule's setting that there is not, before anything is said or run."""
    from gradlint.discover import parse
    from gradlint.registry import configured, selection

    if settings.rules or any(parse(text, settings).depth == "trace" for text in texts):
        configured(settings)
    selection(settings)


def _with_baseline(settings: Settings) -> Settings:
    """The settings with the baseline that lies beside the settings file, when none is named."""
    from gradlint.baseline import FILE

    beside = Path(settings.root, FILE)
    found = settings.baseline is None and settings.file is not None and beside.is_file()
    return settings.model_copy(update={"baseline": str(beside)}) if found else settings


def _strike_off(result: Result, settings: Settings) -> bool:
    """Takes what is gone out of the baseline; in continuous integration, where nobody would commit that, says so."""
    stale = result.comparison.stale
    if not stale or not settings.baseline:
        return False
    from gradlint.baseline import read, written

    file = Path(settings.root, settings.baseline)
    shown = os.path.relpath(file)
    if _in_ci():
        note(f"{len(stale)} findings of {shown} are gone; run gradlint once outside of CI, and commit the file")
        return True
    write_file(file, written(read(file) - stale))
    note(f"{len(stale)} findings are gone and struck off {shown}")
    return False


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def announce(texts: Iterable[str], settings: Settings) -> None:
    """Says what will be executed; raises `UsageError` for a target that does not exist."""
    from gradlint.discover import TargetKind, parse

    targets = [parse(text, settings) for text in texts]
    traced = [target.text for target in targets if target.depth == "trace"]
    if settings.quiet:
        return
    if traced:
        what = traced[0] if len(traced) == 1 else f"{len(traced)} targets"
        where = "a worker process" if len(traced) == 1 else "worker processes"
        note(f"importing and running {what} in {where}; --source reads {'it' if len(traced) == 1 else 'them'} only")
    graphs = [target.text for target in targets if target.kind is TargetKind.GRAPH]
    if graphs:
        what = graphs[0] if len(graphs) == 1 else f"{len(graphs)} graphs"
        lost = dict.fromkeys(LOST.get(os.path.splitext(text)[1].lower(), "") for text in graphs)
        note(f"reading {what}, nothing is executed; {'; '.join(filter(None, lost))}")
    targets = [target for target in targets if target.kind is not TargetKind.GRAPH]
    if settings.depth == "trace" and len(traced) < len(targets):
        note("notebooks are read only: what their cells do depends on the order in which they were run")
    elif len(traced) < len(targets):
        note("reading source only, nothing is imported; --trace imports the models and runs them too")


def _verdict(report: Report, settings: Settings) -> int:
    from gradlint.finding import Severity

    if any(failure.code == INTERNAL for failure in report.failures):
        return BROKEN
    worst = report.worst()
    if settings.exit_zero:
        return CLEAN
    if settings.require_trace and report.failures:
        return FOUND
    if worst is None or settings.fail_on == "never":
        return CLEAN
    return FOUND if worst.rank >= Severity(settings.fail_on).rank else CLEAN
