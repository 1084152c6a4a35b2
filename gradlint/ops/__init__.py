"""The facts of every op: one vocabulary for all frameworks, data in the TOML files of this folder."""

from gradlint.ops.facts import FRAMEWORKS, Escape, Flow, Kind, OpFacts
from gradlint.ops.table import build, facts, lookup, parse, table

__all__ = ["FRAMEWORKS", "Escape", "Flow", "Kind", "OpFacts", "build", "facts", "lookup", "parse", "table"]
