"""Changes of the lists among the inputs: more items, where the code takes more than there are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from gradlint.frontends.recorder.feeding.recipes import GroupRecipe, Path, ProbeRecipe, Recipe

MAX_ITEMS = 8
_SHORT = re.compile(r"(?:list|tuple) index out of range")
_COUNTED = re.compile(r"values to unpack \(expected (?:at least )?(\d+)")
_CHANNELS = re.compile(r"to have (\d+) channels, but got (\d+)")


def lengthened(plan: GroupRecipe, text: str) -> Iterator[tuple[Path, Recipe]]:
    """The lists and tuples of the plan with as many items as an error asks for; new ones are unknown."""
    for path, group in groups(plan):
        have = len(group.items)
        if _SHORT.search(text) and have < MAX_ITEMS:
            yield from ((path, _of_length(group, size)) for size in (have + 1, have + 2, have + 3))
        if (found := _COUNTED.search(text)) and have < int(found[1]) <= MAX_ITEMS:
            yield path, _of_length(group, int(found[1]))
        if found := _CHANNELS.search(text):
            times, rest = divmod(int(found[1]), int(found[2]))
            if not rest and times > 1 and have * times <= MAX_ITEMS:
                yield path, _of_length(group, have * times)
            parts, left = divmod(int(found[2]), int(found[1]))
            if not left and parts == have > 1:
                yield path, _of_length(group, 1)


def groups(plan: Recipe, path: Path = ()) -> Iterator[tuple[Path, GroupRecipe]]:
    """The lists and tuples of a plan, with their paths."""
    if isinstance(plan, GroupRecipe):
        if plan.kind in ("list", "tuple"):
            yield path, plan
        for key, item in plan.items:
            yield from groups(item, (*path, key))


def _of_length(group: GroupRecipe, size: int) -> GroupRecipe:
    items = [item for _, item in group.items][:size]
    alike = items[-1] if items else ProbeRecipe()
    items += [alike] * (size - len(items))
    return dataclasses.replace(group, items=tuple(enumerate(items)))
