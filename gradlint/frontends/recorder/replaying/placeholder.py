"""Stands for data that could not be had, and turns into a tensor where the file's own code shows what it must be.

A placeholder is born when a download, a file or a library is missing. Unpacking, indexing, moving and reshaping it give
more placeholders; the first layer, loss or tensor that it meets decides its shape and dtype, and from then on it is
that tensor.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType
from typing import Any

import torch

BATCH = 2
"""The batch size that an undecided placeholder reports; that of the inferred inputs."""

ITEMS = 8
"""How many items an undecided collection gives a loop: more than the replay ever asks for."""

UNKNOWN_SIZE = 8
WHOLE_BATCH = "__gradlint_batch__"
"""The one key of an undecided mapping: `model(**batch)` hands it to the model's call, which then feeds all of it."""

SAME = frozenset(
    [
        "to",
        "cuda",
        "cpu",
        "float",
        "half",
        "double",
        "bfloat16",
        "long",
        "int",
        "bool",
        "type",
        "type_as",
        "detach",
        "clone",
        "contiguous",
        "requires_grad_",
        "pin_memory",
        "data",
        "numpy",
        "numpy_",
        "share_memory_",
        "refine_names",
        "copy",
        "tensor",
        "cast",
    ]
)
"""Methods and attributes that give the same data again."""

SIZES = {"shape": None, "ndim": 2, "dtype": torch.float32, "device": torch.device("cpu"), "is_cuda": False}
COMPREHENSIONS = frozenset({"<listcomp>", "<genexpr>", "<setcomp>", "<dictcomp>", "<lambda>"})


class Placeholder:
    """Undecided data. `value` is None until something decides it."""

    def __init__(self, name: str = "", cause: BaseException | None = None) -> None:
        self.__dict__.update(name=name, cause=cause, value=None, parts={})

    def part(self, key: Any) -> Placeholder:
        """The item or attribute of this name, always the same one."""
        parts: dict[Any, Placeholder] = self.__dict__["parts"]
        if key not in parts:
            parts[key] = Placeholder(str(key), self.__dict__["cause"])
        return parts[key]

    def derived(self, *_: Any, **__: Any) -> Placeholder:
        """A result computed from this data: undecided too."""
        return Placeholder(self.__dict__["name"], self.__dict__["cause"])

    def decide(self, value: Any) -> Any:
        """Settles what this data is."""
        self.__dict__["value"] = value
        return value

    def __getattr__(self, name: str) -> Any:
        value = self.__dict__["value"]
        if value is not None:
            return getattr(value, name)
        if name.startswith("__"):
            raise AttributeError(name)
        if name in SIZES:
            return torch.Size((BATCH, UNKNOWN_SIZE)) if name == "shape" else SIZES[name]
        if name in METHODS:
            return METHODS[name].__get__(self)
        return self.derived if name in dir(torch.Tensor) and name not in SAME else self.part(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["parts"][name] = value

    def __call__(self, *_: Any, **__: Any) -> Placeholder:
        return self.part("()")

    def __getitem__(self, key: Any) -> Any:
        if self.__dict__["value"] is not None:
            return self.__dict__["value"][key]
        return self.part(key) if isinstance(key, (str, int)) else self.derived()

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.__dict__["value"] is not None:
            self.__dict__["value"][key] = value
        elif isinstance(key, (str, int)):
            self.__dict__["parts"][key] = value

    def __iter__(self) -> Iterator[Any]:
        if self.__dict__["value"] is not None:
            return iter(self.__dict__["value"])
        return (self.part(index) for index in range(_expected(sys._getframe(1)) or ITEMS))

    def __next__(self) -> Placeholder:
        return self.part("next")

    def __len__(self) -> int:
        return BATCH if self.__dict__["value"] is None else len(self.__dict__["value"])

    def __bool__(self) -> bool:
        return True if self.__dict__["value"] is None else bool(self.__dict__["value"])

    def __contains__(self, _: object) -> bool:
        return False

    def __int__(self) -> int:
        return UNKNOWN_SIZE if self.__dict__["value"] is None else int(self.__dict__["value"])

    __index__ = __int__

    def __float__(self) -> float:
        return 1.0 if self.__dict__["value"] is None else float(self.__dict__["value"])

    def __format__(self, _: str) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"<{self.__dict__['name']}>"

    __repr__ = __str__

    def __hash__(self) -> int:
        return id(self)

    def __enter__(self) -> Placeholder:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __array__(self, *_: Any, **__: Any) -> Any:
        return (
            self.__dict__["value"] if self.__dict__["value"] is not None else torch.rand(BATCH, UNKNOWN_SIZE)
        ).numpy()

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        from gradlint.frontends.recorder.replaying.batches import decided

        return decided(function, args, kwargs or {})


def _same(self: Placeholder, *_: Any, **__: Any) -> Placeholder:
    return self


def _size(_: Placeholder, axis: int | None = None) -> Any:
    return torch.Size((BATCH, UNKNOWN_SIZE)) if axis is None else BATCH if axis == 0 else UNKNOWN_SIZE


METHODS: dict[str, Callable[..., Any]] = dict.fromkeys(SAME, _same) | {
    "size": _size,
    "dim": lambda self: len(self.shape),
    "numel": lambda _: BATCH,
    "nelement": lambda _: BATCH,
    "pop": lambda self, key=0, *_: self.part(key),
    "get": lambda self, key, *_: self.part(key),
    "next": lambda self: self.part("next"),
    "keys": lambda _: [WHOLE_BATCH],
    "values": lambda self: [self],
    "items": lambda self: [(WHOLE_BATCH, self)],
    "item": lambda _: 1.0,
    "tolist": lambda self: [self],
    "split": lambda self, *_, **__: [self.derived() for _ in range(ITEMS)],
    "chunk": lambda self, count, *_, **__: [self.derived() for _ in range(count)],
    "backward": lambda *_, **__: None,
}


def _operator(name: str) -> Callable[..., Any]:
    def operate(self: Placeholder, *others: Any) -> Any:
        from gradlint.frontends.recorder.replaying.batches import decided

        function = getattr(torch.Tensor, name, None)
        return self.derived() if function is None else decided(function, (self, *others), {})

    return operate


for _name in [
    "add",
    "radd",
    "sub",
    "rsub",
    "mul",
    "rmul",
    "truediv",
    "rtruediv",
    "floordiv",
    "rfloordiv",
    "mod",
    "rmod",
    "pow",
    "rpow",
    "matmul",
    "rmatmul",
    "and",
    "rand",
    "or",
    "ror",
    "xor",
    "neg",
    "pos",
    "abs",
    "invert",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
]:
    setattr(Placeholder, f"__{_name}__", _operator(f"__{_name}__"))


def undecided(value: Any) -> bool:
    """Whether a value is a placeholder that nothing has settled yet."""
    return isinstance(value, Placeholder) and value.__dict__["value"] is None


def settled(value: Any) -> Any:
    """A value with the placeholders in it exchanged for what they turned out to be."""
    if isinstance(value, Placeholder):
        return value if value.__dict__["value"] is None else value.__dict__["value"]
    if type(value) in (list, tuple):
        return type(value)(settled(item) for item in value)
    if type(value) is dict:
        return {key: settled(item) for key, item in value.items()}
    return value


def placeholders(values: Iterable[Any]) -> Iterator[Placeholder]:
    """The placeholders in nested lists, tuples and dictionaries."""
    for value in values:
        if isinstance(value, Placeholder):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from placeholders(value)
        elif isinstance(value, dict):
            yield from placeholders(value.values())


def _expected(frame: FrameType) -> int | None:
    """How many items the code around an iteration unpacks: this data, or what a comprehension over it makes."""
    while frame.f_code.co_name in COMPREHENSIONS and frame.f_back is not None:
        frame = frame.f_back
    return _next_unpacking(frame.f_code, frame.f_lasti)


def _next_unpacking(code: CodeType, offset: int) -> int | None:
    for instruction in dis.get_instructions(code):
        if instruction.offset >= offset and instruction.opname == "UNPACK_SEQUENCE":
            return instruction.arg
    return None
