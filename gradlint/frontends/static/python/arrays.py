"""numpy, math and other numerics on values that came from tensors: arrays and numbers that remember their origin."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static import graph_breaks
from gradlint.frontends.static.record.emission import outside
from gradlint.frontends.static.record.passages import OPEN
from gradlint.frontends.static.shapes import dtypes
from gradlint.frontends.static.torch.tensors import leave, shape_value
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Constant,
    External,
    Sequence,
    Symbol,
    Tensor,
    Truth,
    Unknown,
    Value,
)
from gradlint.graph import ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

LIBRARIES = frozenset("numpy scipy cv2 PIL sklearn skimage numba cupy jax pandas random statistics".split())
NUMBERS = {"builtins.float": "__float__", "builtins.int": "__int__", "builtins.complex": "__complex__"}
ANSWERS = frozenset("all any allclose array_equal isclose ndim size shape".split())
TRUTHS = frozenset("all any allclose array_equal".split())
COMPARISONS = frozenset("eq ne lt le gt ge".split())

IMAGES = frozenset({"cv2.imread", "cv2.imdecode", "imageio.imread", "skimage.io.imread"})
"""Functions that read an image as bytes."""

BYTES = "uint8"
MODES = frozenset("L P RGB RGBA RGBX CMYK YCbCr LAB HSV".split())
"""Modes of PIL's images whose channels are bytes."""

CASTING = frozenset({"astype", "integers", "randint"})
"""Methods of arrays and generators that are told the dtype of what they make."""

WRITES = frozenset("fill sort put itemset setflags".split())


def call(run: Run, root: str, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A numeric function on what came from tensors; None for anything else."""
    if name in NUMBERS:
        return _number(run, name, args, at)
    if root == "math":
        return _mathematics(run, name, args, at)
    if root not in LIBRARIES:
        return None
    if dtypes.canonical(name.rpartition(".")[2]) and not run.nodes_in(tuple(args)):
        return Symbol()
    return _array_function(run, name, args, at)


def _number(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """`float(t)`, `int(t)`."""
    first = args.positional[0] if args.positional else None
    if isinstance(first, Tensor) and first.carrier is ValueKind.TENSOR:
        return leave(run, first, NUMBERS[name], at, ValueKind.SCALAR)
    if isinstance(first, Tensor):
        return (
            first if first.carrier is ValueKind.SCALAR else derived(run, NUMBERS[name], (first,), at, ValueKind.SCALAR)
        )
    return None


def _mathematics(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A function of `math` reads a tensor as a number, and passes the origin of a number on."""
    if not run.nodes_in(tuple(args)):
        return None
    numbers = [
        leave(run, value, name, at, ValueKind.SCALAR) if _is_torch(value) else value for value in args.positional
    ]
    return derived(run, name, tuple(numbers), at, ValueKind.SCALAR)


def _is_torch(value: Value) -> bool:
    return isinstance(value, Tensor) and value.carrier is ValueKind.TENSOR


def _array_function(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    """A function of numpy or of a library above it: tensors among its arguments leave torch."""
    asked = next((value for value in args.positional if isinstance(value, Truth)), None)
    if asked is not None and name.rpartition(".")[2] in TRUTHS:
        return asked
    if not run.nodes_in(tuple(args)):
        image = as_bytes(args) if name not in IMAGES else Tensor(NO_NODE, None, BYTES, ValueKind.ARRAY)
        return image or Unknown(f"{name} is not evaluated")
    if (last := name.rpartition(".")[2]) in ANSWERS:
        return graph_breaks.truth_of(*args.positional) if last in TRUTHS else Symbol()
    arrays = tuple(_as_array(run, value, at) for value in args)
    made = derived(run, name, arrays, at, ValueKind.ARRAY)
    made.dtype = _dtype(arrays, args)
    return made


def as_bytes(args: Arguments) -> Tensor | None:
    """An array that a call makes of bytes, as its dtype says; None for one of any other."""
    return Tensor(NO_NODE, None, BYTES, ValueKind.ARRAY) if _cast(args) == BYTES else None


def converted_image(run: Run, args: Arguments) -> Tensor | None:
    """`image.convert("RGB")` of PIL; None for a conversion to anything but bytes."""
    mode = run.constant(args.named.get("mode") or next(iter(args.positional), None))
    return Tensor(NO_NODE, None, BYTES, ValueKind.ARRAY) if mode in MODES else None


def _as_array(run: Run, value: Value, at: ast.AST) -> Value:
    if _is_torch(value):
        return leave(run, value, "__array__", at, ValueKind.ARRAY)
    if isinstance(value, Sequence):
        return Sequence([_as_array(run, item, at) for item in value.items], value.kind, value.exact)
    return value


def _dtype(arrays: tuple[Value, ...], args: Arguments) -> str | None:
    known = [value.dtype for value in arrays if isinstance(value, Tensor)]
    return known[0] if "dtype" not in args.named and len(known) == 1 and len(arrays) == 1 else None


def derived(run: Run, native: str, inputs: tuple[Value, ...], at: ast.AST, carrier: ValueKind) -> Tensor:
    """A value that is computed outside of torch: it remembers everything that went in."""
    nodes = run.nodes_in(inputs)
    raw = run.tape.nodes[nodes[0]] if len(nodes) == 1 else None
    same = native.rpartition(".")[2] in KEEPING
    if raw is not None and raw.value is not ValueKind.TENSOR and (same or raw.dtype != BYTES):
        return Tensor(nodes[0], None, None, carrier)
    return outside(run, native, nodes, at, OPEN, carrier)


def method(run: Run, receiver: Tensor, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A method of an array or number that came from a tensor."""
    if name == "tolist":
        made = derived(run, name, (receiver,), at, ValueKind.SCALAR)
        return Sequence([made], "list", exact=False)
    if name == "item" or name in ("__float__", "__int__"):
        return derived(run, name, (receiver,), at, ValueKind.SCALAR)
    if name in WRITES:
        return Constant(None)
    if name.startswith("is_") or name in ("__len__", "hex"):
        return Symbol()
    made = derived(run, name, (receiver, *args), at, receiver.carrier)
    made.dtype = _cast(args) if name == "astype" else receiver.dtype if name in _SAME else None
    return made


KEEPING = frozenset(
    """astype getitem copy reshape transpose flatten ravel squeeze repeat take asarray array stack
    ascontiguousarray expand_dims concatenate moveaxis swapaxes rollaxis flip cvtColor resize crop rotate convert tolist
    item __float__ __int__ float32 float64""".split()
)
"""Functions and methods after which the numbers of an array are as large as before."""

_SAME = frozenset("copy reshape transpose flatten ravel squeeze clip repeat take resize crop rotate convert".split())


def _cast(args: Arguments) -> str | None:
    first = args.named.get("dtype", args.positional[0] if args.positional else None)
    if isinstance(first, External):
        return dtypes.canonical(first.name.rpartition(".")[2])
    return dtypes.canonical(first.value) if isinstance(first, Constant) and isinstance(first.value, str) else None


def attribute(run: Run, receiver: Tensor, name: str, at: ast.AST) -> Value | None:
    """An attribute of an array or number that came from a tensor."""
    if name == "shape":
        return shape_value(receiver)
    if name in ("T", "real", "imag", "flat"):
        return Tensor(receiver.node, None, receiver.dtype, receiver.carrier)
    return Symbol() if name in ("dtype", "ndim", "size", "nbytes", "itemsize", "strides") else None


def operator(run: Run, name: str, left: Value, right: Value | None, at: ast.AST) -> Value | None:
    """Arithmetic on arrays and numbers that came from tensors."""
    if name in COMPARISONS:
        return graph_breaks.truth_of(left, right)
    if name == "setitem":
        return _assigned(run, left, right, at)
    given = (left,) if right is None or name == "getitem" else (left, right)
    carriers = {value.carrier for value in given if isinstance(value, Tensor)}
    carrier = ValueKind.ARRAY if ValueKind.ARRAY in carriers else ValueKind.SCALAR
    return derived(run, name, given, at, carrier)


def _assigned(run: Run, left: Value, right: Value | None, at: ast.AST) -> Value:
    """`array[i] = value`."""
    if isinstance(left, Tensor) and isinstance(right, Sequence):
        made = derived(run, "setitem", (left, right.items[1]), at, left.carrier)
        run.write(left, "node", made.node)
    return left
