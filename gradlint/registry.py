"""Finds every rule by its file, and says which of them a run wants. Nobody else imports a rule.

Names and codes are read from the files' text: a run that finds nothing new to judge imports no rule.
"""

from __future__ import annotations

import importlib
import itertools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from gradlint.errors import InternalError, UsageError, did_you_mean
from gradlint.finding import Evidence, Finding, Severity
from gradlint.frame import Frame

if TYPE_CHECKING:
    import pathspec

    from gradlint.config import Settings
    from gradlint.rule import Rule

PACKAGE = "gradlint.rules"
COMPILER_FAMILY = "GL2"
COMPILED = "compiled"
"""The setting of a rule about the compiler which says that models are meant to be compiled."""

RUN_FAMILY = "GL0"
"""The family about the run itself: `--select` narrows what is looked for, not what is said of the run."""

_PREFIX = re.compile(r"[A-Z]{2,}\d*")
_CODE = re.compile(rb"^    code\b[^=\n]*= *[\"'](?P<code>[A-Z]+\d+)[\"']", re.MULTILINE)


def files() -> list[Path]:
    """The file of every rule, sorted by name."""
    folders = importlib.import_module(PACKAGE).__path__
    found = (Path(folder, name) for folder in folders for name in os.listdir(folder) if name.endswith(".py"))
    return sorted(path for path in found if path.stem.isidentifier())


@cache
def rules() -> tuple[type[Rule], ...]:
    """Every rule, sorted by code; raises `InternalError` when one cannot load or two share a code."""
    found = sorted((_load(path.stem) for path in files()), key=lambda rule: rule.code)
    for first, second in itertools.pairwise(found):
        if first.code == second.code:
            raise InternalError(f"the rules {first.name} and {second.name} share the code {first.code}")
    return tuple(found)


@cache
def _load(name: str) -> type[Rule]:
    try:
        module = importlib.import_module(f"{PACKAGE}.{name}")
    except Exception as error:
        raise InternalError(f"the rule {name} cannot be loaded: {type(error).__name__}: {error}") from error
    rule = _only_rule(module)
    rule.name = name.replace("_", "-")
    rule.page = module.__doc__ or ""
    return rule


def _only_rule(module: ModuleType) -> type[Rule]:
    from gradlint.rule import Rule

    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Rule) and value.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise InternalError(f"{module.__name__} defines {len(own)} rules, one is wanted")
    missing = [name for name in ("code", "severity", "message") if not hasattr(own[0], name)]
    if missing:
        raise InternalError(f"the rule in {module.__name__} sets no {', '.join(missing)}")
    return own[0]


@cache
def _index() -> dict[str, str]:
    """The code behind every name, from the text of the rules' files, in the order of the codes."""
    codes = {path.stem.replace("_", "-"): _CODE.search(path.read_bytes()) for path in files()}
    return dict(sorted(((name, match["code"].decode()) for name, match in codes.items() if match), key=lambda i: i[1]))


@cache
def _names() -> dict[str, str]:
    """The name behind every word that a rule may be called by."""
    return {word: name for name, code in _index().items() for word in (code, name)}


def forget() -> None:
    """Reads the rules' files anew when they are next asked for."""
    for known in (rules, _load, _index, _names):
        known.cache_clear()


def rule(word: str) -> type[Rule]:
    """The rule of a code or name; raises `UsageError` when there is none."""
    name = _names().get(word) or _names().get(word.upper())
    if name is None:
        raise UsageError(f'no rule is called "{word}"{did_you_mean(word, _names())}')
    return _load(name.replace("-", "_"))


def resolve(word: str) -> frozenset[str]:
    """The codes that a code, name or prefix (`GL1`, `ALL`) stands for; raises `UsageError` when it stands for none."""
    exact = _names().get(word)
    if exact is not None:
        return frozenset({_index()[exact]})
    if word == "ALL":
        return frozenset(_index().values())
    found = {code for code in _index().values() if _PREFIX.fullmatch(word) and code.startswith(word)}
    return frozenset(found) if found else frozenset({rule(word).code})


@dataclass(frozen=True)
class Selection:
    """What a run wants to hear: `codes` are looked for, notes only with `notes` or when `named` outright."""

    codes: frozenset[str]
    named: frozenset[str]
    notes: bool = False
    root: str = ""
    per_file: tuple[tuple[str, frozenset[str]], ...] = ()

    def shows(self, finding: Finding) -> bool:
        """Whether a finding is wanted."""
        if finding.code not in self.codes or self._ignored_here(finding):
            return False
        return finding.severity is not Severity.NOTE or self.notes or finding.code in self.named

    def _ignored_here(self, finding: Finding) -> bool:
        return any(finding.code in codes and _matches(glob, finding.path, self.root) for glob, codes in self.per_file)


def _matches(glob: str, path: str, root: str) -> bool:
    relative = os.path.relpath(path, root) if root else path
    return bool(_spec(glob).match_file(relative))


@cache
def _spec(glob: str) -> pathspec.GitIgnoreSpec:
    import pathspec

    return pathspec.GitIgnoreSpec.from_lines([glob])


def selection(settings: Settings) -> Selection:
    """What the settings ask for; raises `UsageError` for a name that is no rule's."""
    chosen = (*settings.select, *settings.extend_select)
    return Selection(
        codes=frozenset(code for code in _index().values() if _wanted(code, settings)),
        named=frozenset(code for word in chosen if word in _names() for code in resolve(word)),
        notes=settings.notes,
        root=settings.root,
        per_file=tuple((glob, _all_of(words)) for glob, words in settings.per_file_ignores.items()),
    )


def _all_of(words: Iterable[str]) -> frozenset[str]:
    return frozenset(code for word in words for code in resolve(word))


def _wanted(code: str, settings: Settings) -> bool:
    """The longest selector that covers a code decides, an ignore before a selection of the same length."""
    chosen = max((_length(word) for word in settings.select if code in resolve(word)), default=-1)
    extra = max((_length(word) for word in settings.extend_select if code in resolve(word)), default=-1)
    out = max((_length(word) for word in settings.ignore if code in resolve(word)), default=-1)
    default = 0 if not settings.select or code.startswith(RUN_FAMILY) else -1
    return max(chosen, extra, default) > out


def _length(word: str) -> int:
    """How exact a selector is: a rule's name counts as much as its full code."""
    name = _names().get(word)
    return len(_index()[name]) if name else (1 if word == "ALL" else len(word))


def compiler_use(settings: Settings) -> Literal["never", "auto", "always"]:
    """Whether models are to be compiled: never, where the program does so itself, or always.

    A run that is about the compiler (the setting `compile`, or rules of `COMPILER_FAMILY` by name) asks it of every
    model.
    """
    codes = selection(settings).codes
    if not any(code.startswith(COMPILER_FAMILY) for code in codes):
        return "never"
    named = (*settings.select, *settings.extend_select)
    return "always" if settings.compile or any(map(_is_about_compiler, named)) else "auto"


def _is_about_compiler(word: str) -> bool:
    return all(code.startswith(COMPILER_FAMILY) for code in resolve(word))


def configured(settings: Settings) -> tuple[Rule, ...]:
    """The wanted rules with their settings, sorted by code; raises `UsageError` for a setting that none has."""
    wanted = selection(settings).codes
    values = {rule(word): fields for word, fields in settings.rules.items()}
    if compiler_use(settings) == "always":
        values |= {
            known: {COMPILED: True} | values.get(known, {}) for known in rules() if COMPILED in known.model_fields
        }
    return tuple(_configured(known, values.get(known, {})) for known in rules() if known.code in wanted)


def _configured(known: type[Rule], values: dict[str, Any]) -> Rule:
    from pydantic import ValidationError

    try:
        return known(**{key.replace("-", "_"): value for key, value in values.items()})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            near = did_you_mean(key, known.model_fields)
            raise UsageError(f'the rule {known.name} has no setting "{key}"{near}') from None
        why = fault["msg"][:1].lower() + fault["msg"][1:]
        raise UsageError(f"rules.{known.name}.{key} is {fault['input']!r}, but {why.removeprefix('input ')}") from None


def fault(code: str, path: str, at: Frame | None = None, **words: Any) -> Finding:
    """A finding of the family about the run itself (GL0), at a frame or at the head of the file."""
    return rule(code)().found(at, path=path, evidence=Evidence.SOURCE, **words)
