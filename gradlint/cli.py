"""The command line: the only module that prints, and that decides how the process ends."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gradlint.errors import GradlintError, TargetError, UsageError, did_you_mean

if TYPE_CHECKING:
    from gradlint.config import Settings
    from gradlint.finding import Report

CLEAN, FOUND, MISUSED, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130
INTERNAL = "internal"
"""The code of a failure in a report that is gradlint's own fault."""

ISSUES = "https://github.com/gradlint/gradlint/issues"
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

Targets = Annotated[list[str] | None, typer.Argument(metavar="TARGET...", help="Files, folders, model.py:Net, - …")]
Words = Annotated[list[str] | None, typer.Option(metavar="RULE", help="A code, name or prefix; repeat or use commas.")]
Config = Annotated[list[str] | None, typer.Option(metavar="FILE|KEY=VALUE", help="A settings file or one setting.")]
Inputs = Annotated[list[str] | None, typer.Option("--input", metavar="1x3x224x224", help="An input of the model.")]
Seconds = Annotated[str | None, typer.Option(metavar="SECONDS", help="Time for one model's worker.")]
Mebibytes = Annotated[str | None, typer.Option(metavar="MIB", help="Memory for one model's worker.")]
Quiet = Annotated[bool | None, typer.Option("--quiet", "-q", help="Findings only.")]
Verbose = Annotated[bool | None, typer.Option("--verbose", "-v", help="Say every step, and why an attempt failed.")]
Isolated = Annotated[bool, typer.Option("--isolated", help="Read no settings file.")]
Color = Annotated[str | None, typer.Option(metavar="auto|always|never", help="Colour on the terminal.")]


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
    quiet: Quiet = None,
    verbose: Verbose = None,
    color: Color = None,
) -> int:
    """Lint files, folders or models (the default command)."""
    given = dict(locals())
    given["depth"] = _depth(given.pop("source"), given.pop("trace"))
    given["cache"] = False if given.pop("no_cache") else None
    texts = given.pop("targets") or ["."]
    return _check(texts, _settings(texts, given))


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
    settings = _settings([given.pop("target")], given)
    _announce([target], settings)
    from gradlint.engine import why as ask
    from gradlint.report.way import render

    _say(render(ask(target, parameter, settings), _view(settings)))
    return CLEAN


@app.command()
def rule(
    words: Annotated[list[str] | None, typer.Argument(metavar="[CODE|NAME|MESSAGE]", help="Nothing: all.")] = None,
    color: Color = None,
) -> int:
    """List the rules, print a rule's page, or find the rule of an error message."""
    from gradlint.symptoms import answer

    _say(answer(" ".join(words or ()), _colored(color or "auto")))
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
        return _check([DEMO_FILE], _settings([DEMO_FILE], given))


@app.command()
def doctor() -> int:
    """Say what is installed, which limits hold, and which settings file is read."""
    from gradlint.doctor import examine

    _say("".join(f"{label:<25}{value}\n" for label, value in examine(Path.cwd())))
    return CLEAN


def _depth(source: bool, trace: bool) -> str | None:
    if source and trace:
        raise UsageError("--source and --trace exclude each other")
    return "source" if source else "trace" if trace else None


def _settings(texts: Sequence[str], given: dict[str, Any]) -> Settings:
    """The settings for the first target; the command line's lists and flags win over the file's."""
    from gradlint.config import load_settings
    from gradlint.inputs import parse_input
    from gradlint.report import check_format

    options, isolated = given.pop("config", None) or (), given.pop("isolated")
    overrides = {key: _list(key, value) for key, value in given.items() if value is not None}
    settings = load_settings(_start(texts[0]), options, isolated, overrides)
    for text in settings.inputs:
        parse_input(text)
    check_format(settings.output_format)
    for text in settings.output:
        check_format(_split_output(text)[0])
    return settings


def _list(key: str, value: Any) -> Any:
    """Comma-separated rules as single words; everything else as it is."""
    if key in ("select", "ignore", "extend_select"):
        return tuple(word.strip() for text in value for word in text.split(",") if word.strip())
    return tuple(value) if isinstance(value, list) else value


def _start(text: str) -> Path:
    path = Path(text if os.path.exists(text) else text.rpartition(":")[0])
    return path if path.name and path.exists() else Path.cwd()


def _check(texts: Sequence[str], settings: Settings) -> int:
    from gradlint.progress import Progress
    from gradlint.registry import configured

    configured(settings)
    _announce(texts, settings)
    from gradlint.engine import run as lint

    live = not settings.quiet and sys.stderr.isatty()
    with Progress(_note if settings.verbose else None, live) as progress:
        report = lint(texts, settings, progress)
    _publish(report, settings)
    return _verdict(report, settings)


def _announce(texts: Iterable[str], settings: Settings) -> None:
    """Says what will be executed; raises `UsageError` for a target that does not exist."""
    from gradlint.discover import parse

    targets = [parse(text, settings) for text in texts]
    traced = [target.text for target in targets if target.depth == "trace"]
    if settings.quiet:
        return
    if traced:
        what = traced[0] if len(traced) == 1 else f"{len(traced)} targets"
        where = "a worker process" if len(traced) == 1 else "worker processes"
        _note(f"importing and running {what} in {where}; --source reads {'it' if len(traced) == 1 else 'them'} only")
    if len(traced) < len(targets):
        _note("reading source only: syntax and ignore comments are checked; --trace imports and judges the models")


def _publish(report: Report, settings: Settings) -> None:
    from gradlint.report import render

    for text in settings.output:
        form, file = _split_output(text)
        _write_file(Path(file), render(form, report, _view(settings, color=False)))
    _say(render(settings.output_format, report, _view(settings)))
    for failure in report.failures:
        if failure.code == INTERNAL:
            _note(f"internal error on {failure.path}: {failure.message}; please report it at {ISSUES}")
        elif settings.require_trace:
            _note(f"not traced, and --require-trace asks for it: {failure.path}: {failure.message}")
    if not settings.quiet:
        for line in _summary(report):
            _note(line)


def _summary(report: Report) -> list[str]:
    from gradlint.report.summary import summary

    return list(summary(report))


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


def _view(settings: Settings, color: bool | None = None) -> Any:
    from gradlint.report import View
    from gradlint.source import line_reader

    wanted = _colored(settings.color) if color is None else color
    return View(line_reader(), wanted)


def _colored(wish: str) -> bool:
    if wish != "auto":
        return wish == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _split_output(text: str) -> tuple[str, str]:
    form, colon, file = text.partition(":")
    if not colon or not file:
        raise UsageError(f"--output {text}: write it as FORMAT:FILE, such as json:report.json")
    return form, file


def _write_file(path: Path, text: str) -> None:
    """Writes a file at once: a reader sees the old text or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None


def _say(text: str) -> None:
    """Writes to stdout; a reader that went away (`| head`) is no fault."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _note(text: str) -> None:
    """Writes one line to stderr."""
    try:
        sys.stderr.write(f"gradlint: {text}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def run(arguments: Sequence[str]) -> int:
    """Runs a command line and returns its exit code; never raises."""
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    code = _run(list(arguments))
    if code == INTERRUPTED:
        _note("interrupted")
    return code


def _run(arguments: list[str]) -> int:
    try:
        return int(app(arguments, prog_name="gradlint", standalone_mode=False) or CLEAN)
    except (UsageError, TargetError) as error:
        _note(f"error: {error}")
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
    _note(f"error: {line[:1].lower()}{line[1:]}")
    return MISUSED


def _broken(error: Exception, verbose: bool) -> int:
    text = " ".join(str(error).split()) or "no message"
    what = text if isinstance(error, GradlintError) else f"{type(error).__name__}: {text}"
    _note(f"internal error: {what}; please report it at {ISSUES} (-v shows the traceback)")
    if verbose:
        sys.stderr.write(traceback.format_exc())
    return BROKEN
