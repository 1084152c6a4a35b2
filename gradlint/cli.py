"""The command line: its commands and flags, and how the process ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gradlint import streams
from gradlint.errors import GradlintError, TargetError, UsageError, did_you_mean
from gradlint.linting import (
    BROKEN,
    CLEAN,
    FOUND,
    INTERRUPTED,
    MISUSED,
    announce,
    lint_and_report,
    linted,
    run_settings,
    settings_tree,
)
from gradlint.options import (
    Baseline,
    Color,
    Config,
    Inputs,
    Isolated,
    Mebibytes,
    Quiet,
    Seconds,
    Targets,
    Verbose,
    Words,
)
from gradlint.terminal import ISSUES, colored, note, say, session, view, write_file

DEFAULT_COMMAND = "check"
DEMO_FILE = "demo.py"

CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]
"""What the parser raises. Newer typers ship a click of their own, so it is found by its place above `BadParameter`."""


class _CheckByDefault(TyperGroup):
    """`gradlint TARGET…` is `gradlint check TARGET…`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help", "-h"):
            _refuse_misspelt(args[0], self.commands)
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


def _refuse_misspelt(word: str, commands: Iterable[str]) -> None:
    """Raises `UsageError` for a word that is nearly a command and no target."""
    near = did_you_mean(word, commands) if word.isalpha() and not os.path.exists(word) else ""
    if near:
        raise UsageError(f"{word}: neither a command nor a file{near}")


app = typer.Typer(
    cls=_CheckByDefault,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds the parameters that get no gradient, and the expression that is to blame.",
    epilog="gradlint TARGET... is short for gradlint check TARGET...; gradlint --version prints the version.",
)


@app.command()
def check(
    targets: Targets = None,
    select: Words = None,
    ignore: Words = None,
    extend_select: Words = None,
    notes: Annotated[bool | None, typer.Option("--notes", help="Show notes too.")] = None,
    source: Annotated[bool, typer.Option("--source", "--no-trace", help="Import nothing of the user's.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Import, build and run the models in a worker.")] = False,
    inputs: Inputs = None,
    fail_on: Annotated[str | None, typer.Option(metavar="SEVERITY", help="error, warning, note or never.")] = None,
    exit_zero: Annotated[bool | None, typer.Option("--exit-zero", help="Exit 0 also with findings.")] = None,
    output_format: Annotated[str | None, typer.Option(metavar="FORMAT", help="full, concise or json.")] = None,
    output: Annotated[list[str] | None, typer.Option(metavar="FORMAT:FILE", help="Write a report to a file.")] = None,
    config: Config = None,
    isolated: Isolated = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")] = False,
    cache_dir: Annotated[str | None, typer.Option(metavar="FOLDER")] = None,
    jobs: Annotated[str | None, typer.Option("--jobs", "-j", metavar="N", help="Workers at once.")] = None,
    timeout: Seconds = None,
    memory: Mebibytes = None,
    require_trace: Annotated[bool | None, typer.Option("--require-trace", help="Fail on what is not traced.")] = None,
    stdin_filename: Annotated[str | None, typer.Option(metavar="FILE", help="The name of what `-` reads.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB")] = None,
    baseline: Baseline = None,
    diff_base: Annotated[str | None, typer.Option(metavar="REV", help="Only lines changed since then count.")] = None,
    fix: Annotated[bool | None, typer.Option("--fix", help="Apply the safe fixes.")] = None,
    unsafe_fixes: Annotated[bool | None, typer.Option("--unsafe-fixes", help="The others too, with --fix.")] = None,
    diff: Annotated[bool | None, typer.Option("--diff", help="Print what --fix would change; write nothing.")] = None,
    quiet: Quiet = None,
    verbose: Verbose = None,
    color: Color = None,
) -> int:
    """Lint files, folders or models (the default command)."""
    given = dict(locals())
    given["depth"] = _depth(given.pop("source"), given.pop("trace"))
    given["cache"] = False if given.pop("no_cache") else None
    texts = given.pop("targets") or ["."]
    return lint_and_report(texts, settings_tree(given))


@app.command()
def baseline(
    targets: Targets = None,
    select: Words = None,
    ignore: Words = None,
    extend_select: Words = None,
    source: Annotated[bool, typer.Option("--source", "--no-trace", help="Import nothing of the user's.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Import, build and run the models in a worker.")] = False,
    baseline: Baseline = None,
    config: Config = None,
    isolated: Isolated = False,
    jobs: Annotated[str | None, typer.Option("--jobs", "-j", metavar="N", help="Workers at once.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB")] = None,
    quiet: Quiet = None,
    verbose: Verbose = None,
    color: Color = None,
) -> int:
    """Write today's findings down, so that only new ones count."""
    from gradlint.baseline import FILE, today, written

    given = dict(locals())
    for name in ("FILE", "today", "written"):
        del given[name]
    given["depth"] = _depth(given.pop("source"), given.pop("trace"))
    texts = given.pop("targets") or ["."]
    tree = settings_tree(given)
    settings = run_settings(texts, tree)
    file = Path(settings.root, settings.baseline or FILE)
    result = linted(texts, settings.model_copy(update={"baseline": str(file) if file.exists() else None}), tree)
    entries = today(result.comparison, file)
    write_file(file, written(entries))
    note(f"{len(entries)} findings written to {os.path.relpath(file)}")
    return CLEAN


@app.command("cache")
def clean_cache(
    action: Annotated[str, typer.Argument(metavar="clean", help="Removes the cache.")],
    cache_dir: Annotated[str | None, typer.Option(metavar="FOLDER")] = None,
    config: Config = None,
    isolated: Isolated = False,
) -> int:
    """Remove the verdicts that are kept for the next run."""
    if action != "clean":
        raise UsageError(f"cache {action}: gradlint can clean the cache, nothing else{did_you_mean(action, ['clean'])}")
    from gradlint.cache import clean
    from gradlint.source_run import folder

    given = {"cache_dir": cache_dir, "config": config, "isolated": isolated}
    place = folder(run_settings(["."], settings_tree(given)))
    note(f"{os.path.relpath(place)} {'is removed' if clean(place) else 'does not exist'}")
    return CLEAN


@app.command()
def why(
    target: Annotated[str, typer.Argument(help="A file or model.py:Net.")],
    parameter: Annotated[str, typer.Argument(help="A name from named_parameters(), such as encoder.0.weight.")],
    inputs: Inputs = None,
    config: Config = None,
    isolated: Isolated = False,
    timeout: Seconds = None,
    memory: Mebibytes = None,
    quiet: Quiet = None,
    verbose: Verbose = None,
    color: Color = None,
) -> int:
    """Show a parameter's way to the loss, op by op, and where it ends."""
    given = dict(locals())
    del given["parameter"]
    given.pop("target")
    settings = run_settings([target], settings_tree(given))
    announce([target], settings)
    from gradlint.report.way import render
    from gradlint.tracing import why as ask

    say(render(ask(target, parameter, settings), view(settings)))
    return CLEAN


@app.command()
def graph(
    target: Annotated[str, typer.Argument(help="model.py:Net, a file with one model, .onnx or .pt2.")],
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text, dot, mermaid, json, fx or onnx.")
    ] = "text",
    levels: Annotated[int | None, typer.Option("--depth", metavar="N", help="Levels of modules to open.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file.")] = None,
    source: Annotated[bool, typer.Option("--source", "--no-trace", help="Import nothing of the user's.")] = False,
    inputs: Inputs = None,
    config: Config = None,
    isolated: Isolated = False,
    timeout: Seconds = None,
    memory: Mebibytes = None,
    quiet: Quiet = None,
    color: Color = None,
) -> int:
    """Show a model's graph: modules, ops, and where gradient is stopped on its way back."""
    given = {key: value for key, value in locals().items() if key not in ("target", "form", "levels", "output")}
    given["depth"] = _depth(given.pop("source"), False)
    settings = run_settings([target], settings_tree(given))
    from gradlint.report import graph as report

    report.check(form, levels, output is not None)
    announce([target], settings)
    from gradlint.report.graph.asked import graph_of

    made = report.render(form, graph_of(target, settings), levels)
    if output is None:
        say(str(made))
    else:
        write_file(output, made)
    return CLEAN


@app.command()
def profile(
    target: Annotated[str, typer.Argument(help="A file, model.py:Net, hf:NAME, timm:NAME, .onnx or .pt2.")],
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
    tensorboard: Annotated[Path | None, typer.Option(metavar="DIR", help="Write event files there too.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file.")] = None,
    source: Annotated[bool, typer.Option("--source", "--no-trace", help="Import nothing of the user's.")] = False,
    inputs: Inputs = None,
    config: Config = None,
    isolated: Isolated = False,
    timeout: Seconds = None,
    memory: Mebibytes = None,
    quiet: Quiet = None,
    color: Color = None,
) -> int:
    """Show how large the gradient of every layer is at the start of training, measured and predicted."""
    given = {key: value for key, value in locals().items() if key not in ("target", "form", "tensorboard", "output")}
    given["depth"] = _depth(given.pop("source"), False)
    settings = run_settings([target], settings_tree(given))
    from gradlint.report import profile as report

    report.check(form, tensorboard is not None)
    announce([target], settings)
    graphs = report.measured(target, settings)
    if tensorboard is not None:
        note(report.to_tensorboard(graphs, tensorboard))
    painted = output is None and colored(settings.color)
    made = report.render(form, graphs, color=painted, width=shutil.get_terminal_size((100, 24)).columns)
    if output is None:
        say(made)
    else:
        write_file(output, made)
    return CLEAN


@app.command()
def rule(
    words: Annotated[list[str] | None, typer.Argument(metavar="[CODE|NAME|MESSAGE]", help="Nothing: all.")] = None,
    color: Color = None,
) -> int:
    """List the rules, print a rule's page, or find the rule of an error message."""
    from gradlint.symptoms import answer

    say(answer(" ".join(words or ()), colored(color or "auto")))
    return CLEAN


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Leave the file there.")] = None,
    output_format: Annotated[str | None, typer.Option(metavar="FORMAT", help="full, concise or json.")] = None,
    quiet: Quiet = None,
    verbose: Verbose = None,
    color: Color = None,
) -> int:
    """Lint a file with a dozen planted gradient bugs that trains without an exception."""
    from gradlint.demo import planted

    given = dict(locals())
    given = {key: given[key] for key in ("output_format", "quiet", "verbose", "color")} | {"isolated": True}
    with planted(keep, DEMO_FILE) as folder, contextlib.chdir(folder):
        return lint_and_report([DEMO_FILE], settings_tree(given))


@app.command()
def doctor() -> int:
    """Say what is installed, which limits hold, and which settings file is read."""
    from gradlint.doctor import examine

    say("".join(f"{label:<25}{value}\n" for label, value in examine(Path.cwd())))
    return CLEAN


def _depth(source: bool, trace: bool) -> str | None:
    if source and trace:
        raise UsageError("--source and --trace exclude each other")
    return "source" if source else "trace" if trace else None


def run(arguments: Sequence[str]) -> int:
    """Runs a command line and returns its exit code; never raises."""
    streams.prepare()
    with session() as now:
        code = _run(list(arguments))
        if code == INTERRUPTED:
            note("interrupted")
    if now.basis is not None and code in (CLEAN, FOUND):
        from gradlint.encore import remember

        remember(now.cache, arguments, now.basis, code, now.said)
    return code


def _run(arguments: list[str]) -> int:
    try:
        return int(app(arguments, prog_name="gradlint", standalone_mode=False) or CLEAN)
    except (UsageError, TargetError) as error:
        note(f"error: {error}")
        return MISUSED
    except CommandLineError as error:
        return _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except typer.Exit as error:
        return error.exit_code
    except Exception as error:
        return _broken(error, "-v" in arguments or "--verbose" in arguments)


def _misused(error: Any) -> int:
    """The parser's own complaint in one line."""
    message = error.format_message().strip()
    if not message:
        return MISUSED
    line = " ".join(message.rstrip(".").split())
    note(f"error: {line[:1].lower()}{line[1:]}")
    return MISUSED


def _broken(error: Exception, verbose: bool) -> int:
    text = " ".join(str(error).split()) or "no message"
    what = text if isinstance(error, GradlintError) else f"{type(error).__name__}: {text}"
    note(f"internal error: {what}; please report it at {ISSUES} (-v shows the traceback)")
    if verbose:
        sys.stderr.write(traceback.format_exc())
    return BROKEN
