"""Tensors that are made from sizes, numbers, arrays or other tensors, and parameters."""

from __future__ import annotations

import ast
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gradlint.frontends.static.python.plain_values import plain, range_length
from gradlint.frontends.static.record import emission
from gradlint.frontends.static.record.emission import INITIALISED, NUMBERS, REQUIRES_GRAD, Output
from gradlint.frontends.static.record.passages import OPEN
from gradlint.frontends.static.shapes import dtypes
from gradlint.frontends.static.torch import tensors as torch_tensors
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Constant,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import NodeKind, Passage, Reason, ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Activation, Run

SIZED = frozenset("zeros ones empty rand randn".split())
"""Factories whose positional arguments are sizes."""

FACTORIES = SIZED | frozenset(
    """full eye arange range linspace logspace randint randperm normal tril_indices triu_indices empty_strided
    hann_window hamming_window blackman_window bartlett_window kaiser_window complex polar scalar_tensor""".split()
)
"""Factories that make data as long as no tensor is among their arguments."""

INTEGERS = frozenset("randint randperm tril_indices triu_indices".split())
LIKE = frozenset(f"{name}_like" for name in "zeros ones empty rand randn full randint".split())

WRAPPERS = frozenset(
    """tensor as_tensor asarray scalar_tensor Tensor FloatTensor DoubleTensor HalfTensor BFloat16Tensor LongTensor
    IntTensor ShortTensor CharTensor ByteTensor BoolTensor Variable from_numpy frombuffer from_dlpack""".split()
)
"""Functions that make tensors of values from outside of torch."""

KEEPING = frozenset({"from_numpy", "frombuffer", "from_dlpack"})
"""Wrappers that take an array back as it left: the cut is where it left."""

SAME_IF_TENSOR = frozenset({"as_tensor", "asarray", "Tensor"})
"""Wrappers that hand a tensor back as it is."""

CONSTRUCTOR, FORWARD = "__init__", "forward"


def factory(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A tensor made from sizes and numbers; None where a tensor among the arguments makes it an op."""
    if name not in LIKE and run.nodes_in(tuple(args)):
        return None
    made = emission.emit(run, name, args, at, Output(_dtype(name, args), _shape(name, args)))
    made.leaf = True
    emission.filled(run, made, name, emission.literals(args), at)
    if name == "linspace" and (numbers := _spaced(args)):
        made.state[NUMBERS] = numbers
    if run.truth(args.named.get(REQUIRES_GRAD, Constant(False))):
        _make_trainable(run, made, at)
    elif REQUIRES_GRAD in args.named and run.truth(args.named[REQUIRES_GRAD]) is None:
        run.tape.nodes[made.node].requires_grad = None
    return made


MOST_NUMBERS = 256


def _spaced(args: Arguments) -> tuple[float, ...]:
    """The numbers of `linspace` in single precision; none where its arguments are not known."""
    named = (args.named[key] for key in ("start", "end", "steps") if key in args.named)
    given = [plain(value) for value in (*args.positional[:3], *named)]
    if len(given) != 3 or not all(type(value) in (int, float) for value in given) or type(given[2]) is not int:
        return ()
    first, last, steps = given
    if not 1 < steps <= MOST_NUMBERS:
        return (float(first),) if steps == 1 else ()
    return tuple(_single(first + (last - first) * number / (steps - 1)) for number in range(steps))


def _single(number: float) -> float:
    """A number rounded to single precision."""
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


def _make_trainable(run: Run, made: Tensor, at: ast.AST) -> None:
    made.state[REQUIRES_GRAD] = True
    made.made = run.frame(at)
    run.tape.nodes[made.node].requires_grad = True


def _dtype(name: str, args: Arguments) -> str | None:
    wanted = args.named.get("dtype")
    if wanted is not None and not (isinstance(wanted, Constant) and wanted.value is None):
        known = emission.literal(wanted)
        return known if isinstance(known, str) else None
    if name in LIKE:
        first = args.positional[0] if args.positional else args.named.get("input")
        return first.dtype if isinstance(first, Tensor) else None
    if name in INTEGERS:
        return "int64"
    if name in ("arange", "range", "full", "scalar_tensor"):
        given = [plain(value) for value in (*args.positional, *args.named.values())]
        return _dtype_of_numbers([value for value in given if not isinstance(value, (tuple, list))])
    return "complex64" if name in ("complex", "polar") else dtypes.DEFAULT


def _dtype_of_numbers(numbers: list[object]) -> str | None:
    if any(type(number) is float for number in numbers):
        return dtypes.DEFAULT
    if numbers and all(type(number) is bool for number in numbers):
        return "bool"
    return "int64" if numbers and all(type(number) in (int, bool) for number in numbers) else None


def _shape(name: str, args: Arguments) -> tuple[int | None, ...] | None:
    if name in LIKE:
        first = args.positional[0] if args.positional else None
        return first.shape if isinstance(first, Tensor) else None
    if name in SIZED:
        given = args.positional or tuple(args.named[key] for key in ("size",) if key in args.named)
        return _sizes([plain(value) for value in given])
    if name == "full" and args.positional:
        return _sizes([plain(args.positional[0])])
    if name == "randint":
        sizes = [value for value in (*args.positional, args.named.get("size")) if isinstance(value, Sequence)]
        return _sizes([plain(sizes[0])]) if sizes else None
    if name in ("randperm", "eye", "linspace", "logspace"):
        return _counted(name, args)
    if name == "arange":
        ends = [plain(value) for value in args.positional]
        whole = all(type(end) is int for end in ends) and 0 < len(ends) < 4
        return (range_length(range(*ends)),) if whole and 0 not in ends[2:] else (None,)
    return None


def _counted(name: str, args: Arguments) -> tuple[int | None, ...] | None:
    """The shape of what is as long, or as wide, as a number says."""
    given = [plain(value) for value in args.positional]
    if name in ("linspace", "logspace"):
        return _sizes([plain(args.named["steps"])] if "steps" in args.named else given[2:3]) or None
    return _sizes(given[:2] if name == "eye" and len(given) > 1 else given[:1] * (2 if name == "eye" else 1)) or None


def _sizes(found: list[object]) -> tuple[int | None, ...] | None:
    if len(found) == 1 and isinstance(found[0], (tuple, list)):
        found = list(found[0])
    return tuple(size if type(size) is int else None for size in found)


# --- values from outside


def wrapper(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    """`torch.tensor`, `torch.as_tensor`, `Variable` and their like."""
    given = args.positional[0] if args.positional else next(iter(args.named.values()), Constant(None))
    if name in SAME_IF_TENSOR and _is_torch_tensor(given):
        return _kept(run, given, args, at)
    made = _rewrapped(run, name, tuple(args), at)
    made.dtype = _wrapped_dtype(name, given, args)
    made.shape = _wrapped_shape(name, given, args)
    if name in dtypes.LEGACY and made.shape and type(plain(given)) is int:
        emission.filled(run, made, "empty", {}, at)
    node = run.tape.nodes[made.node]
    node.dtype, node.shape = made.dtype, made.shape
    if run.truth(args.named.get(REQUIRES_GRAD, Constant(False))):
        _make_trainable(run, made, at)
    return made


def _is_torch_tensor(value: Value) -> bool:
    return isinstance(value, Tensor) and value.carrier is ValueKind.TENSOR


def _kept(run: Run, given: Value, args: Arguments, at: ast.AST) -> Value:
    dtype = args.named.get("dtype")
    moved = Arguments(() if dtype is None else (dtype,))
    return given if dtype is None else torch_tensors.method(run, given, "to", moved, at) or given  # type: ignore[arg-type]


def _rewrapped(run: Run, name: str, given: tuple[Value, ...], at: ast.AST) -> Tensor:
    """A new tensor with a cut before it, behind which lies whatever went in."""
    sources = [(run.read(value), value) for value in run.tensors_in(given)]
    node = run.add(NodeKind.OP, name, at, call=run.tape.call())
    for source, value in sources:
        from_outside = not isinstance(value, Tensor) or value.carrier is not ValueKind.TENSOR
        unknown = isinstance(value, Unknown)
        open_ = (name in KEEPING and from_outside) or unknown
        run.tape.link(source, node, *(OPEN if open_ else (Passage.BLOCKED, Reason.REWRAP)))
    run.tape.nodes[node].requires_grad = False
    return Tensor(node, leaf=True)


def _wrapped_dtype(name: str, given: Value, args: Arguments) -> str | None:
    if name in dtypes.LEGACY:
        return dtypes.LEGACY[name]
    wanted = emission.literal(args.named["dtype"]) if "dtype" in args.named else None
    if "dtype" in args.named:
        return wanted if isinstance(wanted, str) else None
    if isinstance(given, Tensor):
        return given.dtype
    numbers = list(_numbers(given))
    return _dtype_of_numbers([plain(number) for number in numbers]) if numbers else None


def _numbers(value: Value) -> Iterator[Value]:
    if isinstance(value, Sequence):
        for item in value.items:
            yield from _numbers(item)
    else:
        yield value


def _wrapped_shape(name: str, given: Value, args: Arguments) -> tuple[int | None, ...] | None:
    if isinstance(given, Tensor):
        return given.shape
    if name in dtypes.LEGACY and given is not None and not isinstance(given, Sequence):
        sizes = [plain(value) for value in args.positional]
        return _sizes(list(sizes)) if all(type(size) is int for size in sizes) else None
    known = plain(given)
    if isinstance(known, (tuple, list)) and all(type(item) in (int, float, bool) for item in known):
        return (len(known),)
    return () if type(known) in (int, float, bool) else None


# --- parameters


def parameter(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    """`nn.Parameter(data)`: a new leaf; one made of a computed value is cut off from it."""
    given = args.positional[0] if args.positional else args.named.get("data", Constant(None))
    wanted = args.positional[1] if len(args.positional) > 1 else args.named.get(REQUIRES_GRAD, Constant(True))
    made = Tensor(NO_NODE, parameter=True, leaf=True, made=run.frame(at))
    if isinstance(given, Tensor):
        made.shape, made.dtype = given.shape, given.dtype
        made.state.update({key: value for key, value in given.state.items() if key == INITIALISED})
    if _takes_over(run, given):
        made.node = _rewrapped(run, "Parameter", (given,), at).node
        run.tape.nodes[made.node].requires_grad = True
        run.leaves[id(made)] = made.node
        run.keep.append(made)
    if _runs(run, FORWARD) and not in_constructor(run):
        made.state[emission.MADE_INSIDE] = True
        run.keep.append(made)
    on = run.truth(wanted)
    if on is not True:
        made.state[REQUIRES_GRAD] = False if on is False else None
        if on is False:
            run.write(run.frozen, id(made), run.frame(at))
            run.keep.append(made)
    return made


def _takes_over(run: Run, given: Value) -> bool:
    """Whether a new parameter takes over a value that the model computed, outside of any constructor."""
    if not isinstance(given, Tensor) or given.node == NO_NODE or given.parameter:
        return False
    node = run.tape.nodes[given.node]
    if node.requires_grad:
        return True
    computed = node.kind is NodeKind.OP and given.node in run.tape.sources
    return computed and not in_constructor(run)


def in_constructor(run: Run) -> bool:
    """Whether a constructor is running."""
    return _runs(run, CONSTRUCTOR)


def _runs(run: Run, method: str) -> bool:
    """Whether a method of this name is running."""
    activation: Activation | None = run.activation
    while activation is not None:
        if activation.name.rpartition(".")[2] == method:
            return True
        activation = activation.outer
    return False


def buffer(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    """`nn.Buffer(data)`: the tensor itself."""
    return args.positional[0] if args.positional else args.named.get("data", Symbol())


HANDLERS: dict[str, Callable[[Run, str, Arguments, ast.AST], Value]] = {
    "torch.nn.Parameter": parameter,
    "torch.nn.UninitializedParameter": parameter,
    "torch.nn.parameter.UninitializedParameter": parameter,
    "torch.nn.Buffer": buffer,
    "torch.autograd.Variable": lambda run, name, args, at: wrapper(run, "Variable", args, at),
}
