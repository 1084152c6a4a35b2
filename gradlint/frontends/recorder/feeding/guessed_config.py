"""A configuration object whose fields are guessed when a model reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gradlint.frontends.recorder.feeding.names import by_name, integer, lowered
from gradlint.frontends.recorder.feeding.settings import Settings, lookup

_GROUP = re.compile(
    r"(model|encoder|decoder|backbone|data|dataset|train(ing)?|network|net|generator|discriminator|trainer|arch\w*)"
)


class Answer(int):
    """A size that may be asked for by a call as well: `vocabulary.size()`."""

    def __call__(self, *_args: Any, **_options: Any) -> int:
        return int(self)


class GuessedConfig:
    """Answers every field with a value guessed from its name and from what the file does with it.

    Works as a namespace and as a mapping. `fields` holds what was asked for so far; `settings` are asked before names.
    """

    def __init__(
        self, uses: Mapping[str, frozenset[str]] | None = None, settings: list[Settings] | None = None, /, **known: Any
    ) -> None:
        self.__dict__["fields"] = dict(known)
        self.__dict__["uses"] = uses or {}
        self.__dict__["settings"] = settings or []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._answer(name)

    def __getitem__(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise KeyError(name)
        return self._answer(name)

    def _answer(self, name: str) -> Any:
        fields: dict[str, Any] = self.__dict__["fields"]
        if name not in fields:
            try:
                fields[name] = self._grouped(lookup(self.__dict__["settings"], name))
            except KeyError:
                fields[name] = self._guess(name)
        return fields[name]

    def _grouped(self, value: Any) -> Any:
        """A group of settings answers what it does not hold itself."""
        return GuessedConfig(self.__dict__["uses"], [value]) if isinstance(value, dict) else value

    def _guess(self, name: str) -> Any:
        uses = self.__dict__["uses"].get(name, frozenset())
        if "optional" in uses and uses & {"tensor", "array"}:
            return None
        if "called" in uses:
            return Answer(integer(lowered(name)))
        guess = None if _GROUP.fullmatch(name.lower()) and "number" not in uses else by_name(name, uses)
        return GuessedConfig(self.__dict__["uses"], self.__dict__["settings"]) if guess is None else guess

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["fields"][name] = value

    __setitem__ = __setattr__

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__["fields"]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.__dict__["fields"]))

    def __len__(self) -> int:
        return len(self.__dict__["fields"])

    def __repr__(self) -> str:
        return f"GuessedConfig({self.__dict__['fields']})"

    def get(self, name: str, default: Any = None) -> Any:
        """The field, or the caller's default where it has one."""
        return self.__dict__["fields"].get(name, self._answer(name) if default is None else default)

    def keys(self) -> list[str]:
        """The fields asked for so far."""
        return list(self.__dict__["fields"])

    def items(self) -> list[tuple[str, Any]]:
        """The fields asked for so far, with their values."""
        return list(self.__dict__["fields"].items())

    def fresh(self, **changed: Any) -> GuessedConfig:
        """A configuration without memory but for the fields of `changed`."""
        return GuessedConfig(self.__dict__["uses"], self.__dict__["settings"], **changed)
