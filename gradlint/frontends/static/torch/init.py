"""`torch.nn.init`: the initialisers that a tensor saw."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING

from gradlint.frontends import scaled_fills
from gradlint.frontends.static.python.plain_values import OPEN
from gradlint.frontends.static.record import emission
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

GAIN = "calculate_gain"
GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}
"""What `calculate_gain` gives for a nonlinearity."""
LEAKY = "leaky_relu"
SLOPE = 0.01
"""The slope that it takes for a leaky ReLU where none is given."""


def call(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A call of an initialiser; None for any other function."""
    if not name.startswith(MODULE):
        return None
    bare = name.removeprefix(MODULE)
    if bare == GAIN:
        return _gain(run, args)
    if not (bare.endswith("_") or bare in RENAMED):
        return Symbol("float")
    tensor = args.positional[0] if args.positional else args.named.get("tensor", Constant(None))
    if isinstance(tensor, Tensor) and _is_computed(run, tensor):
        return emission.overwrite(run, emission.begin(run, RENAMED.get(bare, bare), args, at), tensor)
    if isinstance(tensor, Tensor):
        note(run, tensor, RENAMED.get(bare, bare), args, at)
    return tensor


def _is_computed(run: Run, tensor: Tensor) -> bool:
    """Whether a tensor was computed from others and shares no memory with a parameter."""
    owner = tensor
    while isinstance(base := owner.state.get(emission.BASE), Tensor):
        owner = base
    return not owner.parameter and tensor.node in run.tape.sources


def _gain(run: Run, args: Arguments) -> Value:
    given = [*args.positional, *(args.named[key] for key in ("nonlinearity", "param") if key in args.named)]
    name = run.constant(given[0]) if given else None
    slope = run.constant(given[1], OPEN) if len(given) > 1 else None
    if name == LEAKY and (slope is None or type(slope) in (int, float)):
        return Constant(math.sqrt(2 / (1 + (SLOPE if slope is None else slope) ** 2)))
    return Constant(GAINS[name]) if name in GAINS else Symbol("float")


def note(run: Run, tensor: Tensor, name: str, args: Arguments, at: ast.AST) -> None:
    """Keeps an initialiser's name, literal arguments (None for one that is not known) and place with the tensor."""
    options = {key: value for key, value in args.named.items() if key != "tensor"}
    given = Arguments(args.positional[1:], options)
    unknown = dict.fromkeys([*map(str, range(len(given.positional))), *given.named])
    emission.filled(run, tensor, name, unknown | emission.literals(given), at)


def calculated(run: Run, name: str, left: Value, right: Value | None, result: Value | None, at: ast.AST) -> None:
    """An operator or a method made a tensor of two values: the same content, in another size."""
    tensor, other = (left, right) if isinstance(left, Tensor) else (right, left)
    if not isinstance(tensor, Tensor) or not isinstance(result, Tensor) or not isinstance(other, Constant):
        return
    calls = initialisations(tensor)
    turned = f"r{name}" if tensor is right else name
    if calls and emission.BASE not in result.state and result is not tensor:
        call = turned if turned == "rsub" else name if tensor is left or name in SYMMETRIC else ""
        told = scaled_fills.rescaled(calls[-1].name, calls[-1].arguments, call, other.value)
        if told is not None:
            emission.filled(run, result, *told, at)


SYMMETRIC = frozenset({"add", "mul"})


def initialisations(tensor: Tensor) -> tuple[Initialisation, ...]:
    """The initialiser calls that a tensor saw, oldest first."""
    found: tuple[Initialisation, ...] = tensor.state.get(emission.INITIALISED, ())
    return found
