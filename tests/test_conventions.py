"""Conventions that a reader relies on: clean tools, a README that tells the truth, settings that the tools accept."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable

import pytest
import yaml

from tests.pages import Page, pages
from tests.tree import ROOT, modules, rules

README = ROOT / "README.md"
MYPY_SECONDS = 280


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A tool of this environment, run in the project's root."""
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=MYPY_SECONDS
    )


def expect_clean(*command: str) -> None:
    done = run(*command)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def test_ruff_is_clean() -> None:
    expect_clean("ruff", "check", ".")


def test_format_is_clean() -> None:
    expect_clean("ruff", "format", "--check", ".")


@pytest.mark.slow
def test_mypy_is_clean() -> None:
    expect_clean("mypy", "--strict")


def marked(name: str) -> str:
    """The text between two markers of README.md."""
    match = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README.read_text(encoding="utf-8"), re.DOTALL)
    assert match, f"README.md has no markers for {name}"
    return match[1]


def fenced(name: str) -> str:
    """The only command in a marked fence of README.md."""
    (line,) = [line for line in marked(name).splitlines() if line and not line.startswith("```")]
    return line


def replace_marked(name: str, text: str) -> None:
    """Rewrites the text between two markers of README.md."""
    assert marked(name) is not None
    head, opening, rest = README.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, closing, tail = rest.partition(f"<!-- /{name} -->")
    README.write_text(head + opening + text + closing + tail, encoding="utf-8")


def rule_table(page_list: Iterable[Page]) -> str:
    """README's table of rules: a row for each page, in the order of the codes."""
    rows = sorted((page.rule.code, page.name, str(page.rule.severity), page.sentence) for page in page_list)
    lines = [f"| {code} | [{name}]({link(name)}) | {severity} | {says} |" for code, name, severity, says in rows]
    return "\n".join(["| code | name | severity | what it finds |", "|---|---|---|---|", *lines]) + "\n"


def link(name: str) -> str:
    return f"rules/{name.replace('-', '_')}.py"


def test_readme_lists_the_rules(bless: bool) -> None:
    table = rule_table(pages())
    if bless:
        replace_marked("rules", table)
    assert marked("rules") == table, "README's table of rules is stale: BLESS=1 pytest tests/test_conventions.py"


def test_ci_runs_the_command_of_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert fenced("test") in lines
    assert "set -eu" in lines
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_both_commands_set_up_alike() -> None:
    demo, test = (fenced(name).split(" && ") for name in ("demo", "test"))
    assert demo[:-1] == test[:-1]
    assert demo[-1] == ".venv/bin/gradlint demo"
    assert "-c .constraints.txt" in demo[1]


def test_readme_warns_of_the_other_gradlint() -> None:
    text = README.read_text(encoding="utf-8")
    assert "pip install gradlint-nn" in text
    assert "unrelated" in text
    assert not re.search(r"pip install (-\S+ )*gradlint\b(?!-nn)", text)


def test_figures_are_marked() -> None:
    assert marked("figures").startswith("|")


def test_readme_links_to_files_that_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert not [link for link in links if not (ROOT / link).exists()]


def test_torch_is_pinned_where_the_commands_install_it() -> None:
    pins = (ROOT / ".constraints.txt").read_text(encoding="utf-8").split()
    assert [pin.partition("==")[0] for pin in pins] == ["torch"]


def test_no_extra_brings_another_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [line for lines in project["optional-dependencies"].values() for line in lines] + project["dependencies"]
    names = {re.match(r"[\w.-]+", line)[0].lower() for line in wanted}  # type: ignore[index]
    assert not names & {"timm", "torchvision", "torchaudio", "lightning", "accelerate"}


def test_hooks_run_the_tools_of_the_tests() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert {" ".join(entry.split()[2:4]) for entry in entries} == {"ruff check", "ruff format", "mypy --strict"}


def test_every_module_is_used() -> None:
    imported = {found.target for module in (*modules(), *rules()) for found in module.imports}
    named = {text for module in modules() for text in re.findall(r"[\"'](?:gradlint)?[.\w]*[\"']", module.text)}
    entries = {"gradlint", "gradlint.__main__", "gradlint.worker", "gradlint.testing", "gradlint.lsp"}

    def used(name: str) -> bool:
        inside = any(target == name or target.startswith(f"{name}.") for target in imported)
        return inside or any(name.endswith(text.strip("\"'.")) for text in named if len(text) > len("''"))

    orphans = [module.place for module in modules() if module.name not in entries and not used(module.name)]
    assert not orphans, "nobody imports " + ", ".join(orphans)
