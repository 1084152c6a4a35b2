"""What a running slice finds under its reserved name: bounded loops, silent progress bars, survival of what fails."""

from __future__ import annotations

import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, ClassVar

from gradlint.frontends.recorder.replaying.batches import missing_like
from gradlint.frontends.recorder.replaying.instrument import Loop
from gradlint.frontends.recorder.replaying.placeholder import ITEMS, WHOLE_BATCH, Placeholder
from gradlint.frontends.recorder.replaying.sites import Place

ENOUGH_HITS = 2
"""The second pass shows what the first one left behind: a freed graph, an overwritten value, gradients not cleared."""

HITS_UNTIL_STEP = 4
"""With gradient accumulation the optimizer may step only after this many passes; longer ones end without."""

MOST_BACKWARDS = 40

ELSEWHERE = frozenset(
    {"DatasetNotFoundError", "DatasetGenerationError", "LookupError", "UsageError", "HTTPError", "URLError"}
)
SURROUNDINGS = re.compile(
    r"not found|download|no such file|CUDA|NVIDIA|NCCL|distributed|Placeholder|num_samples=0|offline", re.I
)


class Stop(BaseException):
    """Ends a replay that has seen enough; no `except Exception` of the user's catches it."""


class Tally:
    """How often each backward site was hit, how many steps were made and how many optimizers built."""

    def __init__(self, path: str, sites: frozenset[Place]) -> None:
        self.hits: Counter[Place] = Counter()
        self.backwards = 0
        self.steps = 0
        self.built = 0
        self._path, self._sites = path, sites

    @property
    def known(self) -> bool:
        """Whether the file itself has a backward call."""
        return bool(self._sites)

    def add(self, site: Place) -> None:
        """One more place at which backward is called, from outside of the file."""
        self._sites |= {site}

    def hit(self, frame: FrameType) -> None:
        """Counts a backward call made in or below a frame of the user's file."""
        self.backwards += 1
        self.hits.update({place for one in _outward(frame) if (place := self._site(one))})

    def _site(self, frame: FrameType) -> Place | None:
        if frame.f_code.co_filename != self._path:
            return None
        around = [site for site in self._sites if site[0] <= frame.f_lineno <= site[2]]
        return max(around, default=None)


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


class Progress:
    """Stands in for a progress bar: iterates over what it was given, and swallows everything else."""

    def __init__(self, iterable: Iterable[Any] = ()) -> None:
        self._iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterable)

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@dataclass
class Runtime:
    """The replay's side of a running slice. `substitute` is called once, when the first data is missing."""

    tally: Tally
    loops: tuple[Loop, ...]
    substitute: Callable[[], None] = lambda: None
    lost: list[BaseException] = field(default_factory=list)
    starts: dict[int, tuple[Counter[Place], int]] = field(default_factory=dict)

    Ordinary: ClassVar[type[Exception]] = Exception

    def each(self, iterable: Iterable[Any], number: int) -> Iterator[Any]:
        """The items of a loop's iterable until its backward sites were hit often enough.

        A loop in which each item builds an optimizer of its own trains one model after the other: it goes on.
        """
        start, built = self._mark(), self.tally.built
        items = self._items(iterable)
        while self._wanted(self.loops[number], start) or self.tally.built > built:
            built = self.tally.built
            try:
                item = next(items)
            except StopIteration:
                return
            yield item

    def _items(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """The items; placeholders where the data cannot be read or there is none at all."""
        count, broken = 0, False
        try:
            for item in iterable:
                yield item
                count += 1
        except Exception as error:
            self._lose(error)
            broken = True
        if broken or (not count and not isinstance(iterable, range)):
            yield from self._made_up(iterable, count)

    def _made_up(self, iterable: Iterable[Any], start: int) -> Iterator[Any]:
        self.substitute()
        cause = self.lost[0] if self.lost else None
        for number in range(start, ITEMS):
            item = Placeholder("batch", cause)
            yield (number, item) if isinstance(iterable, enumerate) else item

    def begin(self, number: int) -> None:
        """A `while` loop starts."""
        self.starts[number] = self._mark()

    def going(self, number: int) -> bool:
        """Whether a `while` loop shall go on."""
        return self._wanted(self.loops[number], self.starts[number])

    def _mark(self) -> tuple[Counter[Place], int]:
        return self.tally.hits.copy(), self.tally.steps

    def _wanted(self, loop: Loop, start: tuple[Counter[Place], int]) -> bool:
        hits, steps = start
        fewest = min((self.tally.hits[site] - hits[site] for site in loop.sites), default=0)
        waiting = loop.stepping and self.tally.steps == steps and fewest < HITS_UNTIL_STEP
        return fewest < ENOUGH_HITS or waiting

    def progress(self, iterable: Iterable[Any] = ()) -> Progress:
        """A silent progress bar."""
        return Progress(iterable)

    def count(self, *bounds: int) -> Progress:
        """A silent progress bar over a range."""
        return Progress(range(*bounds))

    def tolerate(self, step: bool) -> None:
        """A statement failed that the backward calls can probably do without; in a training step only data may fail."""
        error = _current()
        if step and not of_the_surroundings(error):
            raise error
        self._lose(error)

    def missing(self, shape: Any, step: bool) -> Any:
        """Stands in for what an assignment could not compute: placeholders in the shape of its targets.

        In a training step the exception is raised again, unless data, a library or a device was missing.
        """
        error = _current()
        if step and not of_the_surroundings(error):
            raise error
        self._lose(error)
        self.substitute()
        return missing_like(shape, error)

    def _lose(self, error: BaseException) -> None:
        self.lost.append(error)

    def mapping(self, made: dict[Any, Any]) -> Any:
        """A dictionary made from the items of another; that of a missing batch is the missing batch again."""
        return made.get(WHOLE_BATCH, made)

    def unreported(self) -> float:
        """Stands in for a returned value that only reports."""
        return 0.0


def of_the_surroundings(error: BaseException) -> bool:
    """Whether an exception tells of missing data, libraries, devices or settings rather than of the code itself."""
    if isinstance(error, (OSError, ImportError, EOFError)) or type(error).__name__ in ELSEWHERE:
        return True
    if isinstance(error, KeyError):
        return traceback.extract_tb(error.__traceback__)[-1].filename.endswith("os.py")
    return bool(SURROUNDINGS.search(str(error)))


def _current() -> BaseException:
    error = sys.exc_info()[1]
    assert error is not None, "called outside of an exception handler"
    return error
