"""What only IPython understands, in a cell's text: magics, shell commands, questions for help.

Each is replaced by an expression of the same length that means nothing, so that every other position holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

PYTHON_CELLS = frozenset(
    (
        "time",
        "timeit",
        "capture",
        "prun",
        "memit",
        "mprun",
        "lprun",
        "python",
        "python3",
        "pypy",
        "debug",
        "pyinstrument",
    )
)
"""Cell magics whose body is Python that runs beside the other cells."""

PYTHON_LINES = frozenset(("time", "timeit", "prun", "memit", "mprun", "lprun", "debug"))
"""Line magics whose argument is a Python statement."""

SHELL_WORDS = (
    "pip",
    "conda",
    "mamba",
    "uv",
    "cd",
    "ls",
    "pwd",
    "mkdir",
    "rm",
    "cp",
    "mv",
    "cat",
    "head",
    "git",
    "wget",
)
"""Words that IPython takes for a magic or a command also without a mark in front."""

NOTHING, SHORT_VALUE, SHORT = "...", "[]", "0"
_CELL = re.compile(r"\s*%%(?P<name>\S*)")
_LINE = re.compile(r"(?P<indent>[ \t]*)(?P<mark>%{1,2}|!{1,2}|\?{1,2})(?P<rest>.*)", re.DOTALL)
_HELP = re.compile(r"(?P<indent>[ \t]*)(?P<mark>[%\w.*\[\]]+\?{1,2})(?P<rest>[ \t;]*)", re.DOTALL)
_ASSIGNED = re.compile(r"(?P<left>[^=!%]*[^=!<>%+*/&|^@:-]=[ \t]*)(?P<mark>[!%])(?P<rest>[^=].*)", re.DOTALL)
_SHELL = re.compile(
    rf"(?P<indent>[ \t]*)(?P<mark>(?:{'|'.join(SHELL_WORDS)})\b(?=[ \t]+[\w.~/-]))(?P<rest>.*)", re.DOTALL
)
_STATEMENT = re.compile(r"(?P<name>\w+)(?P<options>(?:[ \t]+-\w+(?:[ \t]+\d+|\d+)?)*)[ \t]+(?=\S)")
_HEAD = "if 1:"

_TOKEN = re.compile(r"""'''|\"\"\"|'|"|\#|[([{]|[)\]}]|\\.|.""", re.DOTALL)


def masked(text: str) -> str:
    """A cell's text without what only IPython understands; line by line of the same length."""
    lines = text.split("\n")
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if magic := _CELL.match(lines[first]):
        if magic["name"] not in PYTHON_CELLS:
            return blank(text)
        lines[first] = " " * len(lines[first])
    return "\n".join(_masked_lines(lines))


def blank(text: str) -> str:
    """Spaces instead of everything but line ends."""
    return re.sub(r"[^\n]", " ", text)


@dataclass
class _State:
    """Whether the next line goes on with a string, a bracket or a backslash."""

    quote: str = ""
    depth: int = 0
    joined: bool = False

    @property
    def fresh(self) -> bool:
        return not self.quote and self.depth == 0 and not self.joined


def _masked_lines(lines: list[str]) -> Iterator[str]:
    state = _State()
    command = False
    for line in lines:
        if command:
            command = line.endswith("\\")
            yield " " * len(line)
            continue
        changed = _masked_line(line) if state.fresh else line
        command = changed != line and line.endswith("\\")
        _read(state, changed)
        yield changed


def _masked_line(line: str) -> str:
    """A line that begins a statement, with its magic masked."""
    match = _LINE.fullmatch(line) or _HELP.fullmatch(line) or _shell(line)
    if match:
        return match["indent"] + _statement(match["mark"], match["rest"])
    match = _ASSIGNED.fullmatch(line)
    if match:
        return match["left"] + _nothing(len(line) - len(match["left"]), SHORT_VALUE)
    return line


def _shell(line: str) -> re.Match[str] | None:
    """A command without a mark, where the line is no Python."""
    match = _SHELL.fullmatch(line)
    if match is None:
        return None
    try:
        compile(line.strip(), "<line>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return match
    return None


def _statement(mark: str, rest: str) -> str:
    """What stands instead of a magic: the statement that it runs, else nothing."""
    match = _STATEMENT.match(rest) if mark == "%" else None
    if match and match["name"] in PYTHON_LINES and len(match.group()) >= len(_HEAD):
        return _HEAD.ljust(len(mark) + match.end()) + rest[match.end() :]
    return _nothing(len(mark) + len(rest), SHORT)


def _nothing(length: int, short: str) -> str:
    """An expression of a length that means nothing."""
    return (NOTHING if length >= len(NOTHING) else short[:length] if length >= len(short) else SHORT).ljust(length)


def _read(state: _State, line: str) -> None:
    """Follows strings and brackets through one line."""
    state.joined = False
    for token in _TOKEN.finditer(line):
        text = token.group()
        if state.quote:
            state.quote = "" if text == state.quote else state.quote
        elif text == "#":
            break
        elif text.startswith(("'", '"')):
            state.quote = text
        elif text in "([{":
            state.depth += 1
        elif text in ")]}":
            state.depth = max(state.depth - 1, 0)
        elif text == "\\":
            state.joined = True
    if len(state.quote) == 1 and not line.endswith("\\"):
        state.quote = ""
