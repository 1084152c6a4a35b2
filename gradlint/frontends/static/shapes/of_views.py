"""Shapes of what reshapes, joins, products and reductions make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradlint.frontends.static.python.plain_values import OPEN, size
from gradlint.frontends.static.shapes.rules import (
    Shape,
    UnknownShapeError,
    axis_of,
    broadcast,
    known_shape,
    rule,
    sized,
    spread,
    volume,
)
from gradlint.frontends.static.values import Tensor

# --- products


@rule("matmul", "__matmul__", "bmm", "mm", takes="x other")
def _matmul(x: Any, other: Any) -> Shape:
    left, right = known_shape(x), known_shape(other)
    rows = left[-2:-1] if len(left) > 1 else ()
    columns = right[-1:] if len(right) > 1 else ()
    return (*(broadcast([left[:-2], right[:-2]]) or ()), *rows, *columns)


# --- reshaping


@rule("view", "reshape", takes="x *shape")
def _view(x: Any, shape: Any) -> Shape:
    if isinstance(shape, Tensor) or (len(shape) == 1 and not isinstance(shape[0], (int, type(OPEN)))):
        raise UnknownShapeError
    sizes = tuple(map(size, shape))
    if -1 not in sizes:
        return sizes
    total = volume(x.shape) if isinstance(x, Tensor) and x.shape is not None else None
    others = volume(s for s in sizes if s != -1)
    free = total // others if total is not None and others else None
    return tuple(free if s == -1 else s for s in sizes)


@rule("flatten", "ravel", takes="x start_dim end_dim")
def _flatten(x: Any, start_dim: Any = 0, end_dim: Any = -1) -> Shape:
    shape = known_shape(x)
    first, last = axis_of(start_dim, len(shape)), axis_of(end_dim, len(shape))
    return (*shape[:first], volume(shape[first : last + 1]), *shape[last + 1 :])


@rule("unflatten", takes="x dim sizes")
def _unflatten(x: Any, dim: Any, sizes: Any) -> Shape:
    shape = known_shape(x)
    axis = axis_of(dim, len(shape))
    wanted = tuple(map(size, sizes))
    others = volume(s for s in wanted if s != -1)
    whole = shape[axis]
    free = whole // others if whole is not None and others else None
    return (*shape[:axis], *(free if s == -1 else s for s in wanted), *shape[axis + 1 :])


@rule("permute", takes="x *dims")
def _permute(x: Any, dims: Any) -> Shape:
    shape = known_shape(x)
    return tuple(shape[axis_of(dim, len(shape))] for dim in dims)


@rule("transpose", "swapaxes", "swapdims", takes="x dim0 dim1")
def _transpose(x: Any, dim0: Any, dim1: Any) -> Shape:
    sizes = list(known_shape(x))
    one, other = axis_of(dim0, len(sizes)), axis_of(dim1, len(sizes))
    sizes[one], sizes[other] = sizes[other], sizes[one]
    return tuple(sizes)


@rule("t", "T", takes="x")
def _reversed(x: Any) -> Shape:
    return known_shape(x)[::-1]


@rule("mT", "mH", "adjoint", takes="x")
def _matrix_transpose(x: Any) -> Shape:
    return _transpose(x, -1, -2)


@rule("squeeze", takes="x dim")
def _squeeze(x: Any, dim: Any = None) -> Shape:
    shape = known_shape(x)
    axes = range(len(shape)) if dim is None else [axis_of(d, len(shape)) for d in spread(dim, 1)]
    if any(shape[axis] is None for axis in axes):
        raise UnknownShapeError
    return tuple(s for axis, s in enumerate(shape) if axis not in axes or s != 1)


@rule("unsqueeze", takes="x dim")
def _unsqueeze(x: Any, dim: Any) -> Shape:
    shape = known_shape(x)
    axis = axis_of(dim, len(shape) + 1)
    return (*shape[:axis], 1, *shape[axis:])


@rule("expand", takes="x *sizes")
def _expand(x: Any, sizes: Any) -> Shape:
    old = x.shape if isinstance(x, Tensor) and x.shape is not None else (None,) * len(sizes)
    padded = (1,) * (len(sizes) - len(old)) + tuple(old)
    return tuple(before if size(wanted) == -1 else size(wanted) for wanted, before in zip(sizes, padded, strict=True))


@rule("repeat", takes="x *repeats")
def _repeat(x: Any, repeats: Any) -> Shape:
    old = known_shape(x)
    padded = (1,) * (len(repeats) - len(old)) + old
    return tuple(sized(lambda s, r: s * r, s, r) for s, r in zip(padded, repeats, strict=True))


EMPTY = (0,)
"""The shape of `torch.tensor([])`, which may be joined with tensors of any rank."""


@rule("cat", "concat", "concatenate", takes="tensors dim")
def _cat(tensors: Any, dim: Any = 0) -> Shape:
    shapes = [known_shape(tensor) for tensor in tensors]
    shapes = [shape for shape in shapes if shape != EMPTY] or shapes
    axis = axis_of(dim, len(shapes[0]))
    columns = [set(sizes) for sizes in zip(*shapes, strict=True)]
    joined = [
        column.pop() if len(column) == 1 else next((s for s in column if s is not None), None) for column in columns
    ]
    lengths = [shape[axis] for shape in shapes]
    total = None if None in lengths else sum(s for s in lengths if s is not None)
    return tuple(total if number == axis else joined[number] for number in range(len(joined)))


@rule("stack", takes="tensors dim")
def _stack(tensors: Any, dim: Any = 0) -> Shape:
    shape = known_shape(tensors[0])
    axis = axis_of(dim, len(shape) + 1)
    return (*shape[:axis], len(tensors), *shape[axis:])


@rule(
    *"clone contiguous detach masked_fill scatter scatter_add scatter_reduce index_fill index_add index_copy".split(),
    *"roll flip tril triu masked_scatter softmax log_softmax data copy".split(),
    takes="x",
)
def _same(x: Any) -> Shape:
    return known_shape(x)


@rule("gather", "take_along_dim", takes="-x -dim index")
def _gathered(index: Any) -> Shape:
    return known_shape(index)


@rule("index_select", takes="x dim index")
def _index_selected(x: Any, dim: Any, index: Any) -> Shape:
    shape = known_shape(x)
    place = axis_of(dim, len(shape))
    return (*shape[:place], *(known_shape(index) or (1,)), *shape[place + 1 :])


@rule("expand_as", "view_as", "reshape_as", takes="-x other")
def _as_other(other: Any) -> Shape:
    return known_shape(other)


@rule("one_hot", takes="x num_classes")
def _one_hot(x: Any, num_classes: Any = None) -> Shape:
    return (*known_shape(x), size(num_classes) if num_classes != -1 else None)


@rule("einsum", takes="equation *operands")
def _einsum(equation: Any, operands: Any) -> Shape:
    """Letters have the sizes of the axes that they stand for; patterns with dots are left open."""
    if not isinstance(equation, str) or "." in equation:
        raise UnknownShapeError
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    letters: dict[str, int | None] = {}
    for word, operand in zip(inputs.split(","), operands, strict=True):
        letters.update(zip(word, known_shape(operand), strict=True))
    if not arrow:
        output = "".join(sorted(letter for letter in letters if inputs.count(letter) == 1))
    return tuple(letters[letter] for letter in output)


@rule("select", takes="x dim")
def _select(x: Any, dim: Any) -> Shape:
    shape = known_shape(x)
    axis = axis_of(dim, len(shape))
    return (*shape[:axis], *shape[axis + 1 :])


# --- reductions


@rule(
    *"sum mean prod nansum nanmean amax amin logsumexp std var any all argmax argmin median mode".split(),
    takes="x dim keepdim",
)
def _reduced(x: Any, dim: Any = None, keepdim: Any = False) -> Shape:
    if dim is OPEN or type(dim) is bool or type(keepdim) is not bool:
        raise UnknownShapeError
    if dim is None:
        return ()
    shape = known_shape(x)
    axes = {axis_of(d, len(shape)) for d in spread(dim, 1)} or set(range(len(shape)))
    if keepdim:
        return tuple(1 if axis in axes else s for axis, s in enumerate(shape))
    return tuple(s for axis, s in enumerate(shape) if axis not in axes)


@rule("norm", takes="x -p dim keepdim")
def _norm(x: Any, dim: Any = None, keepdim: Any = False) -> Shape:
    return _reduced(x, dim, keepdim)


def of_extremum(args: tuple[Any, ...], options: Mapping[str, Any]) -> Shape:
    """The shape of `max` and `min`: of all, along an axis, or of two tensors."""
    other = args[1] if len(args) > 1 else options.get("other")
    if isinstance(other, Tensor):
        return broadcast([args[0].shape, other.shape])
    named = {name: options[name] for name in ("dim", "keepdim") if name in options}
    return _reduced(*args[:3], **named)
