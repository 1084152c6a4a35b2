"""The published models of timm, torchvision and transformers: their names, and how to build and feed each of them."""

from __future__ import annotations

import importlib
import inspect
import itertools
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

BATCH = 2
MOST_PARAMETERS = 200_000_000
"""Above it a model is built on the meta device: shapes and dtypes, no values, no memory."""

Inputs = tuple[Any, ...] | dict[str, Any]
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Subject:
    """A model with inputs on which its forward and backward pass ran."""

    model: nn.Module
    inputs: Inputs
    description: str = ""

    @property
    def parameters(self) -> int:
        """Elements of all parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def on_meta(self) -> bool:
        """Whether the weights have no values."""
        return any(parameter.is_meta for parameter in self.model.parameters())

    def without_gradient(self) -> set[str]:
        """Names of the trainable parameters that the last step left without a gradient."""
        return {name for name, value in self.model.named_parameters() if value.requires_grad and value.grad is None}

    def forward(self) -> Any:
        """The outputs of one forward pass."""
        return self.model(**self.inputs) if isinstance(self.inputs, dict) else self.model(*self.inputs)

    def step(self) -> bool:
        """One forward and backward pass through a random projection of every floating output.

        Returns:
            Whether any output carries a gradient.
        """
        self.model.zero_grad(set_to_none=True)
        outputs = [leaf for leaf in tree_leaves(_plain(self.forward())) if _carries(leaf)]
        losses = [(output * torch.randn_like(output)).sum().real for output in outputs]
        if losses:
            torch.stack([loss.float() for loss in losses]).sum().backward()
        return bool(losses)


def _plain(outputs: Any) -> Any:
    if hasattr(outputs, "to_tuple"):
        return outputs.to_tuple()
    return dict(outputs) if isinstance(outputs, dict) else outputs


def _carries(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad and (leaf.is_floating_point() or leaf.is_complex())


Way = Callable[[], Subject]


@dataclass
class Attempts:
    """Tries one way after the other; remembers why each failed."""

    reasons: list[str] = field(default_factory=list)

    def first(self, ways: Iterator[Way]) -> Subject:
        """The first subject whose forward and backward pass run.

        Raises:
            RuntimeError: with the reasons when none does.
        """
        for way in ways:
            try:
                subject = way()
                if subject.step():
                    return subject
                self.reasons.append("no output carries a gradient")
            except (Exception, SystemExit) as error:
                self.reasons.append(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:160]}")
        raise RuntimeError(" | ".join(dict.fromkeys(self.reasons)) or "nothing to try")


TRANSFORMERS = ("transformers", "transformers.modeling_utils", "transformers.models.auto.modeling_auto", "torchvision")


def prepare(family: str) -> None:
    """Imports a family's library, quietly."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from tests.benchmarks import cpu_torchvision

    cpu_torchvision.prepare()
    for module in {"timm": ("timm",), "torchvision": ("torchvision.models",)}.get(family, TRANSFORMERS):
        importlib.import_module(module)


def names(family: str) -> list[str]:
    """All names of a family."""
    match family:
        case "timm":
            import timm

            return list(timm.list_models(pretrained=False))
        case "torchvision":
            import torchvision.models

            return list(torchvision.models.list_models())
        case _:
            from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

            tables = _tables()
            return sorted(name for name in CONFIG_MAPPING_NAMES if any(name in table for table in tables))


def subject(family: str, name: str) -> Subject:
    """A model of the zoo, ready to run in train mode.

    Raises:
        RuntimeError: when it cannot be built or run.
    """
    torch.manual_seed(0)
    ways = {"timm": _timm, "torchvision": _torchvision, "transformers": _transformers}[family]
    return Attempts().first(ways(name))


def _sized(build: Build) -> tuple[str, nn.Module]:
    """The device for a model (meta when it is too large for the CPU), and the model built to find that out."""
    try:
        with torch.device("meta"):
            sketch = build()
    except Exception:
        return "cpu", build()
    size = sum(parameter.numel() for parameter in sketch.parameters())
    return ("meta" if size > MOST_PARAMETERS else "cpu"), sketch


def _built(build: Build, device: str) -> nn.Module:
    with torch.device(device):
        return build().train()


IMAGE_SIZES = (64, 96, 112, 128, 160, 224)


def _image(model: nn.Module, channels: int, size: int, frames: int = 0) -> Subject:
    shape = (BATCH, channels, *([frames] if frames else []), size, size)
    return Subject(model, (torch.randn(shape, device=next(model.parameters()).device),), f"float32{list(shape)}")


def _timm(name: str) -> Iterator[Way]:
    import timm

    build = partial(timm.create_model, name, pretrained=False)
    device, sketch = _sized(build)
    channels, size, _ = sketch.default_cfg["input_size"]
    plain = cache(partial(_built, build, device))
    for small in (*(small for small in IMAGE_SIZES if small < size), size):
        yield lambda small=small: _image(_built(partial(build, img_size=small), device), channels, small)
        yield lambda small=small: _image(plain(), channels, small)


FRAMES = 16
SIDE = 128


def _torchvision(name: str) -> Iterator[Way]:
    from torchvision import models

    builder = models.get_model_builder(name)
    bare = {word: None for word in ("weights", "weights_backbone") if word in inspect.signature(builder).parameters}
    build = partial(builder, **bare)
    device, _ = _sized(build)
    model = cache(partial(_built, build, device))
    match builder.__module__.split(".")[2]:
        case "detection":
            yield lambda: _detection(model())
        case "video":
            yield from (lambda size=size: _image(model(), 3, size, FRAMES) for size in (64, 112, 224))
        case "optical_flow":
            yield lambda: Subject(model(), (torch.randn(1, 3, SIDE, SIDE), torch.randn(1, 3, SIDE, SIDE)))
        case _:
            yield from (lambda size=size: _image(model(), 3, size) for size in (*IMAGE_SIZES, 299))


def _detection(model: Any) -> Subject:
    target = {
        "boxes": torch.tensor([[8.0, 8.0, 72.0, 72.0]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, SIDE, SIDE, dtype=torch.uint8),
        "keypoints": torch.tensor([[[32.0, 32.0, 1.0]] * KEYPOINTS]),
    }
    model.transform.min_size, model.transform.max_size = (SIDE,), SIDE
    if hasattr(model, "roi_heads"):
        model.rpn._pre_nms_top_n = model.rpn._post_nms_top_n = {"training": PROPOSALS, "testing": PROPOSALS}
        model.roi_heads.fg_bg_sampler.batch_size_per_image = PROPOSALS
    images = [torch.rand(3, SIDE, SIDE) for _ in range(BATCH)]
    return Subject(model, (images, [target] * BATCH), f"{BATCH} images with targets")


KEYPOINTS = 17
PROPOSALS = 16


def _transformers(name: str) -> Iterator[Way]:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from tests.benchmarks.tiny_configs import DEGREES, shrunken

    config_class = CONFIG_MAPPING[name]
    for table in DEGREES:
        make = partial(shrunken, config_class, table)
        model = cache(partial(_from_config, name, make))
        try:
            ways = list(guesses(model(), make()))
        except Exception as error:
            yield partial(_fail, error)
            continue
        yield from (partial(_fed, model, guess) for guess in ways)


def _fed(model: Build, inputs: dict[str, Any]) -> Subject:
    return Subject(model(), inputs, ", ".join(f"{name}{list(value.shape)}" for name, value in inputs.items()))


def _fail(error: Exception) -> Subject:
    raise error


def _from_config(name: str, make: Callable[[], Any]) -> nn.Module:
    build = partial(_model_class(name), make())
    return _built(build, _sized(build)[0])


def _model_class(name: str) -> Any:
    """The base model of an architecture; the first of its task models where it has no base model."""
    import transformers

    found = next(table[name] for table in _tables() if name in table)
    return getattr(transformers, found if isinstance(found, str) else found[0])


def _tables() -> list[dict[str, Any]]:
    """From architectures to the names of their models: the base models first, then those of each task."""
    from transformers.models.auto import modeling_auto

    tables = {key: table for key, table in vars(modeling_auto).items() if re.fullmatch("MODEL_.*MAPPING_NAMES", key)}
    return [tables.pop("MODEL_MAPPING_NAMES"), *tables.values()]


TOKENS, FRAMES_OF_VIDEO, SAMPLES, SPECTRUM = 16, 4, 8000, 128
TIMES = 128
GRID = 8
PATCHES_OF_MELS = 1024


def guesses(model: nn.Module, config: Any) -> Iterator[dict[str, Any]]:
    """Inputs that a transformers model may accept, the likeliest first."""
    wanted = list(inspect.signature(model.forward).parameters)
    device = next(model.parameters()).device
    with torch.device(device):
        known = {name: values for name in wanted if (values := _values(name, config))}
    main = [name for name in (getattr(model, "main_input_name", ""), *known) if name in known]
    chosen = list(dict.fromkeys(main))
    for count in (1, 2, 3, len(chosen)):
        for group in _groups(chosen, count):
            yield from (
                dict(zip(group, values, strict=True)) for values in itertools.product(*(known[n] for n in group))
            )


def _groups(chosen: list[str], count: int) -> Iterator[tuple[str, ...]]:
    """Groups of `count` names, those with the main input first."""
    if 0 < count <= len(chosen):
        yield from sorted(itertools.combinations(chosen, count), key=lambda group: chosen[0] not in group)


def _values(name: str, config: Any) -> list[Tensor]:
    """Candidates for an argument of this name; empty when nothing is known of it."""
    match name:
        case "input_ids" | "decoder_input_ids" | "labels_ids" | "text_input_ids":
            return [torch.randint(3, 100, (BATCH, TOKENS))]
        case "pixel_values" | "pixel_values_videos" | "pixel_values_images":
            return _pixels(config)
        case "input_values":
            waves = torch.randn(BATCH, SAMPLES)
            return [waves, waves[:, None], torch.randn(BATCH, PATCHES_OF_MELS, SPECTRUM)]
        case "input_features":
            return _spectra(config)
        case "hidden_states":
            return [_patches(config), torch.randn(BATCH, TOKENS, _channels(config))]
        case "grid_thw" | "image_grid_thw":
            return [torch.tensor([[1, GRID, GRID]] * BATCH)]
        case "bbox":
            return [torch.tensor([10, 10, 50, 50]).expand(BATCH, TOKENS, 4).clone()]
        case "past_values":
            length = _first(config, ("context_length",), TIMES)
            return [torch.randn(BATCH, length), torch.randn(BATCH, length, _channels(config))]
        case "inputs_embeds" | "state" | "inputs":
            return [
                torch.randn(
                    BATCH, _first(config, ("context_length", "max_source_positions"), TOKENS), _channels(config)
                )
            ]
    return []


def _first(config: Any, names: tuple[str, ...], default: int) -> int:
    from tests.benchmarks.tiny_configs import parts, value_of

    found = (value_of(part, name) for part in parts(config) for name in names)
    return next((value for value in found if isinstance(value, int) and value > 0), default)


def _patches(config: Any) -> Tensor:
    """Flat patches of BATCH images of GRID x GRID patches each: (patches, channels x frames x height x width)."""
    side, frames = _first(config, ("patch_size",), 14), _first(config, ("temporal_patch_size",), 1)
    return torch.randn(BATCH * GRID * GRID, _first(config, ("in_channels", "in_chans"), 3) * frames * side * side)


def _channels(config: Any) -> int:
    return _first(config, ("num_input_channels", "input_size", "hidden_size", "d_model"), 64)


def _pixels(config: Any) -> list[Tensor]:
    channels = _first(config, ("num_channels", "in_channels", "in_chans"), 3)
    own = _first(config, ("image_size", "img_size", "crop_size"), 64)
    frames = _first(config, ("num_frames", "frames_per_clip"), FRAMES_OF_VIDEO)
    sides = dict.fromkeys((own, 64, 224))
    videos = [torch.randn(BATCH, frames, channels, side, side) for side in list(sides)[:1]]
    return [torch.randn(BATCH, channels, side, side) for side in sides] + videos + [_patches(config)]


def _spectra(config: Any) -> list[Tensor]:
    mels = _first(config, ("num_mel_bins", "feature_size", "input_feat_per_channel", "input_dim", "n_mels"), 80)
    length = 2 * _first(config, ("max_source_positions",), PATCHES_OF_MELS // 2)
    return [torch.randn(BATCH, mels, length), torch.randn(BATCH, length, mels), torch.randn(BATCH, 1, length, mels)]
