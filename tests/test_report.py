"""The output formats, on a report that is made by hand."""

from __future__ import annotations

import json
import math
import re
from types import SimpleNamespace
from typing import Any

import pytest

from gradlint.errors import UsageError
from gradlint.finding import Evidence, Finding, GradientSize, ModelReport, Related, Report, Severity
from gradlint.graph import Frame, Passage
from gradlint.report import FORMATS, View, render
from gradlint.report import way as way_report
from gradlint.report.full import effect, grouped
from gradlint.report.summary import summary

TEXT = """def forward(self, x):
    features = self.deep(x)

    return self.fc(features.detach())
"""

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def view(text: str = TEXT, color: bool = False) -> View:
    lines = text.split("\n")
    return View(lambda _, number: lines[number - 1] if number <= len(lines) else "", color)


def finding(**changes: Any) -> Finding:
    values: dict[str, Any] = {
        "code": "GL101",
        "name": "detached-tensor",
        "severity": Severity.ERROR,
        "evidence": Evidence.GRAPH,
        "message": "`.detach()` leaves 3 parameter tensors without a gradient",
        "path": "model.py",
        "line": 4,
        "column": 20,
        "end_line": 4,
        "end_column": 37,
        "model": "Net",
        "module": "deep",
        "parameters": ("deep.0.weight", "deep.0.bias", "scale"),
        "parameter_share": 0.9,
        "related": (Related(path="model.py", line=2, column=5, message="a later cut, hidden by this one"),),
        "advice": "remove the call",
    }
    return Finding(**values | changes)


def full(text: str = TEXT, **changes: Any) -> str:
    return render("full", Report(findings=(finding(**changes),)), view(text))


def underlined(text: str, **changes: Any) -> list[str]:
    """What stands above the carets of each underlined line, by display columns of narrow characters."""
    rows = full(text, **changes).splitlines()
    marks = [(rows[i - 1], row) for i, row in enumerate(rows) if "^" in row]
    return [above[below.index("^") : below.rindex("^") + 1] for above, below in marks]


def test_full() -> None:
    assert full() == (
        "error[GL101 detached-tensor]: `.detach()` leaves 3 parameter tensors without a gradient\n"
        " --> model.py:4:20 in Net, module deep\n"
        "  |\n"
        "4 |     return self.fc(features.detach())\n"
        "  |                    ^^^^^^^^^^^^^^^^^\n"
        "  = no gradient: deep.0.* (2 tensors), scale, 90 % of the elements\n"
        "  = evidence: proved on the recorded graph\n"
        "  = also: model.py:2:5: a later cut, hidden by this one\n"
        "  = help: remove the call\n"
        "\n"
    )


def test_full_without_source() -> None:
    assert "^" not in full("")
    assert "--> model.py:4:20" in full("")


def test_full_shows_the_line_before() -> None:
    assert "1 | def forward(self, x):\n2 |     features" in full(line=2, end_line=2, column=5, end_column=13)


def test_colour_changes_no_text() -> None:
    report = Report(findings=(finding(), finding(severity=Severity.NOTE, message="[bold]not markup[/bold]")))
    plain, colored = render("full", report, view()), render("full", report, view(color=True))
    assert ANSI.search(colored)
    assert ANSI.sub("", colored) == plain


def test_carets_below_the_expression() -> None:
    assert underlined(TEXT) == ["features.detach()"]


def test_carets_behind_a_tab() -> None:
    assert underlined("\tx = f(y)\n", line=1, end_line=1, column=6, end_column=10) == ["f(y)"]


def test_carets_behind_wide_characters() -> None:
    text = "梯度 = f(y)\n"
    rows = full(text, line=1, end_line=1, column=6, end_column=10).splitlines()
    assert "  |        ^^^^" in rows


def test_carets_over_several_lines() -> None:
    text = "x = f(\n    a,\n    b,\n)\n"
    assert underlined(text, line=1, end_line=4, column=5, end_column=2) == ["f(", "a,", "b,", ")"]


def test_an_empty_span_has_one_caret() -> None:
    assert underlined(TEXT, column=20, end_column=20) == ["f"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in full("x = '\x1b[2J'\n", line=1, end_line=1, column=1, end_column=2)


def test_long_lists_of_parameters_are_grouped() -> None:
    names = tuple(f"encoder.{layer}.{kind}" for layer in range(11) for kind in ("weight", "bias"))
    assert grouped(names) == [("encoder.*", 22)]
    assert grouped((*names[:2], "a", "b.c")) == [("encoder.0.*", 2), ("a", 1), ("b.c", 1)]
    many = tuple(f"p{number}" for number in range(9))
    assert effect(finding(parameters=many, parameter_share=0)) == "p0, p1, p2, p3, p4, 4 more"


@pytest.mark.parametrize(
    ("share", "words"), [(1.0, "all"), (0.9999, "99.9 %"), (0.9, "90 %"), (0.01, "1 %"), (0.001, "under 1 %")]
)
def test_shares_are_never_rounded_to_all_or_nothing(share: float, words: str) -> None:
    assert effect(finding(parameter_share=share)).endswith(f", {words} of the elements")


def test_concise() -> None:
    report = Report(findings=(finding(), finding(path="n.ipynb", cell=3)))
    assert render("concise", report, view()).splitlines() == [
        "model.py:4:20: GL101 detached-tensor: `.detach()` leaves 3 parameter tensors without a gradient",
        "n.ipynb:cell 3:4:20: GL101 detached-tensor: `.detach()` leaves 3 parameter tensors without a gradient",
    ]


def test_json_has_every_field_of_the_interface() -> None:
    profile = (GradientSize(parameter="w", measured_rms=math.nan),)
    model = ModelReport(name="Net", path="梯.py", capture="recorded", gradient_profile=profile)
    text = render("json", Report(findings=(finding(),), models=(model,), files=1), view())
    assert text.isascii()
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert list(data)[:2] == ["schema_version", "gradlint"]
    assert set(data) == {
        *("schema_version", "gradlint", "findings", "models", "files", "suppressed", "baselined", "failures"),
        *("stale", "skipped", "remarks"),
    }
    assert data["findings"][0]["severity"] == "error"
    assert data["findings"][0]["related"] == [
        {"path": "model.py", "line": 2, "column": 5, "message": "a later cut, hidden by this one", "cell": None}
    ]
    assert data["models"][0]["gradient_profile"] == [{"parameter": "w", "predicted_rms": None, "measured_rms": None}]


@pytest.mark.parametrize("name", ["full", "concise"])
def test_nothing_found_is_nothing_printed(name: str) -> None:
    assert render(name, Report(files=3), view()) == ""


@pytest.mark.parametrize("name", FORMATS)
def test_text_ends_with_a_newline(name: str) -> None:
    assert render(name, Report(findings=(finding(),)), view()).endswith("\n")


def test_unknown_format() -> None:
    with pytest.raises(UsageError, match='did you mean "json"'):
        render("jsn", Report(), view())


def test_the_way_of_a_parameter() -> None:
    def step(op: str, line: int | None, passage: Passage, reason: str = "", module: str = "") -> SimpleNamespace:
        frame = Frame("model.py", line, 5) if line else None
        return SimpleNamespace(op=op, native=op, frame=frame, module=module, passage=passage, reason=reason)

    steps = (
        step("linear", 2, Passage.FLOWS, module="deep"),
        step("detach", 4, Passage.BLOCKED, "detach"),
        step("sum", None, Passage.UNKNOWN),
    )
    way = SimpleNamespace(parameter="deep.0.weight", reached=False, steps=steps, verdict="it ends at model.py:4")
    assert way_report.render(way, view()).splitlines() == [  # type: ignore[arg-type]
        "deep.0.weight",
        "  | linear (deep)  model.py:2:5  features = self.deep(x)",
        "  x detach         model.py:4:5  blocked, detach  return self.fc(features.detach())",
        "  | sum            unknown",
        "it ends at model.py:4",
    ]


def test_summary_says_how_much_of_a_model_learns() -> None:
    model = ModelReport(
        name="Net", path="m.py", capture="recorded", parameters=26, reached=2, elements=3332, elements_reached=68
    )
    lines = list(summary(Report(findings=(finding(),), models=(model,), files=2, suppressed=1)))
    assert lines == [
        "Net: a gradient reaches 2 of 26 parameter tensors, 2.0% of the elements",
        "1 error in 2 files (1 suppressed)",
    ]
    assert list(summary(Report())) == ["no files to check"]
