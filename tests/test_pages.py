"""The page of a rule is its test: every Bad fence fires it as the page shows, no Good fence fires anything.

`BLESS=1 pytest tests/test_pages.py` rewrites the `text` fences from what gradlint says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.pages import HEADINGS, Fence, Page, pages
from tests.tree import ROOT

CATALOGUE = {
    "GL001": ("syntax-error", "error"),
    "GL002": ("unused-suppression", "warning"),
    "GL003": ("not-traced", "warning"),
    "GL004": ("target-killed", "error"),
    "GL005": ("unknown-rule", "error"),
    "GL101": ("detached-tensor", "error"),
    "GL102": ("numpy-round-trip", "error"),
    "GL103": ("scalar-round-trip", "error"),
    "GL104": ("rewrapped-tensor", "error"),
    "GL105": ("non-differentiable-op", "error"),
    "GL106": ("integer-cast", "error"),
    "GL107": ("gradient-disabled", "error"),
    "GL108": ("zero-gradient", "error"),
    "GL109": ("unused-parameter", "warning"),
    "GL110": ("hidden-submodule", "error"),
    "GL111": ("unregistered-parameter", "error"),
    "GL112": ("inplace-overwrite", "error"),
    "GL113": ("broken-autograd-function", "error"),
    "GL114": ("opaque-call", "note"),
    "GL115": ("masked-gradient-break", "error"),
    "GL116": ("second-backward", "error"),
    "GL117": ("nothing-trainable", "error"),
    "GL201": ("graph-break", "note"),
    "GL202": ("data-dependent-control-flow", "note"),
    "GL203": ("untraceable-call", "note"),
    "GL204": ("not-exportable", "note"),
    "GL301": ("xavier-before-relu", "warning"),
    "GL302": ("he-before-saturating", "note"),
    "GL303": ("constant-weight", "error"),
    "GL304": ("weights-too-large", "warning"),
    "GL305": ("weights-too-small", "warning"),
    "GL306": ("uninitialised-parameter", "error"),
    "GL307": ("init-has-no-effect", "warning"),
    "GL401": ("deep-saturating-stack", "warning"),
    "GL402": ("vanishing-gradient", "warning"),
    "GL403": ("exploding-gradient", "warning"),
    "GL404": ("missing-activation", "warning"),
    "GL405": ("doubled-activation", "warning"),
    "GL406": ("dead-activation", "warning"),
    "GL407": ("softmax-axis", "warning"),
    "GL408": ("softmax-in-hidden-layer", "warning"),
    "GL501": ("missing-normalization", "warning"),
    "GL502": ("bias-before-norm", "note"),
    "GL503": ("norm-over-one-element", "error"),
    "GL504": ("small-batch-norm", "warning"),
    "GL505": ("missing-residual", "note"),
    "GL506": ("dropout-before-batch-norm", "note"),
    "GL507": ("dropout-on-output", "warning"),
    "GL601": ("softmax-before-cross-entropy", "error"),
    "GL602": ("sigmoid-before-bce-with-logits", "error"),
    "GL603": ("nll-without-log-softmax", "error"),
    "GL604": ("bce-without-sigmoid", "error"),
    "GL605": ("output-activation-mismatch", "warning"),
    "GL606": ("single-logit-cross-entropy", "error"),
    "GL607": ("target-format", "error"),
    "GL608": ("kl-div-arguments", "warning"),
    "GL609": ("loss-arguments-swapped", "warning"),
    "GL701": ("missing-zero-grad", "error"),
    "GL702": ("missing-backward-or-step", "error"),
    "GL703": ("step-order", "error"),
    "GL704": ("missing-gradient-clipping", "warning"),
    "GL705": ("misplaced-clipping", "error"),
    "GL706": ("missing-train-mode", "warning"),
    "GL707": ("parameters-not-optimized", "error"),
    "GL708": ("learning-rate", "warning"),
    "GL709": ("loss-detached", "error"),
    "GL710": ("graph-kept-alive", "warning"),
    "GL711": ("scheduler-before-optimizer", "warning"),
    "GL712": ("unscaled-half-precision", "warning"),
    "GL713": ("update-breaks-leaf", "error"),
    "GL714": ("evaluation-with-gradient", "note"),
    "GL715": ("optimizer-per-step", "error"),
    "GL716": ("compile-after-optimizer", "note"),
    "GL717": ("manual-update", "error"),
    "GL801": ("unsafe-log", "warning"),
    "GL802": ("unsafe-sqrt", "warning"),
    "GL803": ("unsafe-division", "warning"),
    "GL804": ("where-hides-nan", "warning"),
    "GL805": ("overflowing-exp", "warning"),
    "GL806": ("unsafe-inverse-trig", "warning"),
    "GL807": ("eps-below-precision", "warning"),
    "GL901": ("unscaled-input", "warning"),
    "GL902": ("in-place-target", "note"),
    "GL903": ("shuffle-off", "warning"),
}
"""Code, name and default severity, which never change once they are released."""

PART = re.compile(r"; |: |, | because | so ")
"""What divides a message into what is wrong, why and what to do, where a rule has no advice of its own."""

MESSAGE_PARTS = 3
LEAST_WORDS = 4
RUN_FAMILY = "GL0"
LOUD = ("error", "warning")
UNUSED = "GL002"
"""Its fix comes with the finding: the comment is known where it is found idle."""

RUN_SECONDS = 280

PAGES = pages()
RUNNABLE = [page for page in PAGES if any(fence.language == "python" for fence in page.fences)]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
each_runnable = pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)

Results = Callable[[Page, Fence], list[dict[str, Any]]]


def file_of(page: Page, fence: Fence) -> str:
    """The file name that a fence is checked under."""
    same = page.of(fence.section)
    return f"{page.path.stem}_{fence.section.lower()}_{same.index(fence) + 1}.py"


def check(folder: Path, files: Iterable[str], depth: str) -> list[dict[str, Any]]:
    """The findings of one run over some files of a folder, traced or over source only."""
    flags = ["--isolated", "--no-cache", "--notes", "--output-format", "json", depth]
    command = [sys.executable, "-m", "gradlint", "check", *flags, *files]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert done.returncode in (0, 1), f"exit {done.returncode}\n{done.stderr}"
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return findings


def run(page_list: Iterable[Page], folder: Path, depth: str = "--trace") -> Results:
    """Checks every python fence of some pages in one run; hands out the findings of each fence, in order of place."""
    fences = [(page, fence) for page in page_list for fence in page.fences if fence.language == "python"]
    for page, fence in fences:
        (folder / file_of(page, fence)).write_text(fence.text + "\n", encoding="utf-8")
    found = check(folder, [file_of(page, fence) for page, fence in fences], depth) if fences else []

    def of(page: Page, fence: Fence) -> list[dict[str, Any]]:
        own = [finding for finding in found if Path(finding["path"]).name == file_of(page, fence)]
        return sorted(own, key=lambda finding: (finding["line"], finding["column"], finding["code"]))

    return of


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run(RUNNABLE, tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The findings of each fence when nothing is executed."""
    return run(RUNNABLE, tmp_path_factory.mktemp("read"), "--source")


def concise(finding: dict[str, Any]) -> str:
    """A finding as its page shows it."""
    return f"{finding['line']}:{finding['column']} {finding['severity']}: {finding['message']}"


def described(findings: Iterable[dict[str, Any]]) -> str:
    return "\n".join(f"{finding['path']}:{concise(finding)} [{finding['code']}]" for finding in findings)


def shown(page: Page, bad: Fence) -> Fence:
    """The text fence below a Bad fence."""
    later = [fence for fence in page.fences if fence.first > bad.first]
    assert later, f"{page.name}: no text fence follows the example on line {bad.first}"
    assert later[0].language == "text", f"{page.name}: no text fence follows the example on line {bad.first}"
    return later[0]


def also(page: Page) -> set[str]:
    """The codes that the Bad fences of a page may fire beside its own."""
    return set(re.findall(r"GL\d{3}", page.section("Also")))


@dataclass(frozen=True)
class Verdict:
    """What is wrong with one fence of a page (empty: nothing), and the text that its page should show."""

    complaint: str = ""
    text: str = ""


def judge_bad(page: Page, fence: Fence, code: str, findings: list[dict[str, Any]]) -> Verdict:
    """A Bad fence fires its rule, no other one at error level, and reads as its page says."""
    own = [finding for finding in findings if finding["code"] == code]
    text = "\n".join(map(concise, own))
    strangers = [f for f in findings if f["severity"] == "error" and f["code"] not in {code, *also(page)}]
    if strangers:
        return Verdict(f"other rules fire on the example on line {fence.first}:\n{described(strangers)}", text)
    if not own:
        said = described(findings) or "nothing"
        return Verdict(f"{code} is silent on the example on line {fence.first}; gradlint says\n{said}", text)
    if text != shown(page, fence).text:
        return Verdict(
            f"the example on line {fence.first} prints\n{text}\nand its page shows\n{shown(page, fence).text}", text
        )
    return Verdict(text=text)


def judge_good(fence: Fence, code: str, severity: str, findings: list[dict[str, Any]]) -> Verdict:
    """A Good fence gives no error and no warning, and nothing at all from a rule of note level itself."""
    wrong = [f for f in findings if f["severity"] in LOUD or (severity == "note" and f["code"] == code)]
    return Verdict(f"the example on line {fence.first} is good, but gradlint says\n{described(wrong)}" if wrong else "")


def agree(verdicts: Iterable[Verdict]) -> None:
    """Fails with all complaints."""
    complaints = [verdict.complaint for verdict in verdicts if verdict.complaint]
    if complaints:
        pytest.fail("\n\n".join(complaints), pytrace=False)


def bless_page(page: Page, results: Results, code: str) -> None:
    """Writes what gradlint says into the text fences of a page, the last one first so that lines keep their places."""
    for fence in reversed(page.of("Bad")):
        if text := judge_bad(page, fence, code, results(page, fence)).text:
            page.write(shown(page, fence), text)


@each_runnable
def test_bad_examples_fire_as_shown(page: Page, results: Results, bless: bool) -> None:
    if bless:
        bless_page(page, results, page.rule.code)
        page = Page(page.path)
    agree(judge_bad(page, fence, page.rule.code, results(page, fence)) for fence in page.of("Bad"))


@each_runnable
def test_good_examples_are_silent(page: Page, results: Results) -> None:
    fences = (*page.of("Good"), *page.of("Fixed"))
    agree(judge_good(fence, page.rule.code, page.rule.severity, results(page, fence)) for fence in fences)


def apply(text: str, edits: Iterable[dict[str, Any]]) -> str:
    """A text with the edits of a fix."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    places = [
        (starts[e["line"] - 1] + e["column"] - 1, starts[e["end_line"] - 1] + e["end_column"] - 1, e) for e in edits
    ]
    for start, end, edit in sorted(places, key=lambda place: place[0], reverse=True):
        text = text[:start] + edit["text"] + text[end:]
    return text


@each_runnable
def test_fixes_make_what_the_page_shows(page: Page, results: Results) -> None:
    for fence, fixed in zip(page.of("Bad"), page.of("Fixed"), strict=False):
        fixes = [f["fix"] for f in results(page, fence) if f["code"] == page.rule.code and f["fix"]]
        assert fixes, f"{page.name} shows what the fix makes, and there is none"
        assert apply(fence.text, (edit for fix in fixes for edit in fix["edits"])) == fixed.text


@each_runnable
def test_source_shows_the_same_where_no_recording_is_needed(page: Page, read: Results) -> None:
    """A run over source calls a comment unused only where it would have found what a recording finds."""
    if page.rule.needs_recording or page.rule.code.startswith(RUN_FAMILY):
        return
    for fence in page.of("Bad"):
        found = [finding for finding in read(page, fence) if finding["code"] == page.rule.code]
        wanted = len(shown(page, fence).text.splitlines())
        assert len(found) >= wanted, f"line {fence.first} is silent with --source: set needs_recording = True"


@each_runnable
def test_fixes_are_the_same_when_nothing_is_executed(page: Page, read: Results) -> None:
    for fence, fixed in zip(page.of("Bad"), page.of("Fixed"), strict=False):
        fixes = [f["fix"] for f in read(page, fence) if f["code"] == page.rule.code and f["fix"]]
        made = apply(fence.text, (edit for fix in fixes for edit in fix["edits"]))
        assert page.rule.needs_recording or made == fixed.text


@each_runnable
def test_a_fixable_rule_shows_what_its_fix_makes(page: Page, results: Results) -> None:
    bad, fixed = page.of("Bad"), page.of("Fixed")
    fixes = [[f["fix"] for f in results(page, fence) if f["code"] == page.rule.code and f["fix"]] for fence in bad]
    assert len(fixed) <= sum(map(bool, fixes)), "a Fixed fence is what the fixes of a Bad one make"
    assert bool(fixed) == (page.rule.fixable() or page.rule.code == UNUSED), "a fixable rule shows what its fix makes"
    if any(fix["applicability"] == "unsafe" for of_fence in fixes for fix in of_fence):
        assert "unsafe" in "\n".join(page.lines), "the page says why a fix is unsafe"


@each_page
def test_page_has_its_sections_in_order(page: Page) -> None:
    assert len(page.paragraphs) > 2, "a page says in one sentence what is wrong, and then why"
    assert page.sentence.endswith("."), "the first paragraph is one sentence"
    assert "Symptoms" in page.headings
    assert page.section("Symptoms"), "people search by symptoms"
    order = [HEADINGS.index(heading) for heading in page.headings]
    assert order == sorted(set(order)), f"the order is {', '.join(HEADINGS)}, each once"


@each_runnable
def test_page_has_as_many_near_misses_as_hits(page: Page) -> None:
    assert page.of("Bad"), "no example of what is bad"
    assert len(page.of("Good")) >= len(page.of("Bad"))


@each_page
def test_page_stands_in_its_file_line_by_line(page: Page) -> None:
    assert page.lines_match_file, "use a raw docstring and no escaped line ends, so that BLESS=1 finds the fences"
    for fence in page.fences:
        assert fence.indent == " " * 4, f"line {fence.first}: fences are indented by four"
        assert fence.section, f"line {fence.first}: the fence belongs to no section"
        assert fence.language in ("python", "text", "toml"), f"line {fence.first}: ```{fence.language}"


@each_runnable
def test_examples_are_python(page: Page) -> None:
    for fence in page.fences:
        if fence.language == "python" and not (page.name == "syntax-error" and fence.section == "Bad"):
            compile(fence.text, f"{page.name}, line {fence.first}", "exec")


def test_no_example_stands_twice() -> None:
    seen: dict[str, str] = {}
    for page in PAGES:
        for fence in (fence for fence in page.fences if fence.language == "python"):
            place = f"{page.name}, line {fence.first}"
            assert fence.text not in seen, f"{place} repeats {seen[fence.text]}"
            seen[fence.text] = place


@each_page
def test_rule_is_in_the_catalogue(page: Page) -> None:
    code = page.rule.code
    assert code in CATALOGUE, f"{code} of {page.name} is not in the catalogue"
    assert (page.name, str(page.rule.severity)) == CATALOGUE[code]


def test_every_rule_of_the_catalogue_has_its_file() -> None:
    missing = {name for name, _ in CATALOGUE.values()} - {page.name for page in PAGES}
    assert not missing, f"no file in rules/ for {', '.join(sorted(missing))}"


def printed(page: Page) -> list[str]:
    """The messages that the page shows; the rule's own text where it shows none."""
    lines = [line for fence in page.of("Bad", "text") for line in fence.text.splitlines()]
    return [line.partition(": ")[2] for line in lines] or [page.rule.message]


@each_page
def test_message_says_what_why_and_what_to_do(page: Page) -> None:
    message, advice = page.rule.message, page.rule.advice
    for text in filter(None, (message, advice)):
        assert not text.endswith((".", "!")), f"a full stop: {text}"
        assert not text[0].isupper() or text.split()[0].isupper(), f"a capital: {text}"
        assert text == text.strip()
        assert "\n" not in text
    for text in printed(page):
        assert len(text.split()) >= LEAST_WORDS, f"what is wrong, and why it matters: {text!r}"
        assert advice or len(PART.split(text)) >= MESSAGE_PARTS, f"what is to be done about it: {text!r}"


SAMPLE = '''"""A sample is wrong.

Because it is a sample.

Bad:

    ```python
    x = 1
    y = 2
    ```

    ```text
    old
    ```

    ```python
    z = "\\t"
    ```

    ```text
    older
    and two lines
    ```

Good:

    ```python
    x = 2
    ```

Also: GL109 where it is used

Symptoms: none
"""
'''


@pytest.fixture
def sample(tmp_path: Path) -> Page:
    (tmp_path / "sample_rule.py").write_text(SAMPLE, encoding="utf-8")
    return Page(tmp_path / "sample_rule.py")


def finding(code: str = "GL101", severity: str = "error", line: int = 1, message: str = "old") -> dict[str, Any]:
    return {"path": "f.py", "code": code, "severity": severity, "line": line, "column": 1, "message": message}


def test_fences_are_read_with_their_places(sample: Page) -> None:
    lines = SAMPLE.split("\n")
    assert [fence.text for fence in sample.of("Bad")] == ["x = 1\ny = 2", 'z = "\t"']
    for fence in sample.of("Bad", "text"):
        assert "\n".join(line.strip() for line in lines[fence.first - 1 : fence.end - 1]) == fence.text


def test_blessing_rewrites_each_text_fence(sample: Page) -> None:
    findings = {fence: [finding(line=9), finding(line=10)] for fence in sample.of("Bad")}
    bless_page(sample, lambda _, fence: findings[fence], "GL101")
    again = Page(sample.path)
    assert [fence.text for fence in again.of("Bad", "text")] == ["9:1 error: old\n10:1 error: old"] * 2
    assert [fence.text for fence in again.of("Bad")] == [fence.text for fence in sample.of("Bad")]
    assert not any(
        judge_bad(again, f, "GL101", findings[g]).complaint for f, g in zip(again.of("Bad"), findings, strict=True)
    )


@pytest.mark.parametrize(
    ("findings", "complaint"),
    [
        ([], "silent"),
        ([finding(severity="warning", code="GL109")], "silent"),
        ([finding(), finding(code="GL105")], "other rules"),
        ([finding(line=3)], "its page shows"),
        ([finding(), finding(code="GL109")], "its page shows"),
    ],
)
def test_a_bad_example_is_judged(sample: Page, findings: list[dict[str, Any]], complaint: str) -> None:
    assert complaint in judge_bad(sample, sample.of("Bad")[0], "GL101", findings).complaint


def test_a_good_example_is_judged(sample: Page) -> None:
    fence = sample.of("Good")[0]
    assert judge_good(fence, "GL101", "error", [finding(code="GL501", severity="warning")]).complaint
    assert judge_good(fence, "GL114", "note", [finding(code="GL114", severity="note")]).complaint
    assert not judge_good(fence, "GL102", "error", [finding(code="GL102", severity="note")]).complaint


def test_edits_are_applied_from_the_end() -> None:
    edits = [
        {"line": 1, "column": 1, "end_line": 1, "end_column": 2, "text": "long"},
        {"line": 2, "column": 3, "end_line": 2, "end_column": 4, "text": ""},
        {"line": 1, "column": 3, "end_line": 1, "end_column": 4, "text": "b"},
    ]
    assert apply("a c\nd ef\n", edits) == "long b\nd f\n"
