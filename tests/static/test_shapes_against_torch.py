"""The shapes and dtypes that the static front-end infers, against those that torch gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from gradlint.frontends.static.python.plain_values import lifted  # noqa: E402
from gradlint.frontends.static.torch import functions as torch_functions  # noqa: E402
from gradlint.frontends.static.torch import layers as torch_layers  # noqa: E402
from gradlint.frontends.static.torch import operators as torch_operators  # noqa: E402
from gradlint.frontends.static.torch import tensors as torch_tensors  # noqa: E402
from gradlint.frontends.static.values import NO_NODE, Arguments, Constant, Sequence, Tensor, Value  # noqa: E402
from tests.static.running import AT, new_run  # noqa: E402

SIZES = st.integers(1, 6)
FEW = settings(max_examples=25, deadline=None)


def static(value: Any) -> Value:
    """A tensor as the front-end knows it."""
    if isinstance(value, torch.Tensor):
        return Tensor(NO_NODE, tuple(value.shape), str(value.dtype).removeprefix("torch."), leaf=True)
    if isinstance(value, (list, tuple)):
        return Sequence([static(item) for item in value], "tuple" if isinstance(value, tuple) else "list")
    return Constant(value) if isinstance(value, slice) or value is Ellipsis else lifted(value)


def results(value: Any) -> list[Any]:
    if isinstance(value, Sequence):
        return value.items
    return list(value) if isinstance(value, (tuple, list)) else [value]


def agree(wanted: Any, got: Value | None, full: bool = True) -> None:
    """What is inferred never contradicts torch; `full` says that the shapes must be known."""
    for tensor, known in zip(results(wanted), results(got), strict=True):
        assert isinstance(known, Tensor)
        shape = known.shape if known.shape is not None else (None,) * tensor.ndim
        assert len(shape) == tensor.ndim
        assert all(size in (None, actual) for size, actual in zip(shape, tensor.shape, strict=True)), (
            shape,
            tensor.shape,
        )
        assert known.dtype in (None, str(tensor.dtype).removeprefix("torch."))
        assert not full or known.shape == tuple(tensor.shape)


def check(name: str, *args: Any, full: bool = True, **options: Any) -> None:
    """A function of torch by its full name, run here and there."""
    function: Any = torch
    for part in name.split(".")[1:]:
        function = getattr(function, part)
    try:
        wanted = function(*args, **options)
    except (RuntimeError, IndexError, ValueError):
        return
    given_ = Arguments(tuple(map(static, args)), {key: static(value) for key, value in options.items()})
    agree(wanted, torch_functions.call(new_run(), name, given_, AT), full)


def check_method(tensor: torch.Tensor, name: str, *args: Any, full: bool = True, **options: Any) -> None:
    try:
        wanted = getattr(tensor, name)(*args, **options)
    except (RuntimeError, IndexError, ValueError):
        return
    given_ = Arguments(tuple(map(static, args)), {key: static(value) for key, value in options.items()})
    receiver = static(tensor)
    assert isinstance(receiver, Tensor)
    agree(wanted, torch_tensors.method(new_run(), receiver, name, given_, AT), full)


@FEW
@given(st.data(), st.integers(1, 3))
def test_convolutions(data: st.DataObject, axes: int) -> None:
    def some() -> Any:
        one = st.integers(1, 3)
        return data.draw(one | st.tuples(*[one] * axes))

    x = torch.zeros(2, 4, *[data.draw(st.integers(4, 9)) for _ in range(axes)])
    groups = data.draw(st.sampled_from([1, 2]))
    kernel = [data.draw(st.integers(1, 3)) for _ in range(axes)]
    padding = data.draw(st.sampled_from([0, 1, "same", "valid"]))
    check(
        f"torch.nn.functional.conv{axes}d",
        x,
        torch.zeros(6, 4 // groups, *kernel),
        None,
        some(),
        padding,
        some(),
        groups,
    )
    weight = torch.zeros(4, 3, *kernel)
    check(f"torch.nn.functional.conv_transpose{axes}d", x, weight, None, some(), 1, 0, groups, some())


@FEW
@given(st.data(), st.integers(1, 3), st.booleans())
def test_pooling(data: st.DataObject, axes: int, up: bool) -> None:
    x = torch.zeros(2, 3, *[data.draw(st.integers(4, 9)) for _ in range(axes)])
    kernel, stride = data.draw(st.integers(2, 3)), data.draw(st.none() | st.integers(1, 3))
    check(f"torch.nn.functional.max_pool{axes}d", x, kernel, stride, 1, 1, up)
    check(f"torch.nn.functional.avg_pool{axes}d", x, kernel, stride, 1, up)
    check(f"torch.nn.functional.adaptive_avg_pool{axes}d", x, data.draw(st.integers(1, 4)))


@FEW
@given(st.lists(SIZES, min_size=1, max_size=4), st.integers(-5, 4), st.integers(-5, 4), st.booleans())
def test_reshapes(shape: list[int], one: int, other: int, flag: bool) -> None:
    x = torch.zeros(shape)
    for name in ("transpose", "flatten"):
        check_method(x, name, one, other)
    for name in ("unsqueeze", "squeeze", "argmax", "unbind"):
        check_method(x, name, one)
    for name in ("sum", "mean", "amax", "max", "min", "any"):
        check_method(x, name, one, flag)
    check_method(x, "sum", dim=(one, other), keepdim=flag)
    check_method(x, "view", -1, shape[-1])
    check_method(x, "reshape", (shape[0], -1))
    check_method(x, "permute", *reversed(range(len(shape))))
    check_method(x, "repeat", *[2] * (len(shape) + 1))
    check_method(x, "expand", 3, *[-1] * len(shape))
    check_method(x, "norm", dim=one)
    check_method(x, "std", one)
    check_method(x, "chunk", 2, one, full=False)
    check_method(x, "split", 2, one)


@FEW
@given(st.lists(SIZES, min_size=1, max_size=3), st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3), st.data())
def test_products_joins_and_broadcasts(batch: list[int], sizes: list[int], data: st.DataObject) -> None:
    rows, inner, columns = (data.draw(SIZES) for _ in range(3))
    check("torch.matmul", torch.zeros(*batch, rows, inner), torch.zeros(inner, columns))
    check("torch.matmul", torch.zeros(*batch, rows, inner), torch.zeros(inner))
    check("torch.nn.functional.linear", torch.zeros(*batch, inner), torch.zeros(columns, inner))
    check("torch.cat", [torch.zeros(batch), torch.zeros(batch)], data.draw(st.integers(-3, 2)))
    check("torch.stack", [torch.zeros(batch), torch.zeros(batch)], data.draw(st.integers(-4, 3)))
    check("torch.add", torch.zeros(sizes), torch.zeros(batch))
    check("torch.where", torch.zeros(sizes) > 0, torch.zeros(sizes), torch.zeros(1))
    check("torch.nn.functional.embedding", torch.zeros(batch, dtype=torch.int64), torch.zeros(3, 5))


@FEW
@given(st.integers(1, 3), st.integers(1, 3), st.integers(2, 4), st.booleans(), st.booleans())
def test_recurrent_attention_and_resampling(batch: int, steps: int, width: int, both: bool, first: bool) -> None:
    for kind in ("lstm", "gru"):
        layer = getattr(torch.nn, kind.upper())(width, 3, 1, bidirectional=both, batch_first=first)
        x = torch.zeros(batch, steps, width)
        wanted = layer(x)[0]
        run = new_run()
        made = torch_layers.build(
            run,
            kind.upper(),
            Arguments(
                (Constant(width), Constant(3), Constant(1)),
                {"bidirectional": Constant(both), "batch_first": Constant(first)},
            ),
            AT,
        )
        assert made is not None
        got = torch_layers.call(run, made, Arguments((static(x),)), AT)
        assert isinstance(got, Sequence)
        agree(wanted, got.items[0])
    q, v = torch.zeros(batch, steps, width), torch.zeros(batch, steps, 5)
    check("torch.nn.functional.scaled_dot_product_attention", q, q, v)
    check("torch.einsum", "bij,bkj->bik", q, q)
    check("torch.einsum", "ij,jk", torch.zeros(steps, width), torch.zeros(width, batch))
    check("torch.nn.functional.pad", q, (1, batch, 2, 0))
    check("torch.nn.functional.interpolate", torch.zeros(1, 2, width, width), scale_factor=2)
    check("torch.nn.functional.interpolate", torch.zeros(1, 2, width, width), size=(3, 4))
    check("torch.nn.functional.pixel_shuffle", torch.zeros(batch, 8, width, steps), 2)
    check("torch.nn.functional.one_hot", torch.zeros(batch, steps, dtype=torch.int64), 4)
    check("torch.gather", q, 1, torch.zeros(batch, 1, width, dtype=torch.int64))
    check("torch.index_select", q, 2, torch.zeros(5, dtype=torch.int64) % 1)
    check_method(q, "masked_fill", q > 0, 1.0)


INDICES = st.lists(
    st.integers(-2, 2) | st.none() | st.builds(slice, st.none() | st.integers(-3, 3), st.none() | st.integers(-3, 3)),
    max_size=4,
)


@FEW
@given(st.lists(SIZES, min_size=1, max_size=4), INDICES, st.booleans(), st.integers(0, 3))
def test_indexing(shape: list[int], index: list[Any], dots: bool, place: int) -> None:
    key: list[Any] = [*index[:place], Ellipsis, *index[place:]] if dots else index
    x = torch.zeros(shape)
    try:
        wanted = x[tuple(key)]
    except IndexError:
        return
    agree(wanted, torch_operators.operator(new_run(), "getitem", static(x), static(tuple(key)), AT))


DTYPES = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool, torch.float16, torch.complex64])


@FEW
@given(
    DTYPES,
    DTYPES,
    st.sampled_from("add sub mul truediv pow lt eq and floordiv mod".split()),
    st.sampled_from([2, 2.5, True]),
)
def test_dtypes_of_operators(one: torch.dtype, other: torch.dtype, name: str, number: float) -> None:
    import operator

    x, y = torch.ones(2, dtype=one), torch.ones(2, dtype=other)
    function = getattr(operator, name + "_" if name == "and" else name)
    for left, right in ((x, y), (x, number), (number, x)):
        try:
            wanted = function(left, right)
        except (RuntimeError, TypeError, NotImplementedError):
            continue
        agree(wanted, torch_operators.operator(new_run(), name, static(left), static(right), AT))


@FEW
@given(DTYPES, DTYPES)
def test_dtypes_of_casts_and_reductions(one: torch.dtype, other: torch.dtype) -> None:
    x = torch.ones(3, dtype=one)
    for name in "long float double half int bool sum mean argmax argsort cumsum clone abs exp sigmoid prod all".split():
        try:
            wanted = getattr(x, name)()
        except (RuntimeError, NotImplementedError, TypeError):
            continue
        receiver = static(x)
        assert isinstance(receiver, Tensor)
        got = torch_tensors.method(new_run(), receiver, name, Arguments(), AT)
        assert isinstance(got, Tensor)
        assert got.dtype in (None, str(wanted.dtype).removeprefix("torch."))
    check("torch.cat", [x, torch.ones(2, dtype=other)], full=False)
    check("torch.where", torch.ones(3) > 0, x, torch.ones(3, dtype=other), full=False)


def test_factories() -> None:
    for name, args, options in (
        ("zeros", (2, 3), {}),
        ("ones", ((2, 3),), {}),
        ("arange", (5,), {}),
        ("arange", (1, 9, 2), {}),
        ("arange", (1.0, 3.0), {}),
        ("full", ((2, 2), 7), {}),
        ("full", ((2, 2), 0.5), {}),
        ("randint", (0, 5, (3,)), {}),
        ("tensor", ([1, 2],), {}),
        ("tensor", ([1.5, 2],), {}),
        ("tensor", ([True],), {}),
        ("eye", (3,), {}),
        ("linspace", (0, 1, 5), {}),
    ):
        check(f"torch.{name}", *args, full=False, **options)


def test_a_shape_that_is_not_known_stays_open() -> None:
    x = Tensor(NO_NODE, None, None, leaf=True)
    made = torch_tensors.method(new_run(), x, "transpose", Arguments((Constant(1), Constant(2))), AT)
    assert isinstance(made, Tensor)
    assert made.shape is None
    assert F.relu is not None
