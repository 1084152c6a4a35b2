"""The base classes of transformers, whose own source keeps house and computes nothing: settings and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradlint.frontends.static.values import Arguments, Class, Constant, External, Instance, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

SETTINGS = frozenset({"PreTrainedConfig", "PretrainedConfig"})
MODELS = frozenset({"PreTrainedModel"})
DEFAULTS = {
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict": True,
    "use_return_dict": True,
    "is_encoder_decoder": False,
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "chunk_size_feed_forward": 0,
    "problem_type": None,
    "num_labels": 2,
    "_attn_implementation": "eager",
}
"""What every configuration holds (transformers 4 and 5, configuration_utils.py)."""

HOUSEKEEPING = frozenset(
    {"post_init", "init_weights", "gradient_checkpointing_enable", "warn_if_padding_and_no_attention_mask"}
    | {"tie_weights", "_init_weights", "set_input_embeddings", "set_output_embeddings", "add_model_tags"}
)
"""Methods of a model that change nothing in what its forward computes."""


def descends(cls: Class, names: frozenset[str]) -> bool:
    """Whether a class extends one of these classes of transformers."""
    return any(isinstance(base, External) and base.name.rpartition(".")[2] in names for base in cls.order)


def is_settings(cls: Class) -> bool:
    """Whether a class is a configuration."""
    return descends(cls, SETTINGS)


def initialise(run: Run, instance: Instance, arguments: Arguments) -> None:
    """What the constructor of the base class keeps: of a model its configuration, of settings all that they get."""
    if descends(instance.cls, MODELS):
        config = (*arguments.positional, arguments.named.get("config"))[0]
        if config is not None:
            run.write(instance.attributes, "config", config)
    elif is_settings(instance.cls):
        for name, value in arguments.named.items():
            run.write(instance.attributes, name, value)


def attribute(value: Instance, name: str) -> Value | None:
    """What every configuration has, where this one does not set it."""
    if name in DEFAULTS and is_settings(value.cls):
        return Constant(DEFAULTS[name])
    return None


def method(value: Instance, name: str) -> Value | None:
    """What a method of a model gives that changes nothing; None for any other."""
    return Constant(None) if name in HOUSEKEEPING and descends(value.cls, MODELS) else None
