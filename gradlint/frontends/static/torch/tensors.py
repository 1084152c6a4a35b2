"""Tensors: their methods and attributes."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static import graph_breaks
from gradlint.frontends.static.language import conditions
from gradlint.frontends.static.python.plain_values import plain
from gradlint.frontends.static.record import emission
from gradlint.frontends.static.record.emission import REQUIRES_GRAD, Output, begin, result
from gradlint.frontends.static.shapes import dtypes
from gradlint.frontends.static.torch import results as torch_results
from gradlint.frontends.static.torch.switches import cut, detach, detach_in_place, replace_data, switch, switched
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Constant,
    External,
    Foreign,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import Passage, Reason, ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

NONE = Constant(None)

NUMBERS = frozenset("numel nelement dim ndimension element_size get_device storage_offset".split())
ANSWERS = frozenset(
    """is_contiguous is_floating_point is_complex is_signed is_inference is_pinned is_shared is_conj is_neg is_set_to
    is_same_size is_coalesced""".split()
)
COMPARED = frozenset({"equal", "allclose", "is_nonzero"})
"""Methods that answer with a truth value which depends on the values of tensors."""
HOOKS = frozenset(
    "register_hook retain_grad register_post_accumulate_grad_hook share_memory_ storage untyped_storage".split()
)
MOVES = frozenset("to cuda cpu xpu npu mps hpu ipu type type_as pin_memory".split())
READ_PROPERTIES = frozenset({"data", "T", "mT", "H", "mH", "real", "imag"})


def method(run: Run, receiver: Tensor, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """The result of a method of a tensor; None for one that is not known."""
    special = _METHODS.get(name)
    if special is not None:
        return special(run, receiver, args, at)
    if name in NUMBERS:
        return _number(receiver, name)
    if name in ANSWERS:
        return _answer(receiver, name)
    if name in COMPARED:
        return compared(run, Arguments((receiver, *args.positional), args.named), at)
    if name in HOOKS:
        return Foreign(f"torch.Tensor.{name}") if name.startswith("register") else NONE
    whole = Arguments((receiver, *args.positional), args.named, args.exact)
    if name in MOVES:
        return _moved(run, receiver, name, whole, at)
    if name.startswith("new_") and name != "new_tensor":
        return _like(run, name, whole, at)
    return torch_results.op(run, name, whole, at)


ONLY_TENSORS = frozenset(
    """view reshape permute transpose unsqueeze squeeze flatten contiguous detach expand chunk softmax log_softmax
    matmul bmm argmax mean sum sigmoid tanh relu masked_fill gather scatter_ index_select repeat_interleave""".split()
)
"""Methods that tell a tensor from other objects."""


def method_of_unknown(run: Run, receiver: Unknown, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A method that only tensors have on something that could not be read but stands for tensors of the graph."""
    if receiver.node == NO_NODE or name not in ONLY_TENSORS:
        return None
    return torch_results.op(run, name, Arguments((receiver, *args.positional), args.named, args.exact), at)


def _number(receiver: Tensor, name: str) -> Value:
    shape = receiver.shape
    if shape is not None and name in ("dim", "ndimension"):
        return Constant(len(shape))
    if shape is not None and name in ("numel", "nelement") and None not in shape:
        return Constant(math.prod(size for size in shape if size is not None))
    return Symbol("int")


def compared(run: Run, args: Arguments, at: ast.AST) -> Value:
    """Whether tensors are equal, or one is zero: Python asks for their values."""
    for value in args.positional:
        conditions.note_test(run, value, at)
    return Symbol("bool")


def _answer(receiver: Tensor, name: str) -> Value:
    if name == "is_floating_point" and receiver.dtype is not None:
        return Constant("float" in receiver.dtype)
    if name == "is_complex" and receiver.dtype is not None:
        return Constant("complex" in receiver.dtype)
    return Symbol("bool")


def shape_value(receiver: Tensor) -> Value:
    """A shape as a tuple; of an unknown rank a tuple of any length."""
    if receiver.shape is None:
        return Sequence([Symbol("int")], "tuple", exact=False)
    return Sequence([Symbol("int") if size is None else Constant(size) for size in receiver.shape], "tuple")


def _size(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> Value:
    wanted = args.positional[0] if args.positional else args.named.get("dim")
    if wanted is None:
        return shape_value(receiver)
    axis, shape = plain(wanted), receiver.shape
    if shape is None or type(axis) is not int or not -len(shape) <= axis < len(shape):
        return Symbol("int")
    known = shape[axis]
    return Symbol("int") if known is None else Constant(known)


def _moved(run: Run, receiver: Tensor, name: str, whole: Arguments, at: ast.AST) -> Value:
    """`.to(…)`, `.cuda()`, `.type(…)`: a copy of another dtype or on another device."""
    if name == "type" and len(whole.positional) == 1 and not whole.named:
        return Symbol("str")
    dtype = _target_dtype(receiver, name, whole)
    same = dtype == receiver.dtype if dtype is not None else not _may_cast(name, whole)
    if same and (not _is_trainable_leaf(receiver) or _casts_only(whole)):
        return receiver
    call = begin(run, name, whole, at)
    return result(run, call, Output(dtype, receiver.shape, receiver))


CASTING = frozenset({"to", "type", "type_as"})
"""Moves that may change the dtype."""


def _is_trainable_leaf(receiver: Tensor) -> bool:
    """Whether a move may make a tensor that is computed out of a leaf that was to learn."""
    return receiver.parameter or receiver.state.get(REQUIRES_GRAD) is True


def _casts_only(whole: Arguments) -> bool:
    """Whether a move names a dtype and nothing else: one to the tensor's own dtype hands the tensor itself back."""
    others = whole.positional[1:]
    return not whole.named and len(others) == 1 and isinstance(others[0], External)


def _may_cast(name: str, whole: Arguments) -> bool:
    """Whether a move may change the dtype."""
    others = (*whole.positional[1:], *whole.named.values())
    return name in CASTING and any(isinstance(v, Tensor | External) or _may_be_dtype(v) for v in others)


def _target_dtype(receiver: Tensor, name: str, whole: Arguments) -> str | None:
    """The dtype after a move; None where that is not known."""
    if name not in CASTING:
        return receiver.dtype
    for value in (*whole.positional[1:], *whole.named.values()):
        if isinstance(value, Tensor):
            return value.dtype
        if isinstance(value, External) and (known := _dtype_named(value.name)):
            return known
        if isinstance(value, Constant) and isinstance(value.value, str):
            legacy = dtypes.LEGACY.get(value.value.rpartition(".")[2])
            if legacy or name == "type":
                return legacy
        elif _may_be_dtype(value):
            return None
    return receiver.dtype


def _dtype_named(name: str) -> str | None:
    if not name.startswith("torch."):
        return None
    return dtypes.canonical(name) or dtypes.LEGACY.get(name.rpartition(".")[2])


def _may_be_dtype(value: Value) -> bool:
    if isinstance(value, Symbol):
        return value.type not in ("device", "int", "bool", "str")
    return not isinstance(value, (Constant, Foreign))


def _like(run: Run, name: str, whole: Arguments, at: ast.AST) -> Value:
    """`x.new_zeros(…)`: a new tensor of the dtype of another."""
    receiver = whole.positional[0]
    wanted = whole.named.get("dtype")
    known = receiver.dtype if isinstance(receiver, Tensor) else None
    dtype = known if wanted is None else emission.literal(wanted)
    made = emission.emit(run, name, whole, at, Output(dtype if isinstance(dtype, str) else None, _sizes(whole, 1)))
    made.leaf = True
    switched_on = run.truth(whole.named.get(REQUIRES_GRAD, Constant(False)))
    if switched_on:
        made.state[REQUIRES_GRAD] = True
    return made


def _sizes(args: Arguments, first: int) -> tuple[int | None, ...] | None:
    """A shape that is given as one tuple or as numbers; None where it is not known."""
    found = [plain(value) for value in args.positional[first:]]
    if len(found) == 1 and isinstance(found[0], (tuple, list)):
        found = list(found[0])
    return tuple(size if type(size) is int else None for size in found) if found else None


# --- leaving torch


def leave(run: Run, receiver: Value, native: str, at: ast.AST, carrier: ValueKind) -> Tensor:
    """A conversion to an array or to a Python number, which remembers where it came from."""
    reason = Reason.NUMPY if carrier is ValueKind.ARRAY or native.startswith("math.") else Reason.SCALAR
    made = emission.outside(run, native, run.nodes_in(receiver), at, (Passage.BLOCKED, reason), carrier)
    if isinstance(receiver, Tensor) and carrier is ValueKind.ARRAY:
        made.dtype, made.shape = receiver.dtype, receiver.shape
    return made


def _leaving(native: str, carrier: ValueKind) -> Callable[[Run, Tensor, Arguments, ast.AST], Value]:
    def convert(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> Value:
        return leave(run, receiver, native, at, carrier)

    return convert


def _pointer(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> Value:
    """`data_ptr()`: foreign code may read this memory, or fill it from memory handed out before."""
    if not run.frame(at).user:
        return Symbol("int")
    cut = (Passage.BLOCKED, Reason.OPAQUE)
    source = run.read(receiver)
    made = result(run, emission.Call(run.tape.call(), "data_ptr", at, ()), Output(receiver.dtype, receiver.shape))
    run.tape.nodes[made.node].inplace = True
    run.tape.link(source, made.node, *(cut if run.pointers else ()))
    for earlier in run.pointers:
        run.tape.link(earlier, made.node, *cut)
    run.pointers.append(source)
    if not emission.is_leaf_update(run, receiver):
        run.write(receiver, "node", made.node)
        emission.spread_node(run, receiver, made.node)
    return Symbol("int")


def _item(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> Value:
    """`.item()`: a number that remembers where it came from, unless it is known."""
    known = receiver.state.get(emission.NUMBERS)
    if known and len(known) == 1:
        return Constant(known[0])
    return leave(run, receiver, "item", at, ValueKind.SCALAR)


def _as_list(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> Value:
    """`.tolist()`: nested lists of numbers; a single number of a tensor without axes."""
    known = receiver.state.get(emission.NUMBERS)
    if known:
        return Sequence([Constant(number) for number in known], "list") if receiver.shape else Constant(known[0])
    number = leave(run, receiver, "tolist", at, ValueKind.SCALAR)
    return number if receiver.shape == () else Sequence([number], "list", exact=False)


_METHODS: dict[str, Callable[[Run, Tensor, Arguments, ast.AST], Value]] = {
    "size": _size,
    "stride": lambda run, receiver, args, at: Symbol("int") if args.positional else shape_value(Tensor(NO_NODE)),
    "__len__": lambda run, receiver, args, at: _size(run, receiver, Arguments((Constant(0),)), at),
    "item": _item,
    "numpy": _leaving("numpy", ValueKind.ARRAY),
    "__array__": _leaving("__array__", ValueKind.ARRAY),
    "tolist": _as_list,
    "data_ptr": _pointer,
    "__float__": _leaving("__float__", ValueKind.SCALAR),
    "__int__": _leaving("__int__", ValueKind.SCALAR),
    "requires_grad_": switched,
    "detach_": detach_in_place,
    "detach": detach,
    "apply_": lambda run, receiver, args, at: receiver,
    "map_": lambda run, receiver, args, at: receiver,
}


# --- attributes


def attribute(run: Run, receiver: Tensor, name: str, at: ast.AST) -> Value | None:
    """An attribute of a tensor; None for one that is a method or not known."""
    if name == "data":
        return cut(run, "get:data", receiver, at)
    if name in READ_PROPERTIES:
        return torch_results.op(run, f"get:{name}", Arguments((receiver,)), at)
    found = _ATTRIBUTES.get(name)
    return found(run, receiver) if found else None


def _requires_grad(run: Run, receiver: Tensor) -> Value:
    known = emission.requires_grad(run, receiver)
    return Symbol("bool") if known is None else Constant(known)


def _gradient(run: Run, receiver: Tensor) -> Value:
    kept = receiver.state.get("grad")
    return kept if isinstance(kept, Value) else emission.data(receiver.shape, receiver.dtype)


def _dtype(run: Run, receiver: Tensor) -> Value:
    return External(f"torch.{receiver.dtype}") if receiver.dtype else Symbol("dtype")


_ATTRIBUTES: dict[str, Callable[[Run, Tensor], Value]] = {
    "shape": lambda run, receiver: shape_value(receiver),
    "ndim": lambda run, receiver: _number(receiver, "dim"),
    "dtype": _dtype,
    "device": lambda run, receiver: Symbol("device"),
    "layout": lambda run, receiver: Symbol("layout"),
    "grad": _gradient,
    "requires_grad": _requires_grad,
    "is_leaf": lambda run, receiver: Constant(True) if receiver.parameter else Symbol("bool"),
    "grad_fn": lambda run, receiver: Symbol("grad_fn"),
    "is_cuda": lambda run, receiver: Symbol("bool"),
    "is_nested": lambda run, receiver: Constant(False),
    "is_sparse": lambda run, receiver: Constant(False),
    "is_quantized": lambda run, receiver: Constant(False),
    "is_meta": lambda run, receiver: Constant(False),
    "itemsize": lambda run, receiver: Symbol("int"),
    "nbytes": lambda run, receiver: Symbol("int"),
    "names": lambda run, receiver: Symbol(),
    "_version": lambda run, receiver: Symbol("int"),
}


def set_attribute(run: Run, receiver: Tensor, name: str, value: Value, at: ast.AST) -> bool:
    """Assigns an attribute of a tensor; whether that is done."""
    if name == REQUIRES_GRAD:
        graph_breaks.note(run, "torch.Tensor.requires_grad", at)
        switch(run, receiver, run.truth(value), "set:requires_grad", at)
        return True
    if name == "data":
        replace_data(run, receiver, value, at)
        return True
    return False
