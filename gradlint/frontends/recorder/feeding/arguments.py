"""The defaults of a file's command line, read from its `add_argument` calls."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable
from typing import Any

from gradlint.frontends.recorder.feeding.scopes import Scope

Evaluate = Callable[[ast.expr, Scope], Any]


def parser_defaults(scopes: tuple[Scope, ...], evaluate: Evaluate) -> dict[str, Any]:
    """What `parse_args()` of an empty command line would hold, for every `add_argument` of the file."""
    found: dict[str, Any] = {}
    for scope in scopes:
        for call in scope.calls:
            if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
                with contextlib.suppress(Exception):
                    name, value = _option(call, scope, evaluate)
                    found.setdefault(name, value)
    return found


def _option(call: ast.Call, scope: Scope, evaluate: Evaluate) -> tuple[str, Any]:
    flags = [evaluate(argument, scope) for argument in call.args]
    settings = {one.arg: one.value for one in call.keywords if one.arg}
    long = next((flag for flag in flags if flag.startswith("--")), flags[0])
    name = evaluate(settings["dest"], scope) if "dest" in settings else long.lstrip("-").replace("-", "_")
    return name, _default(settings, scope, evaluate)


def _default(settings: dict[str, ast.expr], scope: Scope, evaluate: Evaluate) -> Any:
    if "default" in settings:
        return evaluate(settings["default"], scope)
    action = evaluate(settings["action"], scope) if "action" in settings else ""
    if action in ("store_true", "store_false"):
        return action == "store_false"
    if "choices" in settings:
        return evaluate(settings["choices"], scope)[0]
    return None
