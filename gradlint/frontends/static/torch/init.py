"""`torch.nn.init`: the initialisers that a tensor saw."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.record.emission import literals
from gradlint.frontends.static.torch.factories import INITIALISED
from gradlint.frontends.static.values import Arguments, Constant, Symbol, Tensor, Value
from gradlint.graph import Initialisation

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

MODULE = "torch.nn.init."
RENAMED = {
    "uniform": "uniform_",
    "normal": "normal_",
    "constant": "constant_",
    "eye": "eye_",
    "dirac": "dirac_",
    "xavier_uniform": "xavier_uniform_",
    "xavier_normal": "xavier_normal_",
    "kaiming_uniform": "kaiming_uniform_",
    "kaiming_normal": "kaiming_normal_",
    "orthogonal": "orthogonal_",
    "sparse": "sparse_",
}
"""The old names of initialisers."""


def call(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A call of an initialiser; None for any other function."""
    if not name.startswith(MODULE):
        return None
    bare = name.removeprefix(MODULE)
    if not (bare.endswith("_") or bare in RENAMED):
        return Symbol("float")
    tensor = args.positional[0] if args.positional else args.named.get("tensor", Constant(None))
    if isinstance(tensor, Tensor):
        note(run, tensor, RENAMED.get(bare, bare), args, at)
    return tensor


def note(run: Run, tensor: Tensor, name: str, args: Arguments, at: ast.AST) -> None:
    """Keeps an initialiser's name, literal arguments and place with the tensor."""
    options = {key: value for key, value in args.named.items() if key != "tensor"}
    place = next((frame for frame in run.frames(at) if frame.user), None)
    made = Initialisation(name, literals(Arguments(args.positional[1:], options)), place, library=False)
    run.write(tensor.state, INITIALISED, (*tensor.state.get(INITIALISED, ()), made))


def initialisations(tensor: Tensor) -> tuple[Initialisation, ...]:
    """The initialiser calls that a tensor saw, oldest first."""
    found: tuple[Initialisation, ...] = tensor.state.get(INITIALISED, ())
    return found
