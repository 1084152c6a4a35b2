"""The flags that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Targets = Annotated[list[str] | None, typer.Argument(metavar="TARGET...", help="Files, folders, model.py:Net, - …")]
Words = Annotated[list[str] | None, typer.Option(metavar="RULE", help="A code, name or prefix; repeat or use commas.")]
Config = Annotated[list[str] | None, typer.Option(metavar="FILE|KEY=VALUE", help="A settings file or one setting.")]
Inputs = Annotated[list[str] | None, typer.Option("--input", metavar="1x3x224x224", help="An input of the model.")]
Seconds = Annotated[str | None, typer.Option(metavar="SECONDS", help="Time for one model's worker.")]
Mebibytes = Annotated[str | None, typer.Option(metavar="MIB", help="Memory for one model's worker.")]
Quiet = Annotated[bool | None, typer.Option("--quiet", "-q", help="Findings only.")]
Verbose = Annotated[bool | None, typer.Option("--verbose", "-v", help="Say every step, and why an attempt failed.")]
Isolated = Annotated[bool, typer.Option("--isolated", help="Read no settings file.")]
Baseline = Annotated[str | None, typer.Option(metavar="FILE", help="Known findings, which count no more.")]
Color = Annotated[str | None, typer.Option(metavar="auto|always|never", help="Colour on the terminal.")]
