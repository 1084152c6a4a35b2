"""Plays the framework's part for files that leave the training loop to Lightning or to a Trainer."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import itertools
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.guessed_config import GuessedConfig
from gradlint.frontends.recorder.replaying.placeholder import Placeholder
from gradlint.frontends.recorder.replaying.runtime import ENOUGH_HITS, Progress, Runtime
from gradlint.frontends.recorder.replaying.supplies import LEARNING_RATE, Supplier, filename
from gradlint.frontends.recorder.replaying.swapping import compiled

STEP = "loss = step()\nif loss is not None:\n    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()\n"
SILENCED = ("log", "log_dict", "print", "toggle_optimizer", "untoggle_optimizer", "save_hyperparameters")


def framework_step(entry: str, supplier: Supplier, runtime: Runtime, body: ast.AST | None) -> bool:
    """Runs an entry that a framework would call; False when it is none."""
    owner, _, method = entry.rpartition(".")
    cls = getattr(supplier.module, owner, None)
    run = _RUNS.get(method)
    if (
        cls is None
        or run is None
        or body is None
        or (method == "training_step" and not hasattr(cls, "configure_optimizers"))
    ):
        return False
    runtime.substitute()
    end = _end(body)
    if not runtime.tally.known:
        runtime.tally.add((end.lineno, end.col_offset, end.lineno))
    code = compiled(_placed(ast.parse(STEP), end), filename(supplier.module))
    run(cls, supplier, code)
    return True


def _placed(tree: ast.Module, at: ast.stmt) -> ast.Module:
    """Statements as if they stood at `at`: frames of the optimization point there."""
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            ast.copy_location(node, at)
    return tree


def _end(body: ast.AST) -> ast.stmt:
    """The last statement that gives the loss back, else the definition."""
    returns = [node for node in ast.walk(body) if isinstance(node, ast.Return)]
    return max(returns, key=lambda node: node.lineno) if returns else body  # type: ignore[return-value]


def _lightning(cls: type, supplier: Supplier, code: types.CodeType) -> None:
    model: Any = supplier.model(cls.__name__, cls)
    optimizers = list(_optimizers(model.configure_optimizers()))
    vars(model).update(_services(optimizers))
    takes = inspect.signature(model.training_step).parameters
    indices = range(len(optimizers)) if "optimizer_idx" in takes else range(min(len(optimizers), 1))
    model.train()
    for number, batch in enumerate(itertools.islice(_batches(model, supplier), ENOUGH_HITS)):
        for index in indices:
            given = {"batch": batch, "batch_idx": number, "optimizer_idx": index}
            arguments = [value for name, value in zip(given, given.values(), strict=True) if name != "optimizer_idx"]
            extra = {"optimizer_idx": index} if "optimizer_idx" in takes else {}
            exec(
                code,
                {"step": _stepping(model, arguments[: len(takes) - len(extra)], extra), "optimizer": optimizers[index]},
            )


def _stepping(model: Any, arguments: list[Any], extra: dict[str, Any]) -> Callable[[], Any]:
    def step() -> Any:
        result = model.training_step(*arguments, **extra)
        loss = result.get("loss") if isinstance(result, dict) else result
        return loss if getattr(model, "automatic_optimization", True) else None

    return step


def _optimizers(made: Any) -> Iterator[torch.optim.Optimizer]:
    """The optimizers in whatever `configure_optimizers` may return."""
    if isinstance(made, torch.optim.Optimizer):
        yield made
    elif isinstance(made, dict):
        yield from _optimizers(made.get("optimizer"))
    elif isinstance(made, (list, tuple)):
        for one in made:
            yield from _optimizers(one)


def _services(optimizers: list[torch.optim.Optimizer]) -> dict[str, Any]:
    """What a running Lightning trainer gives its module."""
    return dict.fromkeys(SILENCED, _nothing) | {
        "optimizers": lambda *_, **__: optimizers if len(optimizers) > 1 else optimizers[0],
        "lr_schedulers": lambda *_, **__: Progress(),
        "manual_backward": lambda loss, *args, **kwargs: loss.backward(*args, **kwargs),
        "clip_gradients": _nothing,
        "_trainer": GuessedConfig(),
    }


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _batches(model: Any, supplier: Supplier) -> Iterator[Any]:
    """Batches of the file's own loader or data module; placeholders where there is none or it fails."""
    for source in _sources(model, supplier):
        with contextlib.suppress(Exception):
            first = list(itertools.islice(source(), ENOUGH_HITS))
            if first:
                yield from first
                return
    yield from (Placeholder("batch") for _ in range(ENOUGH_HITS))


def _sources(model: Any, supplier: Supplier) -> Iterator[Callable[[], Any]]:
    if callable(getattr(model, "train_dataloader", None)):
        yield model.train_dataloader
    for value in list(vars(supplier.module).values()):
        own = inspect.isclass(value) and value.__module__ == supplier.module.__name__
        if own and hasattr(value, "train_dataloader") and not issubclass(value, nn.Module):
            yield functools.partial(_loaded, value, supplier)


def _loaded(cls: type, supplier: Supplier) -> Any:
    data: Any = supplier.instance(cls)
    if hasattr(data, "setup"):
        data.setup("fit")
    return data.train_dataloader()


def _trainer(cls: type, supplier: Supplier, code: types.CodeType) -> None:
    model = supplier.model("model")
    trainer: Any = object.__new__(cls)
    vars(trainer).update(model=model, args=GuessedConfig(), label_smoother=None, optimizer=None, state=GuessedConfig())
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=LEARNING_RATE)
    model.train()
    for _ in range(ENOUGH_HITS):
        result = _first(trainer.compute_loss, model)
        exec(code, {"step": result, "optimizer": optimizer})


def _first(compute: Callable[..., Any], model: nn.Module) -> Callable[[], Any]:
    def step() -> Any:
        result = compute(model, Placeholder("inputs"))
        return result[0] if isinstance(result, tuple) else result

    return step


_RUNS: dict[str, Callable[[type, Supplier, types.CodeType], None]] = {
    "training_step": _lightning,
    "compute_loss": _trainer,
}
