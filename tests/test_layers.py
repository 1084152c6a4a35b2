"""Who may import whom, who may print, and how long things may get."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tree import RULES, Import, Module, length, modules, rules

LAYERS = (
    ("finding", "errors", "frame", "intent", "magics", "notebook_cells", "streams", "garbage"),
    ("source", "code", "graph", "training", "inputs", "ops", "compilation", "kernel", "wire", "git", "judged", "crowd"),
    ("rule", "recording", "notebook"),
    (
        "analysis",
        "registry",
        "config",
        "suppress",
        "baseline",
        "fixes",
        "cache",
        "discover",
        "listing",
        "changes",
        "frontends",
    ),
    (
        "worker",
        "fork_server",
        "child",
        "sandbox",
        "machine",
        "judging",
        "proving",
        "tracing",
        "merging",
        "source_run",
        "graph_files",
        "encore",
        "finishing",
        "engine",
        "fixing",
    ),
    ("report", "testing", "lsp", "progress", "symptoms", "demo", "doctor"),
    ("terminal", "options"),
    ("linting",),
    ("cli", "__main__", "__init__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
RULES_MAY_IMPORT = {"finding", "frame", "graph", "compilation", "training", "source", "code", "ops", "rule", "analysis"}

NEIGHBOURS = {
    ("graph", "training"): "a graph holds the training step that it was recorded in",
    ("graph", "compilation"): "a model holds what the compiler made of it",
    ("suppress", "registry"): "an ignore comment names rules, and a wrong name is a finding",
    ("__main__", "cli"): "everything but the version goes to the command line",
    ("engine", "worker"): "the engine starts the workers",
    ("engine", "judging"): "the engine hands each file to the judge of its source",
    ("engine", "tracing"): "the engine hands each target with models to the judge of its recording",
    ("engine", "proving"): "the graphs of a live model are judged as those of a file",
    ("engine", "source_run"): "the engine hands over all files that are only read",
    ("engine", "graph_files"): "the engine hands over all files that hold a graph",
    ("graph_files", "worker"): "a file that somebody else made is read by the worker",
    ("graph_files", "proving"): "the rules read the graphs of files",
    ("engine", "merging"): "what all targets showed becomes one report",
    ("engine", "finishing"): "the comments are read when all findings are known",
    ("fixing", "engine"): "what was fixed is linted again",
    ("source_run", "judging"): "what the cache does not hold is judged",
    ("discover", "listing"): "a folder means its files",
    ("tracing", "worker"): "a target is recorded by the worker",
    ("tracing", "graph_files"): "the way of a parameter in a file is asked like that in a program",
    ("tracing", "judging"): "both judges answer alike",
    ("tracing", "proving"): "the rules read recorded graphs",
    ("judging", "proving"): "the rules read what the source shows",
    ("fork_server", "child"): "the server forks its children",
    ("child", "sandbox"): "a child runs inside the sandbox",
}
"""Imports between two parts of one layer, each with its reason; they must not form a circle."""

WORKER = ("frontends", "worker", "fork_server", "child", "sandbox")
"""The parts that run in the process that runs a user's code."""

ONLY_IN = {
    "torch": WORKER,
    "onnx": WORKER,
    "keras": WORKER,
    "tensorflow": WORKER,
    "jittor": WORKER,
    "numpy": WORKER,
    "transformers": WORKER,
    "timm": WORKER,
    "libcst": ("fixes",),
    "networkx": ("graph", "analysis"),
}
"""Third-party packages and the parts that may import them."""

MAY_PRINT = ("cli", "terminal", "streams", "__main__")
MAY_LEAVE_A_CHILD = ("worker", "fork_server", "child", "sandbox", "machine", "kernel")

MOST_MODULE_LINES = 400
MEDIAN_FUNCTION_LINES = 8
USUAL_FUNCTION_LINES = 30
USUAL_SHARE = 0.9
MOST_FUNCTION_LINES = 60


def complain(lines: list[str]) -> None:
    """Fails with one line for each offence."""
    if lines:
        pytest.fail(f"{len(lines)} offences\n" + "\n".join(lines), pytrace=False)


def part_of(target: str) -> str | None:
    """The part of gradlint that an import names; None for other packages and for `from gradlint import __version__`."""
    head, _, rest = target.partition(".")
    part = rest.partition(".")[0]
    return part if head == "gradlint" and part and part != "__version__" else None


def own_imports() -> Iterator[tuple[Module, Import, str]]:
    return (
        (module, found, part)
        for module in modules()
        for found in module.imports
        if (part := part_of(found.target)) is not None and part != module.parts[0]
    )


def allowed(module: str, target: str, typing: bool) -> bool:
    """Whether a part may import another one: from below, or from beside for typing or with a reason."""
    here, there = LEVEL[module], LEVEL[target]
    return there < here or (there == here and (typing or (module, target) in NEIGHBOURS))


def test_every_module_has_a_layer() -> None:
    complain([f"{m.place}: no layer is known for {m.parts[0]!r}" for m in modules() if m.parts[0] not in LEVEL])


def test_imports_come_from_lower_layers() -> None:
    complain(
        [
            f"{module.place}:{found.line}: layer {LEVEL[module.parts[0]]} imports {found.target} of layer {LEVEL[part]}"
            for module, found, part in own_imports()
            if module.parts[0] in LEVEL and part in LEVEL and not allowed(module.parts[0], part, found.typing)
        ]
    )


def test_neighbours_form_no_circle() -> None:
    assert not {(second, first) for first, second in NEIGHBOURS} & set(NEIGHBOURS)
    assert all(LEVEL[first] == LEVEL[second] for first, second in NEIGHBOURS)


def test_imports_name_parts_that_exist() -> None:
    names = {*LEVEL, "rules", "check", "check_paths", "intended"}
    complain(
        [f"{m.place}:{found.line}: {found.target} is nobody's" for m, found, part in own_imports() if part not in names]
    )


def test_heavy_packages_stay_where_they_belong() -> None:
    complain(
        [
            f"{module.place}:{found.line}: imports {found.target}"
            for module in (*modules(), *rules())
            for found in module.imports
            if not found.typing and module.parts[0] not in ONLY_IN.get(found.target.partition(".")[0], module.parts)
        ]
    )


def test_rules_import_only_what_they_may() -> None:
    complain(
        [
            f"{rule.place}:{found.line}: a rule imports {found.target}"
            for rule in rules()
            for found in rule.imports
            if (part := part_of(found.target)) is not None and part not in RULES_MAY_IMPORT
        ]
    )


def is_a_rule(target: str) -> bool:
    return target.startswith(("gradlint.rules.", "rules."))


def test_nobody_imports_a_rule() -> None:
    complain(
        [
            f"{module.place}:{found.line}: imports the rule {found.target}"
            for module in (*modules(), *rules())
            for found in module.imports
            if is_a_rule(found.target)
        ]
    )


def test_rules_are_flat() -> None:
    complain([f"{path.relative_to(RULES.parent)}: lies too deep" for path in RULES.glob("*/**/*.py")])
    assert not (RULES / "__init__.py").exists()


def prints(call: ast.Call) -> bool:
    """Whether a call writes to the terminal by itself."""
    match call.func:
        case ast.Name(id="print"):
            return all(word.arg != "file" or "std" in ast.unparse(word.value) for word in call.keywords)
        case ast.Attribute(value=value, attr="write" | "writelines"):
            return ast.unparse(value) in ("sys.stdout", "sys.stderr", "sys.stdout.buffer", "sys.stderr.buffer")
    return ast.unparse(call.func) in ("typer.echo", "typer.secho", "click.echo", "rich.print", "pprint")


def exits(node: ast.AST) -> bool:
    """Whether a node ends the process."""
    match node:
        case ast.Call(func=func):
            return ast.unparse(func) in ("sys.exit", "exit", "quit", "SystemExit", "typer.Exit")
        case ast.Raise(exc=ast.Name(id="SystemExit")):
            return True
    return False


def leaves(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "os._exit"


def test_only_the_command_line_prints() -> None:
    quiet = (module for module in (*modules(), *rules()) if module.parts[0] not in MAY_PRINT)
    complain([f"{m.place}:{call.lineno}: {ast.unparse(call)}" for m in quiet for call in m.calls if prints(call)])


def test_only_the_command_line_exits() -> None:
    quiet = [module for module in (*modules(), *rules()) if module.parts[0] not in MAY_PRINT]
    nodes = [(module, node) for module in quiet for node in ast.walk(module.tree)]
    complain(
        [
            f"{module.place}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"
            for module, node in nodes
            if exits(node) or (leaves(node) and module.parts[0] not in MAY_LEAVE_A_CHILD)
        ]
    )


def test_modules_are_short() -> None:
    long = [m for m in (*modules(), *rules()) if len(m.text.splitlines()) >= MOST_MODULE_LINES]
    heads = [(module, (ast.get_docstring(module.tree) or "").partition("\n")[0]) for module in long]
    complain(
        [
            f"{module.place}: {len(module.text.splitlines())} lines, and its first line does not say because of what"
            for module, head in heads
            if "because" not in head
        ]
    )


def test_no_module_for_odds_and_ends() -> None:
    names = {"utils", "util", "common", "helpers", "misc"}
    complain([module.place for module in (*modules(), *rules()) if module.path.stem in names])


def test_functions_are_short() -> None:
    sizes = [(length(f), f"{m.place}:{f.lineno} {f.name}") for m in (*modules(), *rules()) for f in m.functions]
    lines = [size for size, _ in sizes]
    usual = sum(size <= USUAL_FUNCTION_LINES for size in lines) / len(lines)
    long = [f"{place}: {size} lines" for size, place in sorted(sizes, reverse=True) if size > MOST_FUNCTION_LINES]
    if (median := statistics.median(lines)) > MEDIAN_FUNCTION_LINES:
        long.append(f"the median function has {median} lines, {MEDIAN_FUNCTION_LINES} allowed")
    if usual < USUAL_SHARE:
        long.append(f"{usual:.0%} of the functions have at most {USUAL_FUNCTION_LINES} lines, {USUAL_SHARE:.0%} wanted")
    complain(long)


def test_every_module_says_what_it_is() -> None:
    written = (module for module in (*modules(), *rules()) if module.text.strip())
    complain([f"{module.place}: no docstring" for module in written if not ast.get_docstring(module.tree)])


OFFENDER = """
from __future__ import annotations
import sys
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import torch
from .. import engine
from ..rules.detached_tensor import DetachedTensor
def lazy():
    import importlib
    return importlib.import_module("onnx.helper")
print("x", file=sys.stderr)
sys.exit(1)
"""


@pytest.fixture
def offender(tmp_path: Path) -> Module:
    (tmp_path / "bad.py").write_text(OFFENDER)
    return Module(tmp_path / "bad.py", "gradlint.analysis.bad")


def test_imports_are_found_wherever_they_stand(offender: Module) -> None:
    found = {(one.target, one.typing) for one in offender.imports}
    assert {("torch", True), ("gradlint.engine", False), ("onnx.helper", False)} <= found
    assert any(is_a_rule(target) for target, _ in found)


def test_upward_imports_are_refused() -> None:
    assert not allowed("analysis", "engine", typing=True)
    assert not allowed("analysis", "registry", typing=False)
    assert allowed("analysis", "registry", typing=True)
    assert allowed("engine", "analysis", typing=False)


def test_prints_and_exits_are_found(offender: Module) -> None:
    assert sum(prints(call) for call in offender.calls) == 1
    assert sum(exits(call) for call in offender.calls) == 1
