"""With what a model was called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model, and its arguments."""

    module: nn.Module
    args: tuple[Any, ...]
    options: dict[str, Any]
