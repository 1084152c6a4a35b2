"""Grad modes: as contexts, as decorators and as plain calls."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gradlint.frontends.static.values import Arguments, Constant, External, Foreign, Function, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run, Switch

OFF = frozenset({"torch.no_grad", "torch.inference_mode"})
SETTERS = frozenset({"torch.set_grad_enabled", "torch._C._set_grad_enabled", "torch._C.set_grad_enabled"})
NAMES = OFF | SETTERS | {"torch.enable_grad"}

MODE, PREVIOUS = "mode", " previous"


def make(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    """A grad mode that was called; `set_grad_enabled` switches at once."""
    context = Foreign(name, {MODE: _argument(args)}, made=run.frame(at))
    if name in SETTERS:
        context.state[PREVIOUS] = _Kept(run.grad[-1])
        switch(run, enabled(run, context), at)
    return context


@dataclass(slots=True, eq=False)
class _Kept(Value):
    """The mode before a setter, to which its context goes back."""

    switch: Switch


def restore(run: Run, context: Foreign) -> None:
    """Takes back what the making of a setter switched, which then stands for a context or a decorator."""
    kept = context.state.get(PREVIOUS)
    if isinstance(kept, _Kept):
        run.grad[-1] = kept.switch


def _argument(args: Arguments) -> Value:
    return args.positional[0] if args.positional else next(iter(args.named.values()), Constant(True))


def enabled(run: Run, context: Value) -> bool | None:
    """What a context does: True and False switch the gradient on and off; None changes nothing that is known."""
    name = getattr(context, "name", "")
    wanted = run.truth(context.arguments.get(MODE, Constant(True))) if isinstance(context, Foreign) else True
    if name == "torch.enable_grad":
        return True
    if name in SETTERS:
        return wanted
    if name == "torch.inference_mode":
        return False if wanted else None
    return False if name in OFF else None


def switch(run: Run, wanted: bool | None, at: ast.AST) -> None:
    """Switches the grad mode from here on; a mode that is not known counts as on."""
    from gradlint.frontends.static.run import Switch

    on = wanted is not False
    place = None if on else run.grad_place or run.frame(at)
    run.grad[-1] = Switch(on, place)


def enter(run: Run, context: Value, at: ast.AST) -> Value | None:
    """Enters a grad mode; None for any other context."""
    from gradlint.frontends.static.run import Switch

    if not isinstance(context, (Foreign, External)) or context.name not in NAMES:
        return None
    wanted = enabled(run, context)
    if isinstance(context, Foreign):
        restore(run, context)
    on = run.grad_enabled if wanted is None and context.name not in SETTERS else wanted is not False
    run.grad.append(Switch(on, None if on else run.grad_place or run.frame(at)))
    return Constant(None)


def leave(run: Run, context: Value, at: ast.AST) -> None:
    """Leaves a grad mode."""
    if isinstance(context, (Foreign, External)) and context.name in NAMES and len(run.grad) > 1:
        run.grad.pop()


def wrap(run: Run, context: Foreign, args: Arguments) -> Value | None:
    """`torch.no_grad()(function)`: the function with the mode around it; None for any other object."""
    function = args.positional[0] if args.positional else None
    if context.name not in NAMES or not isinstance(function, Function):
        return None
    restore(run, context)
    return replace(function, decorators=(context, *function.decorators))
