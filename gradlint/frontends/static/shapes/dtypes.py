"""The dtypes of results, where they follow from the op and from the dtypes of what it reads; None where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradlint import ops
from gradlint.frontends.static.record.passages import carries, found

DEFAULT = "float32"

ALIASES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "cfloat": "complex64",
    "cdouble": "complex128",
    "chalf": "complex32",
}
"""torch's second names of dtypes."""

NAMES = frozenset(
    "float16 bfloat16 float32 float64 complex32 complex64 complex128 uint8 int8 int16 int32 int64 uint16 uint32 uint64 "
    "bool".split()
) | frozenset(ALIASES)

LEGACY = {
    "Tensor": "float32",
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "HalfTensor": "float16",
    "BFloat16Tensor": "bfloat16",
    "LongTensor": "int64",
    "IntTensor": "int32",
    "ShortTensor": "int16",
    "CharTensor": "int8",
    "ByteTensor": "uint8",
    "BoolTensor": "bool",
}
"""Constructors that are named by their dtype."""

CASTS = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bfloat16": "bfloat16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
    "bool": "bool",
    "cfloat": "complex64",
    "cdouble": "complex128",
    "chalf": "complex32",
}
"""Methods that are named by their dtype."""

INTEGERS = frozenset(
    """argmax argmin argsort nonzero searchsorted bucketize one_hot randperm multinomial count_nonzero argwhere
    tril_indices triu_indices""".split()
)
"""Ops whose result is int64 whatever they read."""

BOOLEANS = frozenset(
    """eq ne lt le gt ge isnan isinf isfinite isclose isin isposinf isneginf isreal signbit logical_and logical_or
    logical_not logical_xor all any greater less greater_equal less_equal not_equal __eq__ __ne__""".split()
)
"""Ops whose result is Boolean whatever they read."""

SAME = (ops.Kind.RESHAPE, ops.Kind.INDEXING, ops.Kind.PADDING, ops.Kind.DROPOUT, ops.Kind.POOL, ops.Kind.RESAMPLING)
"""Families whose result has the dtype of their first tensor."""

WEIGHTED = (ops.Kind.CONV, ops.Kind.LINEAR, ops.Kind.NORM, ops.Kind.EMBEDDING, ops.Kind.RECURRENT, ops.Kind.ATTENTION)
"""Families that compute with weights, which only floating tensors go into."""

JOINING = (ops.Kind.JOIN, ops.Kind.ELEMENTWISE)
_RANK = {"bool": 0, "uint8": 1, "int8": 1, "int16": 2, "int32": 3, "int64": 4}
_FLOAT_RANK = {"float16": 5, "bfloat16": 5, "float32": 6, "float64": 7, "complex64": 8, "complex128": 9}

TRUE_DIVISIONS = frozenset({"div", "true_divide", "divide", "__rdiv__", "__truediv__", "reciprocal"})


def canonical(name: str) -> str | None:
    """torch's own name of a dtype: "float32" for "torch.float" or "float"; None for anything else."""
    bare = name.removeprefix("torch.")
    return ALIASES.get(bare, bare) if bare in NAMES else None


def promoted(dtypes: Iterable[str | None]) -> str | None:
    """The dtype of an element-wise combination of tensors; None where it does not follow."""
    known = list(dtypes)
    if not known or any(dtype not in _RANK and dtype not in _FLOAT_RANK for dtype in known):
        return None
    ranked = {**_RANK, **_FLOAT_RANK}
    highest = max(known, key=lambda dtype: ranked[dtype or ""])
    ties = {dtype for dtype in known if ranked[dtype or ""] == ranked[highest or ""]}
    return highest if len(ties) == 1 else None


def of_result(native: str, tensors: Sequence[str | None], floats: bool = False) -> str | None:
    """The dtype of the first result of an op.

    `tensors` are the dtypes of the tensors that it reads, in order; `floats` says that a Python float, or a plain
    number that may be one, is among its arguments (or an int beside a Boolean tensor).
    """
    name = native.rstrip("_") if not native.startswith("__") else native
    if name in CASTS:
        return CASTS[name]
    if name in BOOLEANS:
        return "bool"
    if name in INTEGERS:
        return "int64"
    return _by_family(native, name, tensors, floats)


def _by_family(native: str, name: str, tensors: Sequence[str | None], floats: bool) -> str | None:
    known = found(native)
    if known is None or not tensors:
        return None
    if known.kind is ops.Kind.FFT or (any("complex" in (dtype or "") for dtype in tensors) and known.kind not in SAME):
        return None
    if all(dtype is not None and carries(dtype) for dtype in tensors):
        return promoted(tensors)
    if known.kind in WEIGHTED:
        return next((dtype for dtype in tensors if dtype is not None and carries(dtype)), None)
    if known.kind in SAME and native != "index_put":
        return tensors[0]
    if known.kind in JOINING and name not in TRUE_DIVISIONS and not floats and _keeps_integers(name):
        return promoted(tensors)
    return None


def _keeps_integers(name: str) -> bool:
    bare = name.strip("_").removeprefix("r").removeprefix("i")
    return bare in ("add", "sub", "mul", "neg", "abs", "clamp", "remainder", "cat", "stack", "bitwise_and", "and", "or")
