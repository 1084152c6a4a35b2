"""What one file's source shows: the only place where source becomes findings. Nothing is executed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gradlint import notebook
from gradlint.finding import Failure, Finding
from gradlint.frame import Frame
from gradlint.frontends.static.project import Project, relevant
from gradlint.judged import Judged
from gradlint.notebook import Notebook, OtherLanguageError
from gradlint.registry import Selection, configured, fault, selection
from gradlint.rule import Rule
from gradlint.source import Source, SourceError
from gradlint.suppress import unknown

if TYPE_CHECKING:
    from gradlint.config import Settings

INTERNAL = "internal"
"""The code of a failure that is gradlint's own."""

MARK = "gradlint:"
"""What every comment for gradlint holds."""


class Judge:
    """Judges one file after the other; what is true for all of them (rules, the project's modules) is kept."""

    def __init__(self) -> None:
        self._rules: dict[int, tuple[Settings, tuple[Rule, ...], Selection]] = {}
        self._projects: dict[str, Project] = {}

    def file(self, path: str, settings: Settings) -> Judged:
        """What the source of a file shows; a fault of gradlint's own is reported as such."""
        try:
            return self.source(notebook.read(path), settings)
        except SourceError as error:
            return Judged(findings=(unreadable(path, error),))
        except OtherLanguageError as error:
            return Judged(skipped=error.why)
        except Exception as error:
            return failed(path, error)

    def source(self, source: Source, settings: Settings, symbol: str | None = None) -> Judged:
        """What a source shows, of it only the class or factory `symbol` if given, with the fixes."""
        rules = self.rules(settings)
        judged = judge_source(source, rules, self.project(settings), symbol)
        return mended(judged, source, rules, self.wanted(settings))

    def project(self, settings: Settings) -> Project:
        """The project around the files of some settings; what was read of it is kept."""
        if settings.root not in self._projects:
            self._projects[settings.root] = Project(settings.root)
        return self._projects[settings.root]

    def rules(self, settings: Settings) -> tuple[Rule, ...]:
        """The configured rules of some settings; raises `UsageError` for a setting that none has."""
        return self._chosen(settings)[1]

    def wanted(self, settings: Settings) -> Selection:
        """What a run with some settings wants to hear."""
        return self._chosen(settings)[2]

    def _chosen(self, settings: Settings) -> tuple[Settings, tuple[Rule, ...], Selection]:
        known = self._rules.get(id(settings))
        if known is None:
            known = self._rules[id(settings)] = settings, configured(settings), selection(settings)
        return known


def judge_source(source: Source, rules: Iterable[Rule], project: Project, symbol: str | None = None) -> Judged:
    """What the rules find in a source, of it only in the class or factory `symbol` if given."""
    telling = relevant(source.text)
    if telling:
        project.lend_tree(source)
    read = read_source(source, telling)
    if not telling or any(finding.code == "GL001" for finding in read.findings):
        return read
    from gradlint import proving

    proved = proving.read_source(source, rules, project, symbol)
    return proved.model_copy(update={"findings": (*read.findings, *proved.findings), "comments": read.comments})


def with_source(
    recorded: Judged, source: Source, rules: Iterable[Rule], project: Project, symbol: str | None
) -> Judged:
    """A recording's verdict with what only the source shows: training loops, and models that could not be recorded."""
    if not relevant(source.text):
        return recorded
    from gradlint import proving

    return proving.united(recorded, proving.read_source(source, rules, project, symbol))


def mended(judged: Judged, source: Source, rules: Iterable[Rule], wanted: Selection) -> Judged:
    """A verdict with the fixes of those of its findings that are wanted; what makes fixes is imported for them only."""
    fixable = {rule.code: rule for rule in rules if rule.fixable()}
    shown = {f.code for f in judged.findings if f.code in fixable and wanted.shows(f)}
    if not shown:
        return judged
    from gradlint.fixes import attach

    findings, failures = attach(judged.findings, [fixable[code] for code in shown], source)
    return judged.model_copy(update={"findings": findings, "failures": (*judged.failures, *failures)})


def read_source(source: Source, parse: bool = True) -> Judged:
    """What is wrong with a source before any rule reads it: its syntax, and its comments for gradlint.

    With `parse` the tree is made that is needed later on, else the syntax is only checked.
    """
    broken = tuple(syntax(source, parse))
    comments = MARK in source.text
    if broken and not isinstance(source, Notebook):
        return Judged(findings=broken, comments=comments)
    return Judged(findings=(*broken, *unknown(source)), comments=comments)


def syntax(source: Source, parse: bool = True) -> Iterator[Finding]:
    """The findings (GL001) about a source, or cells of a notebook, that cannot be parsed."""
    if isinstance(source, Notebook) and source.faults:
        for cell in source.faults:
            yield unreadable(source.path, SourceError(source.path, cell.line, cell.column, cell.why))
        return
    try:
        source.tree if parse else source.check_syntax()
    except SourceError as error:
        yield unreadable(source.path, error)


def unreadable(path: str, error: SourceError) -> Finding:
    """The finding (GL001) about a file that cannot be read, decoded or parsed."""
    return fault("GL001", path, Frame(path, error.line, error.column), why=error.why)


def failed(path: str, error: Exception) -> Judged:
    """A fault of gradlint's own on one target; the other targets go on."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return Judged(failures=(Failure(path=path, code=INTERNAL, message=text),))
