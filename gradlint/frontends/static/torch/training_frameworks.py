"""Training steps that a framework calls: Lightning's `training_step` and `configure_optimizers`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.torch.backward import backward
from gradlint.frontends.static.values import Arguments, Class, Constant, External, Instance, Mapping, Value
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

TRAINING_STEP = "training_step"
CONFIGURE = "configure_optimizers"
LIGHTNING = frozenset({"lightning", "pytorch_lightning"})
MANUAL = "automatic_optimization"


def is_lightning(cls: Class) -> bool:
    """Whether Lightning drives the training of a class."""
    return any(isinstance(base, External) and base.name.partition(".")[0] in LIGHTNING for base in cls.order)


def drive(run: Run, instance: Instance, name: str, step: Callable[[], Value], at: ast.AST) -> None:
    """Runs a method of a class that trains; of a Lightning module's `training_step` all that Lightning does around it.

    What that method returns is the loss: Lightning backpropagates it, unless the module does so by itself.
    """
    if name != TRAINING_STEP or not is_lightning(instance.cls):
        step()
        return
    configure = in_class(instance.cls, CONFIGURE)
    if configure is not None:
        run.call(bind(run, configure, instance, at), Arguments(), at)
    first = len(run.events)
    loss = step()
    by_hand = instance.attributes.get(MANUAL)
    if isinstance(by_hand, Constant) and by_hand.value is False:
        return
    if any(event.kind is EventKind.BACKWARD for event in run.events[first:]):
        return
    loss = loss.items.get("loss", loss) if isinstance(loss, Mapping) else loss
    if not isinstance(loss, Constant):
        backward(run, loss, Arguments(), at, by_framework=True)
