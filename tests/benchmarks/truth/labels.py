"""Labelled cases as text: drawing them anew means running thousands of programs."""

from __future__ import annotations

from pydantic import TypeAdapter

from .cases import Case

Asked = tuple[int, int, str | None, str | None]
"""How many cases were drawn, with which seed, of which ways and models."""

_KEPT: TypeAdapter[tuple[Asked, list[Case]]] = TypeAdapter(tuple[Asked, list[Case]])


def written(drawn: list[Case], asked: Asked) -> str:
    """Cases with the arguments that drew them, as JSON."""
    return _KEPT.dump_json((asked, drawn)).decode()


def read(text: str, asked: Asked) -> list[Case] | None:
    """The cases in a text, None when other arguments drew them."""
    drawn_by, drawn = _KEPT.validate_json(text)
    return drawn if drawn_by == asked else None
