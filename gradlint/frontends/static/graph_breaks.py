"""Where a compiler's graph ends though no op of torch says so: numbers, texts and truths that Python takes of tensors.

What is listed was tried with Dynamo of torch 2.13 and its default settings.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gradlint.compilation import DEFINITION, NUMBER, SHAPE, TEXT, UNTRACED
from gradlint.frontends.static.record import emission
from gradlint.frontends.static.values import Arguments, Constant, Sequence, Symbol, Tensor, Text, Truth, Value
from gradlint.graph import NodeKind, ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

SKIPPED = (
    "gc.", "threading.", "queue.", "heapq.", "bisect.", "traceback.", "pprint.", "hashlib.", "decimal.",
    "inspect.stack", "inspect.currentframe", "inspect.getframeinfo", "sys.getsizeof", "sys._getframe", "copy.copy",
    "os.getcwd", "os.getpid", "os.cpu_count", "os.path.abspath", "os.path.realpath", "builtins.globals",
    "torch.manual_seed", "torch.random.manual_seed", "torch.random.fork_rng", "torch.get_rng_state",
    "torch.set_rng_state", "torch.initial_seed", "torch.cuda.manual_seed", "torch.cuda.memory_",
    "torch.set_num_threads", "torch.get_num_threads", "torch.Generator", "torch.sparse",
    "torch.autograd.grad", "torch.autograd.backward", "torch.autograd.detect_anomaly",
    "torch.nn.utils.rnn.pack_padded_sequence", "torch.nn.utils.rnn.pack_sequence",
)  # fmt: skip
"""How the full names of functions begin that the compiler skips."""

TRACED = frozenset({"torch.autograd.grad_mode", "torch.autograd.gradcheck"})

METHODS = frozenset("retain_grad backward storage share_memory_ data_ptr to_sparse to_sparse_csr".split())
"""Methods of a tensor that the compiler does not trace."""

SIZED = frozenset("view reshape expand repeat roll topk unfold chunk new_zeros new_ones new_empty".split())
FACTORIES = frozenset(f"torch.{name}" for name in "arange zeros ones empty rand randn randint randperm eye".split())
"""Methods and functions that take sizes, which are numbers of Python."""

SHAPED = frozenset("numpy.nonzero numpy.flatnonzero numpy.argwhere numpy.unique".split())
KEY, CLASSES, LENGTH = "key", "num_classes", "output_size"
SWITCH, FILLED = "requires_grad_", "torch.full"
Handler = Callable[["Run", Arguments, ast.AST], str]
_FAILURES = ("Error", "Exception", "Warning", "Exit", "Interrupt", "StopIteration")


def note(run: Run, what: str, at: ast.AST) -> None:
    """Puts a break on the tape, if it is made while a module runs."""
    if run.modules:
        run.add(NodeKind.CONSTANT, f"{UNTRACED}{what}", at)


def definition(run: Run, at: ast.AST) -> None:
    """Notes the definition of a class."""
    note(run, DEFINITION, at)


def call(run: Run, name: str, arguments: Arguments, at: ast.AST) -> None:
    """Notes a call of a library's function at which the compiler breaks."""
    if not run.modules:
        return
    given = arguments.positional
    if name.startswith(SKIPPED) and name not in TRACED:
        note(run, name, at)
    elif any(isinstance(value, Text) for value in given) and not name.endswith(_FAILURES):
        note(run, TEXT, at)
    elif name.startswith("math.") and any(map(held, given)):
        note(run, NUMBER, at)
    elif name in _CALLS and (what := _CALLS[name](run, arguments, at)):
        note(run, what, at)


def method(run: Run, receiver: Value, name: str, arguments: Arguments, at: ast.AST) -> None:
    """Notes a call of a method at which the compiler breaks."""
    if not run.modules:
        return
    given = arguments.positional
    if isinstance(receiver, Text):
        note(run, TEXT, at)
    elif not isinstance(receiver, Tensor):
        if name == "data_ptr":
            note(run, name, at)
    elif name in METHODS or (name == SWITCH and _is_switched(run, receiver, given)):
        note(run, f"torch.Tensor.{name}", at)
    elif _is_read(receiver, name) or (name in SIZED and any(map(_is_traced, given))):
        note(run, NUMBER, at)
    elif name == "repeat_interleave" and _repeats(arguments, 0):
        note(run, SHAPE, at)


def _is_switched(run: Run, receiver: Tensor, given: tuple[Value, ...]) -> bool:
    """Whether `requires_grad_` may change something: a value that has a history has its gradient switched on."""
    off = bool(given) and run.truth(given[0]) is not True
    return off or emission.requires_grad(run, receiver) is not True


def _is_read(receiver: Tensor, name: str) -> bool:
    return receiver.carrier is ValueKind.ARRAY and name in ("item", "tolist")


def index(run: Run, value: Value, key: Value, at: ast.AST) -> None:
    """Notes an index that Python has to know as a number: of its own containers, and of a tensor's axis."""
    if isinstance(key, (Constant, Symbol)) or not run.modules:
        return
    parts = key.items if isinstance(key, Sequence) and key.kind == "tuple" else [key]
    numbers = any(map(_is_number, parts)) if isinstance(value, Tensor) else _is_traced(key)
    if numbers or any(_is_cut_by_tensors(part) for part in parts):
        note(run, NUMBER, at)


def text(parts: Iterable[Value]) -> Symbol:
    """A text that is not known; the compiler breaks where Python looks at one that was written out of a tensor."""
    return Text("str") if any(held(part) or isinstance(part, Text) for part in parts) else Symbol("str")


def written(receiver: Value, name: str, arguments: Arguments) -> Symbol | None:
    """`"…".format(value)` with a tensor; None for any other method."""
    given = (*arguments.positional, *arguments.named.values())
    is_text = name == "format" and isinstance(receiver, Constant) and isinstance(receiver.value, str)
    return Text("str") if is_text and any(map(held, given)) else None


def formatted(run: Run, left: Value, right: Value, at: ast.AST) -> Symbol | None:
    """`"…" % value`; None for any other remainder."""
    if not (isinstance(left, Text) or (isinstance(left, Constant) and isinstance(left.value, str))):
        return None
    if any(map(held, right.items if isinstance(right, Sequence) else (right,))):
        note(run, TEXT, at)
    return Symbol("str")


def read(run: Run, at: ast.AST, *values: Value) -> None:
    """Notes that an operator looks at a text that was written out of a tensor."""
    if any(isinstance(value, Text) for value in values):
        note(run, TEXT, at)


def truth_of(*values: Value | None) -> Symbol:
    """The answer to a question about arrays, which the compiler traces as tensors."""
    array = next((v for v in values if isinstance(v, Tensor) and v.carrier is ValueKind.ARRAY), None)
    return Truth("bool", of=array) if array is not None else Symbol("bool")


def held(value: Value) -> bool:
    """Whether a value is one that the compiler has as a tensor: arrays too."""
    return isinstance(value, Tensor) and value.carrier in (ValueKind.TENSOR, ValueKind.ARRAY)


def _is_traced(value: Value) -> bool:
    """Whether a value is a tensor whose numbers are not known from the source."""
    return isinstance(value, Tensor) and value.carrier is ValueKind.TENSOR and not value.state.get(emission.NUMBERS)


def _is_number(value: Value) -> bool:
    """Whether an index of a tensor is a whole number that lies in a tensor."""
    if not (isinstance(value, Tensor) and _is_traced(value)):
        return False
    return value.shape == () and (value.dtype or "").startswith(("int", "uint"))


def _is_cut_by_tensors(value: Value) -> bool:
    return isinstance(value, Sequence) and value.kind == "slice" and any(map(_is_traced, value.items))


def _repeats(arguments: Arguments, position: int) -> bool:
    given = arguments.positional[position : position + 1]
    return any(map(held, given)) and LENGTH not in arguments.named


def _items(arguments: Arguments) -> list[Value]:
    """What a function goes through, as far as it is there without going through it."""
    first = arguments.positional[:1]
    return first[0].items if first and isinstance(first[0], Sequence) and len(arguments.positional) == 1 else [*first]


def _ordered(run: Run, arguments: Arguments, at: ast.AST) -> str:
    """Sorting compares numbers: those of the items, or those that the key makes of them."""
    first = next(filter(held, _items(arguments)), None)
    key = arguments.named.get(KEY)
    if first is not None and key is not None:
        first = run.call(key, Arguments((first,)), at)
    return NUMBER if first is not None and held(first) else ""


def _by_key(_: Run, arguments: Arguments, __: ast.AST) -> str:
    return "max and min with a key" if KEY in arguments.named and any(map(held, _items(arguments))) else ""


def _any_held(what: str) -> Handler:
    return lambda _, arguments, __: what if any(map(held, arguments.positional)) else ""


def _sized(_: Run, arguments: Arguments, __: ast.AST) -> str:
    """Sizes, one by one or in a list."""
    inner = (v for value in arguments.positional if isinstance(value, Sequence) for v in value.items)
    return NUMBER if any(map(_is_traced, (*arguments.positional, *inner))) else ""


def _any_array(_: Run, arguments: Arguments, __: ast.AST) -> str:
    return NUMBER if any(held(value) and not _is_traced(value) for value in arguments.positional) else ""


def _copied(run: Run, arguments: Arguments, _: ast.AST) -> str:
    return "copy.deepcopy" if run.tensors_in(arguments.positional[:1]) else ""


def _coded(_: Run, arguments: Arguments, __: ast.AST) -> str:
    told = arguments.named.get(CLASSES, next(iter(arguments.positional[1:]), None))
    return SHAPE if told is None or (isinstance(told, Constant) and told.value == -1) else ""


_CALLS: dict[str, Handler] = {
    **dict.fromkeys(("builtins.str", "builtins.repr", "builtins.format"), _any_held(TEXT)),
    **dict.fromkeys(("builtins.float", "builtins.int", "builtins.complex"), _any_array),
    **dict.fromkeys(("builtins.max", "builtins.min"), _by_key),
    **dict.fromkeys(FACTORIES, _sized),
    FILLED: lambda run, arguments, at: _sized(run, Arguments(arguments.positional[:1]), at),
    **dict.fromkeys(SHAPED, _any_held(SHAPE)),
    "builtins.sorted": _ordered,
    "builtins.range": _sized,
    "copy.deepcopy": _copied,
    "torch.nn.functional.one_hot": _coded,
    "torch.repeat_interleave": lambda _, arguments, __: SHAPE if _repeats(arguments, 1) else "",
}
"""What a call of a function makes the compiler break for; empty where it does not."""
