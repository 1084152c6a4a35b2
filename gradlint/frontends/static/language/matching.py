"""`match` statements, by the patterns that constants, sequences, dicts and classes can be compared with."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static.language import operators
from gradlint.frontends.static.language.branches import Signal, alternatives
from gradlint.frontends.static.language.targets import holder
from gradlint.frontends.static.python.instances import is_instance
from gradlint.frontends.static.values import Instance, Mapping, Sequence, Unknown, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def match(run: Run, at: ast.Match) -> Signal:
    """The first case that fits; where that is not known, every one that may."""
    subject = run.evaluate(at.subject)
    ways: list[Callable[[], Signal]] = []
    for case in at.cases:
        answer = fits(run, case.pattern, subject)
        if answer and case.guard is not None:
            answer = None
        if answer is False:
            continue
        ways.append(_way(run, case, subject))
        if answer:
            break
    else:
        ways.append(lambda: None)
    return ways[0]() if len(ways) == 1 else alternatives(run, ways)


def _way(run: Run, case: ast.match_case, subject: Value) -> Callable[[], Signal]:
    def way() -> Signal:
        _bind(run, case.pattern, subject)
        if case.guard is not None and run.truth(run.evaluate(case.guard)) is False:
            return None
        return run.execute(case.body)

    return way


def fits(run: Run, pattern: ast.pattern, subject: Value) -> bool | None:
    """Whether a pattern fits a value; None where that is not known."""
    match pattern:
        case ast.MatchValue(value=value):
            return run.truth(operators.compare(run, ast.Eq(), subject, run.evaluate(value), value))
        case ast.MatchSingleton():
            constant = ast.copy_location(ast.Constant(pattern.value), pattern)
            return run.truth(operators.compare(run, ast.Is(), subject, run.evaluate(constant), constant))
        case ast.MatchAs(pattern=None) | ast.MatchStar():
            return True
        case ast.MatchAs(pattern=inner) if inner is not None:
            return fits(run, inner, subject)
        case ast.MatchOr(patterns=patterns):
            return _any(run, patterns, subject)
        case ast.MatchSequence(patterns=patterns):
            return _sequence(run, patterns, subject)
        case ast.MatchClass(cls=cls, patterns=[], kwd_attrs=[]):
            return is_instance(run, subject, run.evaluate(cls))
    return None


def _any(run: Run, patterns: list[ast.pattern], subject: Value) -> bool | None:
    answers = [fits(run, pattern, subject) for pattern in patterns]
    return True if True in answers else None if None in answers else False


def _sequence(run: Run, patterns: list[ast.pattern], subject: Value) -> bool | None:
    if not isinstance(subject, Sequence):
        return None if isinstance(subject, Unknown) else False
    if any(isinstance(pattern, ast.MatchStar) for pattern in patterns) or not subject.exact:
        return None
    if len(patterns) != len(subject.items):
        return False
    answers = [fits(run, pattern, item) for pattern, item in zip(patterns, subject.items, strict=True)]
    return False if False in answers else None if None in answers else True


def _bind(run: Run, pattern: ast.pattern, subject: Value) -> None:
    """Binds the names of a pattern."""
    match pattern:
        case ast.MatchAs(pattern=inner, name=name):
            if name is not None:
                run.write(holder(run, name), name, subject)
            if inner is not None:
                _bind(run, inner, subject)
        case ast.MatchSequence(patterns=patterns):
            items = subject.items if isinstance(subject, Sequence) and len(subject.items) == len(patterns) else []
            for position, inner in enumerate(patterns):
                _bind(run, inner, items[position] if items else Unknown("a part of what is matched"))
        case ast.MatchMapping(keys=keys, patterns=patterns):
            _bind_entries(run, keys, patterns, subject)
        case ast.MatchClass(patterns=patterns, kwd_attrs=names, kwd_patterns=named):
            for inner in patterns:
                _bind(run, inner, subject if len(patterns) == 1 else Unknown("a part of what is matched"))
            for name, inner in zip(names, named, strict=True):
                known = subject.attributes.get(name) if isinstance(subject, Instance) else None
                _bind(run, inner, known or Unknown("a part of what is matched"))
        case ast.MatchStar(name=name) if name is not None:
            run.write(holder(run, name), name, Sequence([], "list", exact=False))
        case ast.MatchOr(patterns=patterns):
            for inner in patterns:
                _bind(run, inner, subject)


def _bind_entries(run: Run, keys: list[ast.expr], patterns: list[ast.pattern], subject: Value) -> None:
    for key, inner in zip(keys, patterns, strict=True):
        wanted = run.constant(run.evaluate(key))
        known = subject.items.get(wanted) if isinstance(subject, Mapping) else None
        _bind(run, inner, known or Unknown("a part of what is matched"))
