"""Models that no file of the user builds: `hf:bert`, `hf:./config.json`, `timm:resnet18`.

All have random weights and are built offline; on the meta device when asked, which allocates no memory for parameters.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import nn

from gradlint.errors import TargetError, UsageError, did_you_mean
from gradlint.frontends.recorder.feeding.trial import quiet

HEARTS = {"transformers": "modeling_utils", "timm": "models"}
"""The part of a library that imports what it stands on."""

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
EXPERTS = "_experts_implementation"
"""Attribute of the configurations of a transformers that can choose how experts are computed."""

_DECODERS = ("AutoModelForCausalLM",)
_ENCODERS = ("AutoModelForMaskedLM",)
_PAIRS = ("AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq")
_OTHERS = (
    "AutoModelForImageClassification",
    "AutoModelForCTC",
    "AutoModelForAudioClassification",
    "AutoModelForImageTextToText",
    "AutoModelForObjectDetection",
    "AutoModelForSemanticSegmentation",
    "AutoModelForDepthEstimation",
    "AutoModelForSequenceClassification",
    "AutoModelForPreTraining",
    "AutoModel",
)
"""The heads that a model type may have; with the one that it is pre-trained with, most of it is trained."""


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Nothing is downloaded inside the block."""
    before = {name: os.environ.get(name) for name in _OFFLINE}
    os.environ.update(_OFFLINE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _device(meta: bool) -> contextlib.AbstractContextManager[Any]:
    return torch.device("meta") if meta else contextlib.nullcontext()


def build_hf(name: str, *, meta: bool = False) -> nn.Module:
    """A transformers model of the type `name`, or of the configuration file or folder `name`, with random weights.

    Raises:
        UsageError: when transformers is missing, or there is no such type or file.
        TargetError: when the configuration builds no model.
    """
    with _offline():
        transformers = _required("transformers", "hf:")
        config = _hf_config(transformers, name)
        with _device(meta), quiet():
            return _hf_model(transformers, config, name, meta)


def _hf_config(transformers: ModuleType, name: str) -> Any:
    if "/" in name or name.endswith(".json") or pathlib.Path(name).exists():
        return _hf_config_file(transformers, pathlib.Path(name))
    known = transformers.CONFIG_MAPPING
    key = name if name in known else name.replace("-", "_") if name.replace("-", "_") in known else name.lower()
    if key not in known:
        raise UsageError(
            f"transformers has no model type `{name}`{did_you_mean(name, known.keys())}: give a type or a config.json"
        )
    return transformers.AutoConfig.for_model(key)


def _hf_config_file(transformers: ModuleType, path: pathlib.Path) -> Any:
    if not path.exists():
        raise UsageError(
            f"there is no file `{path}`: `hf:` takes a model type of transformers or the path of a config.json"
        )
    try:
        return transformers.AutoConfig.from_pretrained(str(path), local_files_only=True)
    except Exception as error:
        raise TargetError(
            f"`{path}` is no configuration of transformers: {' '.join(str(error).split())[:200]}"
        ) from error


def _hf_model(transformers: ModuleType, config: Any, name: str, meta: bool) -> nn.Module:
    reason = "no model class knows it"
    for maker in _hf_makers(transformers, config):
        try:
            model = maker(config, **_plain_experts(config, meta))
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        if isinstance(model, nn.Module):
            return model
    raise TargetError(f"`hf:{name}` builds no model ({reason}): check its configuration")


def _plain_experts(config: Any, meta: bool) -> dict[str, str]:
    """Experts without the fused kernels, which take half precision only; on meta nothing may depend on the routing."""
    return {"experts_implementation": "batched_mm" if meta else "eager"} if hasattr(config, EXPERTS) else {}


def _hf_makers(transformers: ModuleType, config: Any) -> Iterator[Any]:
    """The class that the configuration names, then the automatic classes that know its type."""
    for architecture in getattr(config, "architectures", None) or ():
        if hasattr(transformers, architecture):
            yield getattr(transformers, architecture)._from_config
    pairs = bool(getattr(config, "is_encoder_decoder", False))
    for auto in (*(_PAIRS if pairs else ()), *_ENCODERS, *_DECODERS, *_OTHERS):
        kind = getattr(transformers, auto, None)
        if kind is not None and type(config) in kind._model_mapping:
            yield kind.from_config


def build_timm(name: str, *, meta: bool = False) -> nn.Module:
    """The timm model `name` with random weights.

    Raises:
        UsageError: when timm is missing or has no such model.
        TargetError: when it cannot be built.
    """
    timm = _required("timm", "timm:")
    if not timm.is_model(name):
        raise UsageError(f"timm has no model `{name}`{did_you_mean(name, timm.list_models())}")
    try:
        with _device(meta), quiet():
            return timm.create_model(name, pretrained=False)  # type: ignore[no-any-return]
    except Exception as error:
        raise TargetError(
            f"`timm:{name}` cannot be built: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error


def _required(package: str, prefix: str) -> ModuleType:
    try:
        module = importlib.import_module(package)
        importlib.import_module(f"{package}.{HEARTS[package]}")
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise UsageError(f"`{prefix}` needs {package}, which is not installed: pip install {package}") from error
        text = " ".join(str(error.__cause__ or error).split())[:200]
        raise UsageError(f"{package} is installed but cannot be imported: {type(error).__name__}: {text}") from error
    return module
