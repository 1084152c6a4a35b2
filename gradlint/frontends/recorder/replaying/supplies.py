"""What an entry needs and the file does not give: models, optimizers, losses, settings, and inputs for a model."""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import inspect
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as hooks

from gradlint.errors import GradlintError, TargetError
from gradlint.frontends.recorder.feeding.construct import construct
from gradlint.frontends.recorder.feeding.examples import Shown, shown
from gradlint.frontends.recorder.feeding.feed import feed
from gradlint.frontends.recorder.feeding.guessed_config import GuessedConfig
from gradlint.frontends.recorder.feeding.guesses import Context, values
from gradlint.frontends.recorder.feeding.roots import is_model_class, root_targets
from gradlint.frontends.recorder.replaying.batches import fed
from gradlint.frontends.recorder.replaying.placeholder import Placeholder, settled, undecided
from gradlint.frontends.recorder.replaying.runtime import Progress
from gradlint.frontends.recorder.replaying.watching import replaced

LEARNING_RATE = 1e-3
OPTIMIZER = re.compile(r"^opt|optim")
CONFIG = re.compile(
    r"^(args?|cfg|conf|config|configs|configuration|hparams|hps?|params|options?|opts?|flags|settings)$"
)
MODEL = re.compile(
    r"model|net|encoder|decoder|generator|discriminator|critic|policy|actor|agent|student|teacher|backbone|classifier|"
    r"^(G|D|vae|gan|autoencoder|unet|bert|gpt|transformer)$"
)
LOSS = re.compile(r"criteri|loss_?f|loss_func|objective|^loss$|_loss$|^loss_")
SILENT = re.compile(
    r"writer|logger|^log$|sched|callback|tracker|^tb$|wandb|^run$|meter|progress|bar$|metric|timer|saver"
)
EPOCH = re.compile(r"epoch|^(step|iteration|it|itr|iter|global_step|batch_idx)$|_steps$|num_iter|^n_iter")
DEVICE = re.compile(r"^(device|dev)$|_device$")
RANK = re.compile(r"^(gpu|rank|local_rank|gpu_id)$")
SCALAR_TYPES = (int, float, bool, str)
OPTIMIZING = frozenset({"zero_grad", "param_groups"})


def filename(module: types.ModuleType) -> str:
    """The path of the module's file."""
    return str(getattr(module, "__file__", None) or module.__name__)


@dataclass
class Supplier:
    """Makes what a file's entry asks for. Models are made once and handed to the optimizers made after them."""

    module: types.ModuleType
    tree: ast.Module
    models: list[nn.Module] = field(default_factory=list)

    @property
    def shown(self) -> Shown:
        """The static reading of the file."""
        return shown(self.tree, self.module)

    def infer(self, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs for a model; `TargetError` when none are found. Nothing of the search is recorded."""
        with unrecorded():
            found = feed(model, self.shown)
        return found.args, found.kwargs

    def instance(self, cls: type) -> Any:
        """An object of a class of the file, its constructor's parameters supplied."""
        constructor = inspect.getattr_static(cls, "__init__")
        return cls(**self.arguments(constructor)) if isinstance(constructor, types.FunctionType) else cls()

    def arguments(self, function: types.FunctionType) -> dict[str, Any]:
        """A value for every parameter of a function that has no default."""
        body = definition(self.tree, function)
        parameters = inspect.signature(function).parameters.values()
        needed = [
            one
            for one in parameters
            if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        order = sorted(needed, key=lambda one: not self._is_model(one, body))
        return {one.name: self.value(one, body) for one in order if one.name != "self"}

    def _is_model(self, parameter: inspect.Parameter, body: ast.AST | None) -> bool:
        if is_model_class(parameter.annotation):
            return True
        used = attributes(parameter.name, body)
        named = MODEL.search(parameter.name) is not None and not OPTIMIZER.search(parameter.name)
        return (named and not LOSS.search(parameter.name)) or bool(
            used & {"parameters", "state_dict", "named_parameters"}
        )

    def value(self, parameter: inspect.Parameter, body: ast.AST | None) -> Any:
        """The likeliest value for a parameter."""
        name, low, used = parameter.name, parameter.name.lower(), attributes(parameter.name, body)
        if used & OPTIMIZING or (OPTIMIZER.search(low) and not CONFIG.search(low)):
            return self._optimizer(name)
        if SILENT.search(low):
            return Progress()
        if self._is_model(parameter, body):
            return self.model(name, parameter.annotation)
        if "scaler" in low:
            return torch.amp.GradScaler("cpu", enabled=False)
        if LOSS.search(low):
            return guessed_loss
        return self._setting(parameter, used)

    def _setting(self, parameter: inspect.Parameter, used: set[str]) -> Any:
        low = parameter.name.lower()
        if DEVICE.search(low) or RANK.search(low):
            return torch.device("cpu") if DEVICE.search(low) else 0
        if parameter.annotation in SCALAR_TYPES or EPOCH.search(low):
            return 1 if EPOCH.search(low) else self._guess(parameter)
        if CONFIG.search(low) or (
            parameter.annotation is not parameter.empty and inspect.isclass(parameter.annotation)
        ):
            return self._configuration(parameter)
        return Placeholder(parameter.name) if used or not _numeric(low) else self._guess(parameter)

    def _guess(self, parameter: inspect.Parameter) -> Any:
        return values(parameter, frozenset(), Context())[0]

    def _configuration(self, parameter: inspect.Parameter) -> Any:
        for name, value in vars(self.module).items():
            if re.match(r"(parse|get|load|build)_?(args?|arguments|config|cfg|options?|hparams)$", name) and callable(
                value
            ):
                with contextlib.suppress(Exception, SystemExit):
                    return value()
        return self._guess(parameter) if parameter.annotation is not parameter.empty else GuessedConfig()

    def _optimizer(self, name: str) -> torch.optim.Optimizer:
        """An optimizer of the model that its name calls for (`optimizer_D`: the discriminator), else of all models."""
        suffix = name.rpartition("_")[2].lower()
        matching = [model for model in self.models if "_" in name and type(model).__name__.lower().startswith(suffix)]
        parameters = [one for model in (matching or self.models) for one in model.parameters() if one.requires_grad]
        return torch.optim.SGD(parameters or [nn.Parameter(torch.zeros(1))], lr=LEARNING_RATE)

    def model(self, name: str, annotation: Any = inspect.Parameter.empty) -> nn.Module:
        """An instance of the file's model class that the annotation or the name calls for; raises `TargetError`."""
        targets = root_targets(self.tree, self.module)
        made = {type(model).__name__ for model in self.models}
        if not targets:
            raise TargetError(f"the file shows no model for `{name}`")
        likeness = {one.name: difflib.SequenceMatcher(None, one.name.lower(), name.lower()).ratio() for one in targets}
        for target in sorted(targets, key=lambda t: (t.object is not annotation, t.name in made, -likeness[t.name])):
            with contextlib.suppress(GradlintError):
                self.models.append(construct(target, self.shown, self.module))
                return self.models[-1]
        raise TargetError(f"no model of the file can be built for `{name}`")


def _numeric(name: str) -> bool:
    return bool(
        re.search(
            r"size|dim|num|count|rate|^n_|^lr$|alpha|beta|gamma|lambda|weight|eps|seed|^k$|^n$|_len$|length", name
        )
    )


def definition(tree: ast.Module, function: types.FunctionType) -> ast.AST | None:
    """The definition of a live function in the file's tree: what it does with its parameters."""
    line, name = function.__code__.co_firstlineno, function.__code__.co_name
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == line:
                return node
    return None


def attributes(name: str, body: ast.AST | None) -> set[str]:
    """The attributes of the variable `name` that a function body reads."""
    return {
        node.attr
        for node in (ast.walk(body) if body is not None else ())
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


def guessed_loss(prediction: Any, target: Any, *_: Any, **__: Any) -> Any:
    """Cross entropy for class indices (and for scores whose target is open), mean squared error else."""
    if not isinstance(prediction, torch.Tensor):
        prediction = getattr(prediction, "logits", None) if hasattr(prediction, "logits") else prediction[0]
    indices = isinstance(target, torch.Tensor) and not target.is_floating_point()
    if indices or (undecided(target) and prediction.dim() > 1 and prediction.shape[1] > 1):
        return functional.cross_entropy(prediction, target)
    return functional.mse_loss(prediction, target)


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """No function mode and no global module hook sees what happens in the block."""
    tables = [hooks._global_forward_hooks, hooks._global_forward_pre_hooks]
    saved = [dict(table) for table in tables]
    with contextlib.ExitStack() as stack:
        for _ in range(torch._C._len_torch_function_stack()):
            stack.enter_context(torch.overrides._pop_mode_temporarily())
        for table in tables:
            table.clear()
        try:
            yield
        finally:
            for table, entries in zip(tables, saved, strict=True):
                table.clear()
                table.update(entries)


@contextlib.contextmanager
def substituted(feeder: Callable[[nn.Module], tuple[tuple[Any, ...], dict[str, Any]]]) -> Iterator[None]:
    """Modules that are called with missing data get inputs that fit them."""

    def calling(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            args, kwargs = fed(self, args, kwargs, feeder)
            return original(self, *args, **kwargs)

        return call

    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(nn.Module, "__call__", calling))
        for name in ("tensor", "as_tensor", "from_numpy"):
            stack.enter_context(replaced(torch, name, _making))
        yield


def _making(original: Callable[..., Any]) -> Callable[..., Any]:
    """A tensor made of missing data is missing data again."""

    @functools.wraps(original)
    def make(data: Any, *args: Any, **kwargs: Any) -> Any:
        return data if undecided(data) else original(settled(data), *args, **kwargs)

    return make
