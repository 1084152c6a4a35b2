"""Where a compiler's graph ends though no op of torch says so: numbers, texts and truths that Python takes of tensors.

What is listed was tried with Dynamo of torch 2.13 and its default settings.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gradlint.compilation import DEFINITION, NUMBER, SHAPE, TEXT, UNTRACED
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
    "torch.set_num_threads", "torch.get_num_threads", "torch.Generator", "torch.nested.", "torch.sparse",
    "torch.autograd.grad", "torch.autograd.backward", "torch.autograd.detect_anomaly",
    "torch.nn.utils.rnn.pack_padded_sequence", "torch.nn.utils.rnn.pack_sequence",
)  # fmt: skip
"""How the full names of functions begin that the compiler skips."""

TRACED = frozenset({"torch.autograd.grad_mode", "torch.autograd.gradcheck"})

METHODS = frozenset(
    "retain_grad backward storage share_memory_ requires_grad_ data_ptr to_sparse to_sparse_csr".split()
)
"""Methods of a tensor that the compiler does not trace."""

SIZED = frozenset("view reshape expand repeat roll topk unfold chunk new_zeros new_ones new_empty new_full".split())
FACTORIES = frozenset(
    f"torch.{name}" for name in "arange zeros ones full empty rand randn randint randperm eye roll topk".split()
)
"""Methods and functions that take sizes, which are numbers of Python."""

SHAPED = frozenset("numpy.nonzero numpy.flatnonzero numpy.argwhere numpy.unique".split())
KEY, CLASSES, LENGTH = "key", "num_classes", "output_size"
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
    elif name in _CALLS and (what := _CALLS[name](run, arguments)):
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
    elif name in METHODS:
        note(run, f"torch.Tensor.{name}", at)
    elif receiver.carrier is ValueKind.ARRAY and name in ("item", "tolist"):
        note(run, NUMBER, at)
    elif name in SIZED and any(map(_is_traced, given)):
        note(run, NUMBER, at)
    elif name == "repeat_interleave" and _repeats(arguments, 0):
        note(run, SHAPE, at)


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
    return isinstance(value, Tensor) and value.carrier is ValueKind.TENSOR


def _is_number(value: Value) -> bool:
    """Whether an index of a tensor is a whole number that lies in a tensor."""
    return isinstance(value, Tensor) and value.shape == () and (value.dtype or "").startswith(("int", "uint"))


def _is_cut_by_tensors(value: Value) -> bool:
    return isinstance(value, Sequence) and value.kind == "slice" and any(map(_is_traced, value.items))


def _repeats(arguments: Arguments, position: int) -> bool:
    given = arguments.positional[position : position + 1]
    return any(map(held, given)) and LENGTH not in arguments.named


def _items(arguments: Arguments) -> list[Value]:
    """What a function goes through, as far as it is there without going through it."""
    first = arguments.positional[:1]
    return first[0].items if first and isinstance(first[0], Sequence) and len(arguments.positional) == 1 else [*first]


def _ordered(_: Run, arguments: Arguments) -> str:
    return NUMBER if KEY not in arguments.named and any(map(held, _items(arguments))) else ""


def _by_key(_: Run, arguments: Arguments) -> str:
    return "max and min with a key" if KEY in arguments.named and any(map(held, _items(arguments))) else ""


def _any_held(what: str) -> Callable[[Run, Arguments], str]:
    return lambda _, arguments: what if any(map(held, arguments.positional)) else ""


def _any_array(_: Run, arguments: Arguments) -> str:
    return NUMBER if any(held(value) and not _is_traced(value) for value in arguments.positional) else ""


def _copied(run: Run, arguments: Arguments) -> str:
    return "copy.deepcopy" if run.tensors_in(arguments.positional[:1]) else ""


def _coded(_: Run, arguments: Arguments) -> str:
    told = arguments.named.get(CLASSES, next(iter(arguments.positional[1:]), None))
    return SHAPE if told is None or (isinstance(told, Constant) and told.value == -1) else ""


_CALLS: dict[str, Callable[[Run, Arguments], str]] = {
    **dict.fromkeys(("builtins.str", "builtins.repr", "builtins.format"), _any_held(TEXT)),
    **dict.fromkeys(("builtins.float", "builtins.int", "builtins.complex"), _any_array),
    **dict.fromkeys(("builtins.max", "builtins.min"), _by_key),
    **dict.fromkeys(FACTORIES, _any_held(NUMBER)),
    **dict.fromkeys(SHAPED, _any_held(SHAPE)),
    "builtins.sorted": _ordered,
    "builtins.range": _any_held(NUMBER),
    "copy.deepcopy": _copied,
    "torch.nn.functional.one_hot": _coded,
    "torch.repeat_interleave": lambda _, arguments: SHAPE if _repeats(arguments, 1) else "",
}
"""What a call of a function makes the compiler break for; empty where it does not."""
