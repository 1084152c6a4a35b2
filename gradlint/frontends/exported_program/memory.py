"""Which values share memory: a write in place changes the value that was written, its base and all of its views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gradlint import ops

VIEWS = frozenset(
    "view reshape select slice narrow squeeze unsqueeze transpose permute expand flatten unflatten diagonal unfold "
    "split split_with_sizes chunk unbind t alias as_strided view_as detach movedim swapaxes adjoint real imag".split()
)
"""aten ops whose result shares the memory of their first argument, or may do so."""

DETACHING = frozenset({"detach"})
"""Of these, those whose result has no history."""


def is_write(base: str) -> bool:
    """Whether an aten op changes its first argument: `add_`, not `__and__`."""
    return base.endswith("_") and not base.endswith("__")


def is_view(base: str) -> bool:
    """Whether the result of an op shares memory with its first argument."""
    return base in VIEWS


def overwrites(base: str) -> bool:
    """Whether a write leaves nothing of what was there."""
    known = ops.lookup("torch", base)
    return known is not None and known.name in ("copy", "fill", "zero")


@dataclass(slots=True, eq=False)
class Memory:
    """The names of values that share memory, each group under the name of its first value; `cut` have no history."""

    group: dict[str, str] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)

    def share(self, base: str, view: str, detached: bool) -> None:
        """Notes that one value is a view of another one."""
        root = self.group.setdefault(base, base)
        self.members.setdefault(root, [root]).append(view)
        self.group[view] = root
        if detached or base in self.cut:
            self.cut.add(view)

    def sharing(self, name: str) -> Iterator[str]:
        """The other values in the memory of a value."""
        root = self.group.get(name)
        if root is not None:
            yield from (other for other in self.members[root] if other != name)

    def severed(self, one: str, other: str) -> bool:
        """Whether a write to one value brings another one its content without its history."""
        return one in self.cut or other in self.cut
