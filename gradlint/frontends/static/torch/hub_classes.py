"""The base classes of transformers, whose own source keeps house and computes nothing: settings and models."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import cycle
from typing import TYPE_CHECKING

from gradlint.frontends.static.record.tensors_inside import named_modules
from gradlint.frontends.static.torch import hub_settings
from gradlint.frontends.static.torch.hub_settings import is_settings
from gradlint.frontends.static.torch.module_names import OF_EVERY_MODULE
from gradlint.frontends.static.values import (
    Arguments,
    Class,
    Constant,
    External,
    Instance,
    Layer,
    Mapping,
    Tensor,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

MODELS = frozenset({"PreTrainedModel"})
ATTENTION, CAPABLE = "_attn_implementation", "_supports_sdpa"
"""The attribute of the settings that names the attention, and that of a model's class which says what it can do."""

TYING = frozenset({"post_init", "tie_weights"})
"""Methods that make one parameter of several, as the class says (transformers 5)."""

TIES, SWITCH = "_tied_weights_keys", "tie_word_embeddings"

HOUSEKEEPING = frozenset(
    {"init_weights", "gradient_checkpointing_enable", "warn_if_padding_and_no_attention_mask"}
    | {"_init_weights", "set_input_embeddings", "set_output_embeddings", "add_model_tags"}
)
"""Methods of a model that change nothing in what its forward computes."""


def descends(cls: Class, names: frozenset[str]) -> bool:
    """Whether a class extends one of these classes of transformers."""
    return any(isinstance(base, External) and base.name.rpartition(".")[2] in names for base in cls.order)


def initialise(run: Run, instance: Instance, arguments: Arguments) -> None:
    """What the constructor of the base class keeps: of a model its configuration, of settings all that they get."""
    if descends(instance.cls, MODELS):
        config = (*arguments.positional, arguments.named.get("config"))[0]
        if config is not None:
            run.write(instance.attributes, "config", config)
            _choose_attention(run, instance, config)
    elif is_settings(instance.cls):
        hub_settings.keep(run, instance, arguments.named)
        hub_settings.finish(run, instance, Arguments(), instance.cls.node)


def _choose_attention(run: Run, model: Instance, config: Value) -> None:
    """Settings that name no attention get the fused one, where the model says that it can work with it."""
    if not isinstance(config, Instance) or ATTENTION in config.attributes:
        return
    named = config.attributes.get("attn_implementation")
    able = next(
        (base.names[CAPABLE] for base in model.cls.order if isinstance(base, Class) and CAPABLE in base.names), None
    )
    usual = Constant("sdpa" if run.truth(able or Constant(False)) else "eager")
    given = isinstance(named, Constant) and named.value is not None
    run.write(config.attributes, ATTENTION, named if given else usual)


def attribute(value: Instance, name: str) -> Value | None:
    """What every configuration has, where this one does not set it."""
    return hub_settings.attribute(value, name) if is_settings(value.cls) else None


def has(value: Instance, name: str) -> bool | None:
    """Whether an object of one of these classes has an attribute that its own classes do not give it."""
    if is_settings(value.cls):
        return hub_settings.has(value, name)
    known = descends(value.cls, MODELS) and not name.startswith("_")
    return (True if name in OF_EVERY_MODULE else None if name in OF_EVERY_MODEL else False) if known else None


OF_EVERY_MODEL = frozenset(
    """config base_model base_model_prefix main_input_name dummy_inputs framework loss_function loss_type device dtype
    is_gradient_checkpointing supports_gradient_checkpointing generation_config can_generate generate model_tags
    name_or_path warnings_issued get_input_embeddings get_output_embeddings tp_plan pp_plan tp_size active_adapter
    is_loaded_in_8bit is_loaded_in_4bit is_quantized hf_quantizer""".split()
)
"""What models may have from the base class of all of them."""


def _input_embeddings(value: Instance) -> Value | None:
    """The layer that looks up the embeddings: under its usual name in the model, or in a part of it."""
    named = next(
        (b.names[INPUT_LAYER] for b in value.cls.order if isinstance(b, Class) and INPUT_LAYER in b.names), None
    )
    name = named.value if isinstance(named, Constant) and isinstance(named.value, str) else USUAL_LAYER
    holders = (value, *(value.attributes.get(part) for part in ("embeddings", "model")))
    found = (holder.attributes.get(name) for holder in holders if isinstance(holder, Instance))
    return next(filter(None, found), None)


INPUT_LAYER, USUAL_LAYER = "_input_embed_layer", "embed_tokens"


def method(run: Run, value: Instance, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """What a method of a model gives that keeps house; None for any other."""
    if is_settings(value.cls):
        return hub_settings.method(run, value, name, arguments, at)
    if name == "get_input_embeddings" and descends(value.cls, MODELS):
        return _input_embeddings(value)
    if name not in HOUSEKEEPING | TYING or not descends(value.cls, MODELS):
        return None
    if name in TYING:
        _tie(run, value)
    return Constant(None)


def _tie(run: Run, model: Instance) -> None:
    """Puts the source parameter of each tie in the target's place, patterns of names expanded."""
    ties, config = _kept(model, TIES), model.attributes.get("config")
    wanted = config.attributes.get(SWITCH) if isinstance(config, Instance) else None
    if not isinstance(ties, Mapping) or (wanted is not None and run.truth(wanted) is not True):
        return
    slots = {f"{path}.{name}".lstrip("."): (part, name) for path, part, name in _slots(model)}
    for target, source in ((str(key), run.constant(value)) for key, value in ties.items.items()):
        sources = sorted(path for path in slots if isinstance(source, str) and re.match(source, path))
        targets = sorted(path for path in slots if re.match(target, path))
        for to, of in zip(targets, cycle(sources), strict=False):
            (holder, name), (owner, original) = slots[to], slots[of]
            run.write(holder.attributes, name, owner.attributes[original])


def _kept(model: Instance, name: str) -> Value | None:
    of_classes = (base.names[name] for base in model.cls.order if isinstance(base, Class) and name in base.names)
    return model.attributes.get(name) or next(of_classes, None)


def _slots(model: Instance) -> Iterator[tuple[str, Instance | Layer, str]]:
    """Every place of a model that holds a parameter: the path and the module around it, and its name there."""
    for path, part in named_modules(model):
        for name, value in part.attributes.items():
            if isinstance(value, Tensor) and value.parameter:
                yield path, part, name
