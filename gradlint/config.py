"""The settings of a run: `pyproject.toml` or `gradlint.toml`, then `--config`, then the command line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gradlint.errors import UsageError, did_you_mean

FILE_NAMES = ("gradlint.toml", "pyproject.toml")
MOST_EXTENDS = 20
DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_MEMORY_MIB = 4096

_BARE = re.compile(r"[\w.,/*: -]+")


def _listed(value: Any) -> Any:
    """`"a, b"` as `("a", "b")`; everything else is left to pydantic."""
    if isinstance(value, str):
        return tuple(word for part in value.split(",") if (word := part.strip()))
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class ModelSetting(BaseModel):
    """One `[[tool.gradlint.model]]`: how a target is built and what it is fed with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    mode: Literal["train", "eval"] | None = None


class Settings(BaseModel):
    """Everything that a run can be told. Names with dashes in files; `timeout` in seconds, `memory` in MiB."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True
    )

    select: Words = ()
    extend_select: Words = ()
    ignore: Words = ()
    per_file_ignores: dict[str, Words] = Field(default_factory=dict)
    exclude: Words = ()
    notes: bool = False
    compile: bool = Field(False, description="Whether models are meant to be compiled: graph breaks are warnings.")
    fail_on: Literal["error", "warning", "note", "never"] = "warning"
    exit_zero: bool = False
    output_format: str = "full"
    output: tuple[str, ...] = ()
    depth: Literal["trace", "source"] | None = None
    inputs: tuple[str, ...] = Field((), alias="input")
    timeout: float = Field(DEFAULT_TIMEOUT_SECONDS, gt=0)
    memory: int = Field(DEFAULT_MEMORY_MIB, gt=0)
    jobs: int | None = Field(None, ge=1)
    require_trace: bool = False
    fix: bool = False
    unsafe_fixes: bool = False
    diff: bool = False
    cache: bool = True
    cache_dir: str | None = None
    baseline: str | None = None
    diff_base: str | None = None
    rules: dict[str, dict[str, Any]] = Field(default_factory=dict)
    models: tuple[ModelSetting, ...] = Field((), alias="model")
    quiet: bool = False
    verbose: bool = False
    color: Literal["auto", "always", "never"] = "auto"
    stdin_filename: str = "<stdin>"
    root: str = Field("", description="Folder of the settings file, else the working folder.")
    file: str | None = Field(None, description="The settings file that was read.")


FROM_FILES = {"extend"} | {
    field.alias or name for name, field in Settings.model_fields.items() if name not in ("root", "file")
}


@dataclass(frozen=True)
class Layer:
    """The settings of one place and how to name that place in a message."""

    origin: str
    values: dict[str, Any]
    file: str = ""


def load_settings(
    start: str | Path | None = None,
    config_options: Iterable[str] = (),
    isolated: bool = False,
    cli_overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings for a target: the nearest file up from `start`, then every `--config`, then the command line's own.

    `isolated` reads no file. Raises `UsageError` for an unknown key, a wrong value or broken TOML.
    """
    return SettingsTree(config_options, isolated, cli_overrides).at(str(start or os.curdir))


class SettingsTree:
    """The settings that hold in every folder: those of the nearest file up from there, read once a file."""

    def __init__(
        self,
        config_options: Iterable[str] = (),
        isolated: bool = False,
        cli_overrides: Mapping[str, Any] | None = None,
    ) -> None:
        files, inline = _split_options(config_options)
        if isolated and files:
            raise UsageError(f"--isolated reads no settings file, but --config names {files[0]}")
        self._same_everywhere = isolated or bool(files)
        self._named = files[-1] if files else None
        self._above = [_inline_layer(text) for text in inline]
        self._above.append(Layer("command line", dict(cli_overrides or {})))
        self._known: dict[Path | None, Settings] = {}
        self._nearest: dict[str, Path | None] = {}
        self._files: set[str] = set()

    @property
    def asked(self) -> frozenset[str]:
        """Every settings file that was read, or looked for in vain."""
        folders = [folder for folder in self._nearest if os.path.isabs(folder) and not self._same_everywhere]
        return frozenset(self._files) | {os.path.join(folder, name) for folder in folders for name in FILE_NAMES}

    def at(self, path: str) -> Settings:
        """The settings of a folder, or of what does not exist; raises `UsageError` for a mistake in them."""
        if path not in self._nearest:
            self._nearest[path] = self._named if self._same_everywhere else self._file(os.path.abspath(path))
        file = self._nearest[path]
        if file not in self._known:
            self._known[file] = self._read(file)
        return self._known[file]

    def _file(self, folder: str) -> Path | None:
        """The settings file for a folder, remembered for every folder on the way."""
        passed = []
        while folder not in self._nearest:
            passed.append(folder)
            self._nearest[folder] = _file_in(folder)
            if self._nearest[folder] is not None or os.path.dirname(folder) == folder:
                break
            folder = os.path.dirname(folder)
        for inner in passed:
            self._nearest[inner] = self._nearest[folder]
        return self._nearest[folder]

    def _read(self, file: Path | None) -> Settings:
        layers = [*(_file_layers(file) if file else []), *self._above]
        self._files |= {layer.file for layer in layers if layer.file}
        root = file.resolve().parent if file else Path.cwd()
        return _validated([*layers, Layer("", {"root": str(root), "file": str(file) if file else None})])


def nearest_file(start: Path) -> Path | None:
    """The settings file of the nearest folder at or above `start`; a pyproject.toml counts when it has our section."""
    here = Path(os.path.abspath(start))
    return next((file for folder in (here, *here.parents) if (file := _file_in(str(folder)))), None)


def _file_in(folder: str) -> Path | None:
    for name in FILE_NAMES:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and (name == FILE_NAMES[0] or _has_section(Path(path))):
            return Path(path)
    return None


def _has_section(path: Path) -> bool:
    """Whether a pyproject.toml is ours; a broken one is only reported when it mentions us."""
    try:
        return b"tool.gradlint" in path.read_bytes()
    except OSError:
        return False


def _split_options(options: Iterable[str]) -> tuple[list[Path], list[str]]:
    texts = list(options)
    inline = [text for text in texts if "=" in text and not Path(text).is_file()]
    files = [Path(text) for text in texts if text not in inline]
    for file in files:
        if not file.is_file():
            raise UsageError(f"--config {file}: no such file, and not key=value either")
    return files, inline


def _file_layers(file: Path) -> list[Layer]:
    """The layers of a settings file, those that it extends first."""
    layers: list[Layer] = []
    path: Path | None = file
    while path is not None:
        values = _section(path)
        parent = values.pop("extend", None)
        layers.insert(0, Layer(_shown(path), values, str(path)))
        if len(layers) > MOST_EXTENDS:
            raise UsageError(f"{_shown(file)}: `extend` leads in a circle")
        path = _extended(path, parent)
    return layers


def _extended(path: Path, parent: Any) -> Path | None:
    if parent is None:
        return None
    found = path.parent / str(parent)
    if not found.is_file():
        raise UsageError(f"{_shown(path)}: `extend` names {parent}, which does not exist")
    return found


def _section(path: Path) -> dict[str, Any]:
    table = _parsed(path)
    if path.name == "pyproject.toml":
        table = table.get("tool", {}).get("gradlint", {})
    return _known(table, _shown(path))


def _parsed(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{_shown(path)}: cannot be read: {error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_broken_toml(_shown(path), str(error), text)) from None


def _broken_toml(path: str, message: str, text: str) -> str:
    """`file:line: broken TOML: what` from tomllib's `what (at line 3, column 5)` or `what (at end of document)`."""
    what, _, place = message.rpartition(" (at ")
    words = place.rstrip(")").replace(",", "").split()
    line = words[1] if len(words) > 1 and words[0] == "line" else str(max(len(text.splitlines()), 1))
    return f"{path}:{line}: broken TOML: {(what or message)[:1].lower()}{(what or message)[1:]}"


def _inline_layer(text: str) -> Layer:
    """The setting of `--config key=value`; a bare word needs no quotes."""
    key, _, value = text.partition("=")
    bare = _BARE.fullmatch(value.strip())
    origin = f"--config {text}"
    for candidate in (text, f'{key} = "{value.strip()}"')[: 2 if bare else 1]:
        try:
            return Layer(origin, _known(tomllib.loads(candidate), origin))
        except tomllib.TOMLDecodeError:
            continue
    raise UsageError(f"{origin}: not TOML, write key=value or key='text'")


def _known(table: Any, origin: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise UsageError(f"{origin}: [tool.gradlint] is a {type(table).__name__}, not a table")
    for key in table:
        if key not in FROM_FILES:
            raise UsageError(f'{origin}: unknown key "{key}" in the gradlint settings{did_you_mean(key, FROM_FILES)}')
    return dict(table)


def _validated(layers: list[Layer]) -> Settings:
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        values = _by_alias(layer.values)
        merged = _merged(merged, values)
        origins |= dict.fromkeys(values, layer.origin)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise UsageError(_explained(error, origins)) from None


def _by_alias(values: Mapping[str, Any]) -> dict[str, Any]:
    fields = Settings.model_fields
    return {fields[key].alias or key if key in fields else key: value for key, value in values.items()}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` wins; `ignore` and `extend-select` add up, but a new `select` drops those below it."""
    merged = {**below, **above}
    for key in ("ignore", "extend-select"):
        fresh = "select" in above or key not in below or key not in above
        if not fresh:
            merged[key] = (*_listed(below[key]), *_listed(above[key]))
        elif "select" in above and key not in above:
            merged.pop(key, None)
    return merged


def _explained(error: ValidationError, origins: Mapping[str, str]) -> str:
    """One line for the first fault: where it was set, which key, what is wrong, what was given."""
    fault = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in fault["loc"])
    origin = origins.get(str(fault["loc"][0]), "settings") if fault["loc"] else "settings"
    what = fault["msg"][:1].lower() + fault["msg"][1:]
    if fault["type"] == "missing":
        return f"{origin}: {key} is missing"
    if fault["type"] == "extra_forbidden":
        known = ModelSetting.model_fields if str(fault["loc"][0]) == "model" else FROM_FILES
        return f'{origin}: unknown key "{key}"{did_you_mean(str(fault["loc"][-1]), known)}'
    return f"{origin}: {key} is {fault['input']!r}, but {what.removeprefix('input ')}"


def _shown(path: Path) -> str:
    """The path relative to the working folder when it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)
