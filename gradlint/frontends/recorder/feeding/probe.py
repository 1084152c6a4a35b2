"""A stand-in for an input of unknown shape: it passes through reshapes and stops at the op that tells what it must be.

The way from the input to that op is kept, so that the shape that the op wants can be carried back to the input.
"""

from __future__ import annotations

import contextlib
import contextvars
import dis
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from gradlint.frontends.recorder.feeding.reshapes import BATCH, Back, Shape, inverse, kept_axis, unindexed
from gradlint.frontends.recorder.feeding.scopes import words

_DEVICE: contextvars.ContextVar[torch.device] = contextvars.ContextVar("probe_device", default=torch.device("cpu"))  # noqa: B039


@contextlib.contextmanager
def probe_device(device: torch.device) -> Iterator[None]:
    """Probes say inside the block that they are on `device`."""
    token = _DEVICE.set(device)
    try:
        yield
    finally:
        _DEVICE.reset(token)


class Demand(BaseException):
    """What the model did with an unknown input; no Exception, so that the model's own `except` does not catch it."""

    def __init__(self, path: tuple[Any, ...], kind: str, detail: Any = None, probe: Probe | None = None) -> None:
        super().__init__(path, kind)
        self.path = path
        self.kind = kind
        self.detail = detail
        self.probe = probe


@dataclass(frozen=True)
class Call:
    """A torch function that met a probe."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Probe(torch.Tensor):
    """An empty tensor that answers every torch function itself."""

    path: tuple[Any, ...]
    backs: tuple[Back, ...]

    @staticmethod
    def at(path: tuple[Any, ...], backs: tuple[Back, ...] = ()) -> Probe:
        """The probe of the input at `path`, `backs` being the inverses of the reshapes so far."""
        with torch._C.DisableTorchFunctionSubclass():
            made = torch.Tensor._make_subclass(Probe, torch.empty(0, device="cpu"))
        made.__dict__["path"] = path
        made.__dict__["backs"] = backs
        return made

    def then(self, back: Back) -> Probe:
        """The probe after one more op, whose inverse on shapes is `back`."""
        return Probe.at(self.__dict__["path"], (*self.__dict__["backs"], back))

    def origins(self, shape: Shape) -> list[Shape]:
        """The shapes of the input that lead to `shape` here, likeliest first."""
        shapes = [shape]
        for back in reversed(self.__dict__["backs"]):
            shapes = [origin for one in shapes for origin in back(one)]
        return shapes

    def demand(self, kind: str, detail: Any = None) -> Demand:
        """The exception that ends the trial."""
        return Demand(self.__dict__["path"], kind, detail, self)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return answer(func, args, kwargs or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise self.demand("attribute", name)

    def __iter__(self) -> Any:
        frame = sys._getframe(1)
        raise self.demand("iterate", (unpacked(frame), unpacked_names(frame)))

    def __len__(self) -> int:
        return BATCH

    def __bool__(self) -> bool:
        raise self.demand("scalar", bool)

    def __index__(self) -> int:
        raise self.demand("scalar", int)

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise self.demand("call")

    def __deepcopy__(self, _memo: Any) -> Probe:
        return self

    def __format__(self, _spec: str) -> str:
        return "probe"

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return "probe"

    def items(self) -> Any:
        """What only a mapping has."""
        raise self.demand("key", None)

    keys = values_of = items


class ProbeShape:
    """The shape of a probe: the batch is known, and how many sizes the code unpacks."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            return BATCH
        raise self._probe.demand("axis", index)

    def __iter__(self) -> Iterator[int]:
        raise self._probe.demand("rank", unpacked(sys._getframe(1)))

    def __len__(self) -> int:
        raise self._probe.demand("rank", None)

    def __eq__(self, other: object) -> bool:
        raise self._probe.demand("like", tuple(other) if isinstance(other, (tuple, list)) else None)

    __hash__ = None  # type: ignore[assignment]


class Place(int):
    """The position of an item that the code unpacks to the variable `name`."""

    name: str

    def __new__(cls, position: int, name: str) -> Place:
        made = super().__new__(cls, position)
        made.name = name
        return made


def unpacked(frame: Any) -> int | None:
    """How many names the instruction that runs in `frame` unpacks to, None when it is no unpacking."""
    following = _from_here(frame)
    return _count(following[0]) if following else None


def unpacked_names(frame: Any) -> tuple[str, ...]:
    """The variables that the unpacking which runs in `frame` stores to; empty ones where it unpacks further."""
    following = iter(_from_here(frame))
    count = _count(next(following, None))
    return tuple(_stored(following) for _ in range(count or 0))


def _stored(following: Iterator[dis.Instruction]) -> str:
    """The variable that the next instructions store to, past the whole of a nested unpacking."""
    instruction = next(following, None)
    nested = _count(instruction)
    if nested is not None:
        for _ in range(nested):
            _stored(following)
        return ""
    stores = instruction is not None and instruction.opname.startswith("STORE") and instruction.argval is not None
    return str(instruction.argval) if instruction is not None and stores else ""


def _from_here(frame: Any) -> list[dis.Instruction]:
    """The instructions of a frame from the one that runs."""
    return [one for one in dis.get_instructions(frame.f_code) if one.offset >= frame.f_lasti]


def _count(instruction: dis.Instruction | None) -> int | None:
    if instruction is None:
        return None
    if instruction.opname.startswith("UNPACK_SEQUENCE") and instruction.arg is not None:
        return instruction.arg
    if instruction.opname == "UNPACK_EX" and instruction.arg is not None:
        return (instruction.arg & 0xFF) + (instruction.arg >> 8) + 1
    return None


_SAME = words(
    """
    float double half bfloat16 to contiguous clone detach type cuda cpu relu relu_ gelu silu elu leaky_relu tanh
    sigmoid exp log log1p log2 log10 sqrt abs neg sin cos dropout feature_dropout alpha_dropout softmax
    log_softmax clamp clamp_min clamp_max clip nan_to_num type_as requires_grad_ square rsqrt sign erf softplus
    normalize cumsum flip roll pow bitwise_not logical_not __invert__ bool isnan isfinite expm1 sinh hardtanh mish
    selu tanh_ sigmoid_ round floor ceil detach_ masked_fill __rpow__ reciprocal __rtruediv__ __rsub__ prelu
    """
)
_BINARY = words(
    """
    add sub mul div true_divide __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__
    __pow__ eq ne lt gt le ge __eq__ __ne__ __lt__ __gt__ __le__ __ge__ rsub multiply subtract add_ sub_ mul_ div_
    floor_divide remainder __floordiv__ __mod__ fmod maximum minimum where
    """
)
_WHOLE = frozenset({"long", "int", "short"})
_FACTS = {
    **dict.fromkeys(
        ("is_cuda", "requires_grad", "is_sparse", "is_meta", "is_mkldnn", "is_quantized", "is_nested"), False
    ),
    "grad": None,
    "grad_fn": None,
    "is_leaf": True,
}
_QUESTIONS = {
    "is_floating_point": True,
    "is_complex": False,
    "get_device": -1,
    "is_nested": False,
    "is_mkldnn": False,
    "is_quantized": False,
}


def answer(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a torch function with a probe among its arguments.

    Raises:
        Demand: when the function tells what the probe must be, or nothing is known of it.
    """
    name = func.__name__
    if name in ("__get__", "__set__"):
        return _attribute(func, args)
    probe = next(one for one in flat((args, kwargs)) if isinstance(one, Probe))
    if name == "size" and (len(args) > 1 or "dim" in kwargs):
        return ProbeShape(probe)[args[1] if len(args) > 1 else kwargs["dim"]]
    if name == "size":
        return ProbeShape(probe)
    if name in ("__len__",):
        return BATCH
    if name in ("dim", "ndimension"):
        raise probe.demand("rank", None)
    if name in _QUESTIONS:
        return _QUESTIONS[name]
    others = [one for one in flat((args, kwargs)) if isinstance(one, torch.Tensor) and one is not probe]
    if (name in _SAME and args[0] is probe) or (
        name in _BINARY and all(one.dim() == 0 for one in others if not isinstance(one, Probe))
    ):
        return probe.then(lambda shape: [shape])
    if name in ("cat", "concat", "concatenate") and all(isinstance(one, Probe) for one in others):
        return _joined(probe, args, kwargs)
    derived = _reshaped(name, probe, args, kwargs) if args and args[0] is probe else None
    if derived is not None:
        return derived
    raise probe.demand("function", Call(name, args, kwargs))


def _joined(probe: Probe, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Probe:
    """The first of several unknown inputs that are joined: it has its share of the axis; repair finds the others."""
    count = len(args[0] if args else kwargs["tensors"])
    axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))

    def back(shape: Shape) -> list[Shape]:
        if not -len(shape) <= axis < len(shape) or shape[axis] < count:
            return []
        place = axis % len(shape)
        return [(*shape[:place], -(-shape[place] // count), *shape[place + 1 :])]

    return probe.then(back)


def flat(value: Any) -> Iterator[Any]:
    """The leaves of nested containers."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from flat(item)
    else:
        yield value


def _attribute(func: Any, args: tuple[Any, ...]) -> Any:
    name = getattr(getattr(func, "__self__", None), "__name__", "")
    probe = args[0]
    if name == "shape":
        return ProbeShape(probe)
    if name == "ndim":
        raise probe.demand("rank", None)
    if name == "dtype":
        return torch.float32
    if name == "device":
        return _DEVICE.get()
    if name in _FACTS:
        return _FACTS[name]
    if name in ("T", "mT"):
        return probe.then(lambda shape: [(*shape[:-2], shape[-1], shape[-2])] if len(shape) > 1 else [])
    if name == "data":
        return probe.then(lambda shape: [shape])
    raise probe.demand("attribute", name)


def _reshaped(name: str, probe: Probe, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Probe | None:
    if name == "__getitem__":
        return _indexed(probe, args[1])
    if name in _WHOLE:
        return probe.then(lambda shape: [shape])
    if name in ("expand_as", "index_select"):
        return probe.then(lambda shape: [shape])
    if kwargs.get("keepdim"):
        axis = kwargs.get("dim", kwargs.get("axis", args[-1] if len(args) > 1 else None))
        return probe.then(kept_axis(axis)) if isinstance(axis, int) else None
    numbers = [one for one in flat((args[1:], kwargs)) if isinstance(one, (int, ProbeShape))]
    back = inverse(name, numbers)
    return probe.then(back) if back else None


def _indexed(probe: Probe, index: Any) -> Probe:
    index = index if isinstance(index, tuple) else (index,)
    if any(isinstance(one, str) for one in index):
        raise probe.demand("key", index[0])
    if any(isinstance(one, torch.Tensor) for one in index):
        raise probe.demand("function", Call("__getitem__", (probe, index), {}))
    if index == (0,) or index == (1,) or index == (-1,):
        raise probe.demand("item", index[0])
    return probe.then(lambda shape: unindexed(shape, index))
