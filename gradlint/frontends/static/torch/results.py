"""What the ops of torch give back: one tensor, several, lists of them; which share memory and which write in place."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradlint import ops
from gradlint.frontends.static.python.plain_values import OPEN, plain
from gradlint.frontends.static.record import emission
from gradlint.frontends.static.record.emission import Output, begin, overwrite, result
from gradlint.frontends.static.record.passages import found
from gradlint.frontends.static.shapes import dtypes
from gradlint.frontends.static.shapes import results as shapes
from gradlint.frontends.static.shapes.rules import Shape
from gradlint.frontends.static.values import Arguments, Constant, External, Sequence, Tensor, Unknown, Value
from gradlint.frontends.zero_factors import MULTIPLICATIONS, is_by_zero, is_spelt
from gradlint.graph import ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

INDEX = "int64"
SAME = ""
"""Stands for the dtype of the first result."""

STRUCTURES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys("topk sort kthvalue mode cummax cummin".split(), (SAME, INDEX)),
    **{f"{pool}_pool{axes}d_with_indices": (SAME, INDEX) for pool in ("max", "adaptive_max") for axes in (1, 2, 3)},
    **{f"fractional_max_pool{axes}d_with_indices": (SAME, INDEX) for axes in (2, 3)},
    **dict.fromkeys("aminmax var_mean std_mean qr linalg_qr eigh linalg_eigh linalg_eig slogdet".split(), (SAME, SAME)),
    **dict.fromkeys(
        "linalg_slogdet geqrf triangular_solve histogram lstm_cell gru rnn_tanh rnn_relu".split(), (SAME, SAME)
    ),
    **dict.fromkeys("multi_head_attention_forward lu_factor linalg_lu_factor linalg_inv_ex".split(), (SAME, SAME)),
    **dict.fromkeys("svd linalg_svd svd_lowrank pca_lowrank linalg_lu lu_unpack lstm".split(), (SAME, SAME, SAME)),
    **dict.fromkeys("linalg_cholesky_ex linalg_solve_ex frexp".split(), (SAME, "int32")),
    **dict.fromkeys(("linalg_lstsq", "lstsq"), (SAME, SAME, INDEX, SAME)),
}
"""Ops with several results, and the dtype of each."""

FIELDS = {
    **dict.fromkeys("values sign eigenvalues Q U solution inverse LU mantissa hist".split(), 0),
    **dict.fromkeys("indices logabsdet eigenvectors R S residuals info pivots exponent bin_edges".split(), 1),
    **dict.fromkeys(("V", "Vh", "rank"), 2),
}
"""The names of results in the tuples that torch returns, and their positions."""

PARTS = frozenset(
    "split chunk unbind tensor_split split_with_sizes hsplit vsplit dsplit unsafe_split unsafe_chunk".split()
)
"""Ops that cut one tensor into a list of others."""

ALIGNED = frozenset({"meshgrid", "broadcast_tensors", "align_tensors", "atleast_1d", "atleast_2d", "atleast_3d"})
"""Ops that give one tensor for each that they are handed."""

VIEWS = frozenset(
    """view reshape view_as reshape_as flatten unflatten transpose swapaxes swapdims permute movedim moveaxis t squeeze
    unsqueeze expand expand_as narrow select diagonal unfold contiguous detach ravel adjoint split chunk unbind
    tensor_split split_with_sizes real imag get:T get:mT get:H get:mH get:data get:real get:imag""".split()
)
"""Ops whose result may share the memory of their first tensor."""

WRITING_OPERATORS = frozenset(
    f"__i{operator}__" for operator in "add sub mul truediv floordiv mod pow and or xor lshift rshift matmul".split()
) | {"__setitem__"}


def op(run: Run, native: str, args: Arguments, at: ast.AST) -> Value | None:
    """The result of a call of an op of torch by its bare name; None for an op that the facts do not list."""
    if found(native) is None:
        return None
    first = args.positional[0] if args.positional else None
    if isinstance(first, Tensor) and _is_same(run, native, first, args):
        return first
    target = _written(run, native, args)
    if isinstance(target, Tensor):
        return overwrite(run, begin(run, native, args, at, is_constant(native, args, at)), target)
    call = begin(run, native, args, at, is_constant(native, args, at))
    return _outputs(run, call, native, args)


def _is_same(run: Run, native: str, first: Tensor, args: Arguments) -> bool:
    """Whether a call hands its tensor back as it is: a cast to its own dtype, dropout of nothing or in evaluation."""
    if native in dtypes.CASTS and first.dtype == dtypes.CASTS[native] and len(args.positional) == 1 and not args.named:
        return first.carrier is ValueKind.TENSOR
    if kind_of(native) is not ops.Kind.DROPOUT or native.endswith("_"):
        return False
    share = args.named.get("p", args.positional[1] if len(args.positional) > 1 else None)
    training = args.named.get("training", args.positional[2] if len(args.positional) > 2 else Constant(True))
    return run.truth(training) is False or (isinstance(share, Constant) and share.value == 0)


def kind_of(native: str) -> ops.Kind | None:
    """The family of an op."""
    known = found(native)
    return known.kind if known else None


def _written(run: Run, native: str, args: Arguments) -> Value | None:
    """The tensor that a call writes into; None for a call that makes a new one."""
    into = args.named.get("out")
    if isinstance(into, Tensor):
        return into
    first = args.positional[0] if args.positional else args.named.get("input")
    return first if is_write(native) or run.truth(args.named.get("inplace", Constant(False))) else None


def is_write(native: str) -> bool:
    """Whether a call of this name writes into its first tensor: `add_`, `__iadd__`, `__setitem__`."""
    return native in WRITING_OPERATORS if native.startswith("__") else native.endswith("_")


def _outputs(run: Run, call: emission.Call, native: str, args: Arguments) -> Value:
    values, options = plains(args)
    first = first_output(native, args, values, options)
    if native in shapes.EXTREMA:
        return _extremum(run, call, values, options, first)
    if native in STRUCTURES:
        each = [
            Output(dtype or first.dtype, first.shape if i == 0 else None) for i, dtype in enumerate(STRUCTURES[native])
        ]
        return Sequence([result(run, call, output, position) for position, output in enumerate(each)], "tuple")
    if native.removesuffix("_copy") in PARTS:
        return _parts(run, call, native.removesuffix("_copy"), values, options, first)
    if native == "gradient":
        return Sequence([result(run, call, Output(first.dtype))], "tuple", exact=False)
    if native in ALIGNED:
        return _aligned(run, call, args, first)
    if native in ("unique", "unique_consecutive"):
        return _unique(run, call, options, first)
    if (native == "nonzero" and options.get("as_tuple")) or (native == "where" and len(values) + len(options) == 1):
        return Sequence([result(run, call, Output(INDEX))], "tuple", exact=False)
    return result(run, call, first)


def plains(args: Arguments) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as plain objects, tensors as themselves."""
    return tuple(map(_plain, args.positional)), {name: _plain(value) for name, value in args.named.items()}


def _plain(value: Value) -> Any:
    if isinstance(value, Sequence) and value.exact:
        return [_plain(item) for item in value.items] if value.kind != "tuple" else tuple(map(_plain, value.items))
    return plain(value)


def first_output(native: str, args: Arguments, values: tuple[Any, ...], options: Mapping[str, Any]) -> Output:
    """What is known of the first result of an op."""
    tensors = _tensors((*values, *options.values()))
    shape = shapes.of_result(native, values, options)
    view = next(iter(tensors), None) if native in VIEWS or _is_basic_index(native, values) else None
    return Output(_dtype(native, args, values, options, tensors), shape, view)


def _tensors(values: Any) -> list[Tensor]:
    found_: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found_.append(value)
        elif isinstance(value, (tuple, list)):
            found_.extend(_tensors(value))
    return found_


def _dtype(
    native: str, args: Arguments, values: tuple[Any, ...], options: Mapping[str, Any], tensors: list[Tensor]
) -> str | None:
    wanted = args.named.get("dtype")
    if isinstance(wanted, External):
        return dtypes.canonical(wanted.name)
    if wanted is not None and options.get("dtype") is not None:
        return None
    everything = (*values, *options.values())
    widening = (float, int) if any(tensor.dtype == "bool" for tensor in tensors) else (float,)
    floats = any(type(value) in widening or value is OPEN for value in everything)
    if any(isinstance(value, Unknown) for value in run_through(everything)):
        tensors = []
    return dtypes.of_result(native, [t.dtype if t.carrier is ValueKind.TENSOR else None for t in tensors], floats)


def run_through(values: Any) -> list[Any]:
    """The objects in nested tuples and lists."""
    flat: list[Any] = []
    for value in values:
        flat.extend(run_through(value) if isinstance(value, (tuple, list)) else (value,))
    return flat


def _is_basic_index(native: str, values: tuple[Any, ...]) -> bool:
    """Whether an index makes a view: anything but tensors and lists."""
    if native != "__getitem__" or len(values) < 2:
        return False
    index = values[1] if isinstance(values[1], tuple) else (values[1],)
    return not any(isinstance(part, (Tensor, list)) for part in index)


def _extremum(
    run: Run, call: emission.Call, values: tuple[Any, ...], options: Mapping[str, Any], first: Output
) -> Value:
    """`x.max()` and `max(x, y)` are one tensor, `x.max(1)` is (values, indices)."""
    if "dim" not in options and (len(values) < 2 or isinstance(values[1], (Tensor, Unknown))):
        return result(run, call, first)
    outputs = (Output(first.dtype, first.shape), Output(INDEX, first.shape))
    return Sequence([result(run, call, output, position) for position, output in enumerate(outputs)], "tuple")


def _parts(
    run: Run, call: emission.Call, native: str, values: tuple[Any, ...], options: Mapping[str, Any], first: Output
) -> Value:
    """The pieces of a tensor; one that stands for all where their number is not known."""
    tensor = values[0] if values else None
    sizes = part_shapes(native, tensor, values[1:], options) if isinstance(tensor, Tensor) else None
    exact = sizes is not None
    pieces = [
        result(run, call, Output(first.dtype, size, first.view_of), number)
        for number, size in enumerate(sizes or [None])
    ]
    if isinstance(tensor, Tensor) and exact:
        _share_numbers(tensor, pieces)
    return Sequence(list(pieces), "tuple", exact)


def _share_numbers(tensor: Tensor, pieces: list[Tensor]) -> None:
    """Gives the pieces of a tensor whose numbers are known their own."""
    known = list(tensor.state.get(emission.NUMBERS) or ())
    lengths = [piece.shape[0] if piece.shape else 1 for piece in pieces]
    if not known or None in lengths or sum(length or 0 for length in lengths) != len(known):
        return
    for piece, length in zip(pieces, lengths, strict=True):
        piece.state[emission.NUMBERS] = tuple(known[: length or 0])
        del known[: length or 0]


MOST_PARTS = 128


def part_shapes(native: str, tensor: Tensor, values: tuple[Any, ...], options: Mapping[str, Any]) -> list[Shape] | None:
    """The shapes of the pieces that a tensor is cut into; None where their number is not known."""
    how = (
        values[0]
        if values
        else next(
            (options[n] for n in ("split_size_or_sections", "split_size", "chunks", "sections") if n in options), None
        )
    )
    if native == "unbind":
        return _unbound(tensor, how if type(how) is int else options.get("dim", 0) if how is None else OPEN)
    axis = options.get("dim", values[1] if len(values) > 1 else 0)
    if isinstance(how, (tuple, list)) and native in ("split", "split_with_sizes"):
        return [_with_size(tensor, axis, size) for size in how]
    length = _length(tensor, axis)
    if type(how) is not int or how < 1 or native in ("hsplit", "vsplit", "dsplit"):
        return None
    if native in ("chunk", "unsafe_chunk", "tensor_split"):
        return _chunks(tensor, axis, length, how)
    if length is None or -(-length // how) > MOST_PARTS:
        return None
    return [_with_size(tensor, axis, min(how, length - start)) for start in range(0, length, how)]


def _unbound(tensor: Tensor, axis: Any) -> list[Shape] | None:
    length = _length(tensor, axis)
    if length is None or length > MOST_PARTS or tensor.shape is None:
        return None
    axis %= len(tensor.shape)
    return [(*tensor.shape[:axis], *tensor.shape[axis + 1 :])] * length


def _chunks(tensor: Tensor, axis: Any, length: int | None, count: int) -> list[Shape] | None:
    """Of an unknown length it is taken for granted that it can be cut into that many."""
    if count > MOST_PARTS:
        return None
    if length is None or length % count:
        return [_with_size(tensor, axis, None)] * (count if length is None or length >= count else 1)
    return [_with_size(tensor, axis, length // count)] * count


def _length(tensor: Tensor, axis: Any) -> int | None:
    if type(axis) is not int or tensor.shape is None or not -len(tensor.shape) <= axis < len(tensor.shape):
        return None
    return tensor.shape[axis]


def _with_size(tensor: Tensor, axis: Any, size: Any) -> Shape:
    if type(axis) is not int or tensor.shape is None or not -len(tensor.shape) <= axis < len(tensor.shape):
        return None
    axis %= len(tensor.shape)
    return (*tensor.shape[:axis], size if type(size) is int and size >= 0 else None, *tensor.shape[axis + 1 :])


def _aligned(run: Run, call: emission.Call, args: Arguments, first: Output) -> Value:
    tensors: list[Value] = list(args.positional)
    exact = True
    if len(tensors) == 1 and isinstance(tensors[0], Sequence):
        exact, tensors = tensors[0].exact, list(tensors[0].items)
    if call.native.startswith("atleast") and len(args.positional) == 1 and isinstance(args.positional[0], Tensor):
        return result(run, call, Output(first.dtype))
    results = [
        result(run, call, Output(t.dtype if isinstance(t, Tensor) else None), position)
        for position, t in enumerate(tensors)
    ]
    return Sequence(list(results), "tuple", exact)


def _unique(run: Run, call: emission.Call, options: Mapping[str, Any], first: Output) -> Value:
    """The values, then what was asked for in addition."""
    extra = [options.get(name, False) for name in ("return_inverse", "return_counts")]
    values = result(run, call, Output(first.dtype))
    if not any(extra):
        return values
    more = [result(run, call, Output(INDEX), position) for position, wanted in enumerate(extra, 1) if wanted]
    return Sequence([values, *more], "tuple", exact=not any(flag is OPEN for flag in extra))


def is_constant(native: str, args: Arguments, at: ast.AST) -> bool:
    """Whether the text fixes a result (`0 * x`), or widths alone: the cross-entropy of one class is 0, a layer norm
    over one element too.

    Only axes that the model's own sizes decide count; an attention over one position may be due to a small input.
    """
    if native in MULTIPLICATIONS:
        return is_spelt(at) and is_by_zero(native, emission.literals(args))
    value = args.positional[0] if args.positional else args.named.get("input")
    if native == "cross_entropy":
        shape = value.shape if isinstance(value, Tensor) else None
        return bool(shape) and shape is not None and shape[min(1, len(shape) - 1)] == 1
    if native == "layer_norm":
        sizes = plain(args.named.get("normalized_shape", args.positional[1] if len(args.positional) > 1 else None))
        return (
            isinstance(sizes, (tuple, list))
            and len(sizes) > 0
            and all(type(size) is int and size == 1 for size in sizes)
        )
    return False
