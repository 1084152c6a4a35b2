"""The moments of parameters before the first step: of their real values, else by the initialisers that filled them.

Without either, the defaults of the library's own layers hold: kaiming_uniform_(a=sqrt(5)) for the weights of linear
maps and convolutions, that is U(-1/sqrt(fan_in), 1/sqrt(fan_in)), ones and zeros for norms, N(0, 1) for embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from gradlint.analysis.moments.field import Field, Shape, constant, field, independent
from gradlint.analysis.operands import number
from gradlint.graph import UNKNOWN_SIZE, Initialisation, Moments, Parameter

MATRIX = 2
Arguments = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Start:
    """The mean and the variance of a parameter's elements, which are independent."""

    mean: float
    variance: float

    def field(self, shape: Shape) -> Field:
        """A parameter of that shape."""
        return independent(shape, self.variance + self.mean**2, self.mean)


Initialiser = Callable[[Shape, Arguments], Start | None]


def fans(shape: Shape) -> tuple[float, float]:
    """Inputs and outputs of a weight: its second and first axis times the kernel's extent."""
    extent = math.prod(shape[MATRIX:])
    return (shape[1] * extent, shape[0] * extent) if len(shape) >= MATRIX else (shape[0] if shape else 1, 1)


def _argument(arguments: Arguments, position: int, names: Sequence[str], default: float) -> float:
    """A number, its default where it is left out, and not a number where source does not tell it."""
    for key in (*names, str(position)):
        if key in arguments:
            found = number(arguments[key])
            return math.nan if found is None else float(found)
    return default


def _uniform(_: Shape, arguments: Arguments) -> Start:
    low = _argument(arguments, 0, ("a", "from", "low"), 0.0)
    high = _argument(arguments, 1, ("b", "to", "high"), 1.0)
    return Start((low + high) / 2.0, (high - low) ** 2 / 12.0)


def _normal(_: Shape, arguments: Arguments) -> Start:
    deviation = _argument(arguments, 1, ("std",), 1.0)
    return Start(_argument(arguments, 0, ("mean",), 0.0), deviation**2)


def _truncated(_: Shape, arguments: Arguments) -> Start:
    """A normal cut off at two bounds (Johnson, Kotz and Balakrishnan 1994, section 13.10.1)."""
    mean, deviation = _argument(arguments, 0, ("mean",), 0.0), _argument(arguments, 1, ("std",), 1.0)
    if deviation <= 0.0:
        return Start(mean, 0.0)
    low = (_argument(arguments, 2, ("a",), -2.0) - mean) / deviation
    high = (_argument(arguments, 3, ("b",), 2.0) - mean) / deviation
    inside = _below(high) - _below(low)
    if inside <= 0.0:
        return Start(mean, deviation**2)
    shift = (_density(low) - _density(high)) / inside
    shrink = 1.0 + (low * _density(low) - high * _density(high)) / inside - shift**2
    return Start(mean + deviation * shift, deviation**2 * shrink)


def _density(x: float) -> float:
    return math.exp(-x * x / 2.0) / math.sqrt(2.0 * math.pi)


def _below(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _constant(_: Shape, arguments: Arguments) -> Start:
    return Start(_argument(arguments, 0, ("val", "value", "fill_value"), 0.0), 0.0)


def _full(_: Shape, arguments: Arguments) -> Start:
    return Start(_argument(arguments, 1, ("fill_value",), 0.0), 0.0)


def _xavier(shape: Shape, arguments: Arguments) -> Start:
    """Glorot and Bengio 2010, equation 16, for the uniform and the normal one alike."""
    return Start(0.0, _argument(arguments, 0, ("gain",), 1.0) ** 2 * 2.0 / sum(fans(shape)))


def _kaiming(shape: Shape, arguments: Arguments) -> Start:
    """He et al. 2015, equation 15: gain^2 / fan."""
    slope = _argument(arguments, 0, ("a",), 0.0)
    mode = arguments.get("mode", arguments.get("1", "fan_in"))
    activation = arguments.get("nonlinearity", arguments.get("2", "leaky_relu"))
    fan = fans(shape)[1 if mode == "fan_out" else 0]
    return Start(0.0, gain(str(activation), slope) ** 2 / max(fan, 1.0))


GAINS = {"tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 3.0 / 4.0}
"""`torch.nn.init.calculate_gain`; one for every other activation but leaky_relu."""


def gain(activation: str, slope: float) -> float:
    """The factor that keeps a signal's size through an activation."""
    if activation == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + slope**2))
    return GAINS.get(activation, 1.0)


def _orthogonal(shape: Shape, arguments: Arguments) -> Start:
    """Rows or columns of length one (Saxe et al. 2014)."""
    rows = shape[0] if shape else 1
    columns = max(math.prod(shape) // max(rows, 1), 1)
    return Start(0.0, _argument(arguments, 0, ("gain",), 1.0) ** 2 / max(rows, columns))


def _sparse(_: Shape, arguments: Arguments) -> Start:
    """A share of each column is zero, the rest normal (Martens 2010)."""
    share, deviation = _argument(arguments, 0, ("sparsity",), 0.0), _argument(arguments, 1, ("std",), 0.01)
    return Start(0.0, (1.0 - share) * deviation**2)


def _identity(shape: Shape, _: Arguments) -> Start:
    """One entry is one in each row, as far as there are columns."""
    ones = min(shape[:MATRIX]) if shape else 1
    return Start(0.0, ones / max(math.prod(shape), 1))


def _lecun(shape: Shape, _: Arguments) -> Start:
    """LeCun et al. 1998, section 4.6."""
    return Start(0.0, 1.0 / max(fans(shape)[0], 1.0))


INITIALISERS: dict[str, Initialiser] = {
    **dict.fromkeys(("uniform_", "uniform"), _uniform),
    **dict.fromkeys(("normal_", "normal"), _normal),
    **dict.fromkeys(("trunc_normal_", "trunc_normal_tf_"), _truncated),
    **dict.fromkeys(("constant_", "fill_", "fill"), _constant),
    **dict.fromkeys(("full", "full_like", "new_full"), _full),
    **dict.fromkeys(("zeros_", "zero_", "zeros", "zeros_like", "new_zeros"), lambda _, __: Start(0.0, 0.0)),
    **dict.fromkeys(("ones_", "ones", "ones_like", "new_ones"), lambda _, __: Start(1.0, 0.0)),
    **dict.fromkeys(("xavier_uniform_", "xavier_normal_", "glorot_uniform", "glorot_normal"), _xavier),
    **dict.fromkeys(("kaiming_uniform_", "kaiming_normal_"), _kaiming),
    **dict.fromkeys(("rand", "rand_like"), lambda _, __: Start(0.5, 1.0 / 12.0)),
    **dict.fromkeys(("randn", "randn_like"), lambda _, __: Start(0.0, 1.0)),
    **dict.fromkeys(("eye_", "dirac_", "eye"), _identity),
    **dict.fromkeys(("lecun_normal_", "lecun_uniform", "lecun_normal"), _lecun),
    "orthogonal_": _orthogonal,
    "sparse_": _sparse,
}
"""By the name of the function; those of other libraries stand beside torch's."""

NOTHING = frozenset({"empty", "empty_like", "new_empty"})
"""Factories that leave memory as it is."""

PARTIAL = "__setitem__"
"""A write into a part of a parameter."""


def initial(parameter: Parameter, role: Role) -> Field | None:
    """The moments of a parameter at first; None where nothing is known of it."""
    if parameter.moments is not None:
        return measured(parameter.moments, parameter.shape)
    if UNKNOWN_SIZE in parameter.shape:
        return None
    start = told(parameter.initialisations, parameter.shape)
    if start is None and not any(call.name not in NOTHING for call in parameter.initialisations):
        start = role.default(parameter)
    return start.field(parameter.shape) if start is not None else None


def told(calls: Sequence[Initialisation], shape: Shape) -> Start | None:
    """What the initialisers left, one after the other; a write into a part of a parameter is passed over."""
    start: Start | None = None
    for call in calls:
        if call.name == PARTIAL or call.name in NOTHING or call.name in BOUNDING:
            continue
        if call.name in CHANGES:
            start = CHANGES[call.name](start, call.arguments) if start is not None else None
        else:
            known = INITIALISERS.get(call.name)
            start = known(shape, call.arguments) if known is not None else None
    return None if start is None or math.isnan(start.mean + start.variance) else start


BOUNDING = frozenset({"clamp_", "requires_grad_"})
"""Writes that leave nearly all values as they are."""


def _scaled(start: Start, arguments: Arguments) -> Start | None:
    factor = number(arguments.get("0", arguments.get("other")))
    return Start(start.mean * factor, start.variance * factor**2) if factor is not None else None


def _divided(start: Start, arguments: Arguments) -> Start | None:
    factor = number(arguments.get("0", arguments.get("other")))
    return Start(start.mean / factor, start.variance / factor**2) if factor else None


def _shifted(start: Start, arguments: Arguments) -> Start | None:
    shift = number(arguments.get("0", arguments.get("other")))
    return Start(start.mean + shift, start.variance) if shift is not None else None


def _normalised(start: Start, _: Arguments) -> Start:
    """erfinv of a uniform variable between -1 and 1, or less, is a normal one cut off, over the root of two."""
    reach = math.sqrt(3.0 * start.variance)
    ends = [min(max((start.mean + side * reach + 1.0) / 2.0, LEAST), 1.0 - LEAST) for side in (-1.0, 1.0)]
    low, high = (NormalDist().inv_cdf(end) for end in ends)
    found = _truncated((), {"a": low, "b": high})
    return Start(found.mean / math.sqrt(2.0), found.variance / 2.0)


LEAST = 1e-7
"""The nearest that a uniform number comes to its ends."""

CHANGES: dict[str, Callable[[Start, Arguments], Start | None]] = {
    "mul_": _scaled,
    "div_": _divided,
    "add_": _shifted,
    "erfinv_": _normalised,
}
"""Writes that start from what was there."""


@dataclass(frozen=True, slots=True)
class Role:
    """What reads a parameter: the canonical op, and the position among the values that it reads."""

    op: str
    position: int
    fan: float | None = None

    def default(self, parameter: Parameter) -> Start | None:
        """What the library's own layer begins with."""
        shape = parameter.shape
        if self.op == "embedding":
            return Start(0.0, 1.0)
        if self.op in NORMS:
            return Start(0.0 if parameter.name.rpartition(".")[2] == "bias" else 1.0, 0.0)
        if self.op in RECURRENT:
            return Start(0.0, self._recurrent(parameter))
        if self.op == "multi_head_attention_forward":
            return _xavier(shape, {}) if len(shape) >= MATRIX else Start(0.0, 0.0)
        if self.op == "prelu":
            return Start(0.25, 0.0)
        if self.op in MAPS:
            fan = fans(shape)[0] if len(shape) >= MATRIX else self.fan
            return Start(0.0, 1.0 / (3.0 * fan)) if fan else None
        return None

    def _recurrent(self, parameter: Parameter) -> float:
        """U(-1/sqrt(hidden), 1/sqrt(hidden)); the gates of all kinds lie along the first axis."""
        return 1.0 / (3.0 * max(parameter.shape[0] / RECURRENT[self.op], 1.0))


NORMS = frozenset("batch_norm layer_norm group_norm instance_norm rms_norm".split())
MAPS = frozenset("linear bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split())
RECURRENT = {"lstm": 4, "gru": 3, "rnn": 1, "lstm_cell": 4, "gru_cell": 3, "rnn_cell": 1}
"""Gates of each recurrent layer."""

SAME = 1e-6
"""A deviation from the mean that is rounding."""


def measured(found: Moments, shape: Shape) -> Field:
    """The moments of real values, which whoever measured them has freed of the noise of their number."""
    mean = found.mean
    deviation = math.sqrt(max(found.square - mean * mean, 0.0))
    if deviation <= SAME * abs(mean):
        return constant(shape, mean)
    cross = found.cross if len(found.cross) == len(shape) else (mean * mean,) * len(shape)
    return field(shape, found.square, mean, cross)
