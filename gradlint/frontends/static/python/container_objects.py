"""Objects whose class extends a container of Python's own: what they do because of that."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.language import subscripts
from gradlint.frontends.static.python import values as python_values
from gradlint.frontends.static.python.keys import DATA
from gradlint.frontends.static.values import (
    Arguments,
    Constant,
    External,
    Instance,
    Mapping,
    Sequence,
    Symbol,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def item_method(run: Run, receiver: Instance, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """What an object can do because its class extends a container; None for anything else."""
    data = receiver.attributes[DATA]
    given = arguments.positional
    if name == "__getitem__" and given:
        return subscripts.get(run, data, given[0], at)
    if name == "__setitem__" and len(given) > 1:
        subscripts.assign(run, data, given[0], given[1], at)
        return Constant(None)
    if name == "__contains__" and given:
        answer = run.truth(run.call(External("operator.contains"), Arguments((data, given[0])), at))
        return Symbol("bool") if answer is None else Constant(answer)
    if isinstance(data, Sequence):
        return python_values.sequence_method(run, data, name, arguments, at)
    return python_values.mapping_method(run, data, name, arguments, at) if isinstance(data, Mapping) else None
