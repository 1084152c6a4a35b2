"""gradlint reads a model's graph and says which parameters get no gradient, which expression is to blame, what to
do."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlint.engine import check, check_paths
    from gradlint.intent import intended

__version__ = "0.1.0"
__all__ = ["check", "check_paths", "intended"]

_HERE = pathlib.Path(__file__).resolve().parent
if not (_HERE / "rules").is_dir():
    # In a checkout the rules lie beside the package; in a wheel, inside it.
    __path__.append(str(_HERE.parent))


def __getattr__(name: str) -> Any:
    """Imports the heavy parts when they are asked for: `gradlint --version` pays for none of them."""
    if name in ("check", "check_paths"):
        from gradlint import engine

        return getattr(engine, name)
    if name == "intended":
        from gradlint.intent import intended

        return intended
    raise AttributeError(f"module 'gradlint' has no attribute {name!r}")
