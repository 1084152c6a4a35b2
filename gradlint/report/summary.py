"""The last lines of a run, for stderr: how many findings, and how much of each model gets a gradient."""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import ModelReport, Report, Severity

MOST_MODELS = 5


def summary(report: Report) -> Iterator[str]:
    """Nothing to check, or one line for each of the first models and one for the whole run."""
    if not report.files and not report.models and not report.findings:
        yield "no files to check"
        return
    yield from (_reach(model) for model in report.models[:MOST_MODELS])
    if (more := len(report.models) - MOST_MODELS) > 0:
        yield f"and {_counted(more, 'more model')}"
    silenced = f" ({report.suppressed} suppressed)" if report.suppressed else ""
    yield f"{_counts(report)} in {_counted(report.files, 'file')}{silenced}"


def _reach(model: ModelReport) -> str:
    share = f", {model.elements_reached / model.elements:.1%} of the elements" if model.elements else ""
    return f"{model.name}: a gradient reaches {model.reached} of {model.parameters} parameter tensors{share}"


def _counts(report: Report) -> str:
    severities = [finding.severity for finding in report.findings]
    counts = [_counted(severities.count(severity), severity.value) for severity in Severity if severity in severities]
    return ", ".join(counts) or "no findings"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
