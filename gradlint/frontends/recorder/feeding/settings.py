"""What a project sets its models' configurations to: command lines, configuration classes, YAML and JSON files."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gradlint.frontends.recorder.feeding.arguments import parser_defaults
from gradlint.frontends.recorder.feeding.elsewhere import Elsewhere, text_of
from gradlint.frontends.recorder.feeding.evaluate import Evaluator
from gradlint.frontends.recorder.feeding.limits import Unknown
from gradlint.frontends.recorder.feeding.scopes import Scope

MAX_DOCUMENTS = 40
"""YAML and JSON files that are read."""
LARGEST_LIST = 64
_CLASS = re.compile(r"conf|arg|opt|param|hp|setting|cfg", re.IGNORECASE)
_PARSER = "add_argument("
_PLAIN = (bool, int, float, str)

Settings = Mapping[str, Any]


def project_settings(
    elsewhere: Elsewhere | None, tree: ast.Module, scopes: tuple[Scope, ...], own: Evaluator, fields: frozenset[str]
) -> list[Settings]:
    """The settings of a project, those first that know most of the `fields` which the file asks for."""
    found = [*_of_file(tree, scopes, own)]
    if elsewhere is not None:
        for reading in (*elsewhere.mentioning(_PARSER), *elsewhere.mentioning("onfig")):
            found += _of_file(reading.tree, reading.scopes, reading.evaluator)
        found += _documents(elsewhere, fields)
    knowing = [(len(fields & set(_keys(one))), one) for one in found]
    return [one for count, one in sorted(knowing, key=lambda pair: -pair[0]) if count]


def lookup(settings: list[Settings], name: str) -> Any:
    """The value of a field in the first settings that have it; raises KeyError when none has.

    A group of fields is a mapping.
    """
    for one in settings:
        if name in one and one[name] is not None:
            return one[name]
    for one in settings:
        for group in one.values():
            if isinstance(group, dict) and group.get(name) is not None:
                return group[name]
    raise KeyError(name)


def nested(settings: Settings) -> Iterator[Settings]:
    """The groups of fields inside of settings, at any depth."""
    for value in settings.values():
        if isinstance(value, dict):
            yield value
            yield from nested(value)


def _of_file(tree: ast.Module, scopes: tuple[Scope, ...], evaluator: Evaluator) -> Iterator[Settings]:
    yield {name: value for name, value in parser_defaults(scopes, evaluator.value).items() if _is_plain(value)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and _CLASS.search(node.name):
            yield dict(_class_fields(node, scopes, evaluator))


def _class_fields(node: ast.ClassDef, scopes: tuple[Scope, ...], evaluator: Evaluator) -> Iterator[tuple[str, Any]]:
    """The fields of a configuration class that it sets to plain values itself."""
    inits = [scope for scope in scopes if scope.owner == node.name and scope.function is not None]
    module = next(scope for scope in scopes if scope.kind == "module")
    for scope, body in [(module, node.body), *((one, list(one.body)) for one in inits)]:
        for statement in body:
            for name, value in _assignments(statement):
                with contextlib.suppress(Unknown):
                    found = evaluator.value(value, scope)
                    if _is_plain(found):
                        yield name, found


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= LARGEST_LIST and all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _documents(elsewhere: Elsewhere, fields: frozenset[str]) -> Iterator[Settings]:
    for file in elsewhere.settings[:MAX_DOCUMENTS]:
        text = text_of(file)
        if any(field in text for field in fields):
            with contextlib.suppress(Exception):
                found = json.loads(text) if file.suffix == ".json" else _yaml(text)
                if isinstance(found, dict):
                    yield {str(key): value for key, value in found.items()}


def _yaml(text: str) -> Any:
    """Plain values only; raises ImportError where PyYAML is not installed."""
    return importlib.import_module("yaml").safe_load(text)


def _keys(settings: Mapping[Any, Any]) -> Iterator[str]:
    for key, value in settings.items():
        yield str(key)
        if isinstance(value, dict):
            yield from _keys(value)
