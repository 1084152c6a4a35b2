"""What `--input` and `inputs` of `[[tool.gradlint.model]]` say: name, shape, dtype and range of one input, as text."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from gradlint.errors import UsageError, did_you_mean

DTYPES = {
    "float32": "float32",
    "float": "float32",
    "float64": "float64",
    "double": "float64",
    "float16": "float16",
    "half": "float16",
    "bfloat16": "bfloat16",
    "complex64": "complex64",
    "complex128": "complex128",
    "uint8": "uint8",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int": "int64",
    "int64": "int64",
    "long": "int64",
    "bool": "bool",
}
"""Accepted spellings of a dtype and the name that torch, numpy and ONNX share."""

MAX_ELEMENTS = 2**31
"""More elements than this are a typing error rather than an input (8 GiB of float32)."""

_FORM = "write it as 1x3x224x224, name=2x16:int64 or 2x16:int64[0,1000)"
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_INPUT = re.compile(
    r"(?:(?P<name>[^=:\[]*)=)?(?P<shape>[^:\[=]*)(?::(?P<dtype>[^\[]*))?"
    rf"(?:\[\s*(?P<low>{_NUMBER})\s*,\s*(?P<high>{_NUMBER})\s*(?P<end>[)\]]))?"
)


@dataclasses.dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a model, named by the user.

    `shape` is empty for a scalar. `low` and `high` bound the values, `high` excluded; None where left open.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str | None = None
    low: float | None = None
    high: float | None = None

    @property
    def integral(self) -> bool:
        """Whether the values are whole numbers."""
        return self.dtype.startswith(("int", "uint"))

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        bounds = "" if self.high is None else f"[{self.low:g},{self.high:g})"
        return (f"{self.name}=" if self.name else "") + f"{shape}:{self.dtype}{bounds}"


def parse_input(text: str) -> InputSpec:
    """Reads `1x3x224x224`, `name=2x16:int64`, `2x16:int64[0,1000)` or `t=scalar:float32`.

    Raises:
        UsageError: with one line that names the part that cannot be read.
    """
    match = _INPUT.fullmatch(text.strip())
    if match is None or not (match["shape"].strip() or match["dtype"]):
        raise UsageError(f"cannot read the input `{text}`: it is not a shape; {_FORM}")
    dtype = _dtype(match["dtype"], text)
    low, high = _bounds(match, dtype, text)
    return InputSpec(_shape(match["shape"], text), dtype, _name(match["name"], text), low, high)


def parse_inputs(texts: Sequence[str]) -> tuple[InputSpec, ...]:
    """Reads every `--input` of a command line; a name may come once, and positional inputs before named ones.

    Raises:
        UsageError: for an input that cannot be read, a repeated name or a positional input after a named one.
    """
    specs = tuple(parse_input(text) for text in texts)
    seen: set[str] = set()
    for spec in specs:
        if spec.name is None and seen:
            raise UsageError(f"the input `{spec}` follows a named one: put inputs without a name first")
        if spec.name in seen:
            raise UsageError(f"the input `{spec.name}` is given twice: give each name once")
        seen |= {spec.name} if spec.name else set()
    return specs


def _name(text: str | None, whole: str) -> str | None:
    if text is None:
        return None
    name = text.strip()
    if not name.isidentifier():
        raise UsageError(f"cannot read the input `{whole}`: `{name}` is not a parameter's name; {_FORM}")
    return name


def _shape(text: str, whole: str) -> tuple[int, ...]:
    text = text.strip().lower().strip("()[]")
    if text in ("", "scalar"):
        return ()
    sizes = [part.strip() for part in re.split(r"[x,*]", text)]
    wrong = next((size for size in sizes if not re.fullmatch(r"\d+", size) or int(size) == 0), None)
    if wrong is not None:
        raise UsageError(f"cannot read the input `{whole}`: `{wrong}` is not a positive size; {_FORM}")
    shape = tuple(map(int, sizes))
    _check_size(shape, whole)
    return shape


def _check_size(shape: tuple[int, ...], whole: str) -> None:
    elements = 1
    for size in shape:
        elements *= size
    if elements > MAX_ELEMENTS:
        raise UsageError(f"the input `{whole}` has {elements:,} elements, over {MAX_ELEMENTS:,}: give smaller sizes")


def _dtype(text: str | None, whole: str) -> str:
    if text is None:
        return "float32"
    name = text.strip().removeprefix("torch.").lower()
    if name not in DTYPES:
        hint = did_you_mean(name, DTYPES) or f": one of {', '.join(sorted(set(DTYPES.values())))}"
        raise UsageError(f"cannot read the input `{whole}`: there is no dtype `{name}`{hint}")
    return DTYPES[name]


def _bounds(match: re.Match[str], dtype: str, whole: str) -> tuple[float | None, float | None]:
    if match["low"] is None:
        return None, None
    if dtype.startswith(("bool", "complex")):
        raise UsageError(f"the input `{whole}` has a range, which {dtype} does not take: leave `[...)` out")
    low, high = float(match["low"]), float(match["high"])
    if match["end"] == "]" and "int" in dtype:
        high += 1
    if not low < high:
        raise UsageError(f"the range of the input `{whole}` is empty: its lower bound must be below its upper bound")
    return low, high
