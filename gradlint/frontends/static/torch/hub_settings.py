"""The settings of transformers' models: what every one of them has, and what their base class makes of what it gets."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static import modules_of_project
from gradlint.frontends.static.values import (
    Arguments,
    Bound,
    Class,
    Constant,
    External,
    Function,
    Instance,
    Mapping,
    Sequence,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

SETTINGS = frozenset({"PreTrainedConfig", "PretrainedConfig"})
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

OTHERS = frozenset(
    """name_or_path architectures model_type base_config_key sub_configs sub_configs_defaults has_no_defaults_at_init
    keys_to_ignore_at_inference attribute_map dtype torch_dtype id2label label2id finetuning_task prefix max_length
    task_specific_params bos_token_id pad_token_id eos_token_id sep_token_id decoder_start_token_id pruned_heads
    tokenizer_class transformers_version is_composition rope_scaling min_length cross_attention_hidden_size
    tie_encoder_decoder encoder_no_repeat_ngram_size torchscript use_bfloat16 tf_legacy_loss per_layer_config
    _name_or_path _commit_hash _auto_class _output_attentions _experts_implementation _attn_implementation_internal
    _post_init_done _attn_implementation_autoset _use_cache""".split()
)
"""What else configurations may have from their base class."""

RENAMED = "attribute_map"
LAYERS, PER_LAYER = "num_hidden_layers", "per_layer_config"
ROPE_HOME, ROPE_CLASS, ROPE = "transformers.modeling_rope_utils", "RotaryEmbeddingConfigMixin", "rope_parameters"
CONVERT = "convert_rope_params_to_dict"
POST_INIT = "__post_init__"
TEXT = "get_text_config"


def is_settings(cls: Class) -> bool:
    """Whether a class is a configuration."""
    return any(isinstance(base, External) and base.name.rpartition(".")[2] in SETTINGS for base in cls.order)


def mixins(run: Run, bases: tuple[Value, ...]) -> tuple[Value, ...]:
    """The classes behind the base class of all configurations (transformers 5)."""
    wanted = any(isinstance(base, External) and base.name.rpartition(".")[2] in SETTINGS for base in bases)
    home = run.project.find(run.activation.module, ROPE_HOME) if wanted else None
    found = modules_of_project.name(run, home, ROPE_CLASS) if home is not None else None
    return (found,) if isinstance(found, Class) else ()


def renamed(value: Instance, name: str) -> str:
    """The name under which a configuration keeps an attribute: `hidden_size` is `n_embd` in some."""
    tables = (base.names[RENAMED] for base in value.cls.order if isinstance(base, Class) and RENAMED in base.names)
    table = next(tables, None)
    kept = table.items.get(name) if isinstance(table, Mapping) else None
    return kept.value if isinstance(kept, Constant) and isinstance(kept.value, str) else name


def attribute(value: Instance, name: str) -> Value | None:
    """What every configuration has, where this one does not set it."""
    kept = renamed(value, name)
    if kept != name and kept in value.attributes:
        return value.attributes[kept]
    if name == PER_LAYER:
        number = value.attributes.get(renamed(value, LAYERS))
        known = isinstance(number, Constant) and type(number.value) is int
        return Sequence([value] * number.value, "list") if known else None  # type: ignore[union-attr]
    return Constant(DEFAULTS[name]) if name in DEFAULTS else None


def has(value: Instance, name: str) -> bool | None:
    """Whether a configuration that does not set an attribute has it; None where that is not known."""
    if attribute(value, name) is not None:
        return True
    return None if name in OTHERS else False


def keep(run: Run, value: Instance, named: dict[str, Value]) -> None:
    """Keeps everything that a configuration is given."""
    for name, content in named.items():
        run.write(value.attributes, renamed(value, name), content)


def method(run: Run, value: Instance, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """A method of the base class of all configurations; None for one that is not known."""
    if name == TEXT and not any("sub_configs" in base.names for base in value.cls.order if isinstance(base, Class)):
        return value
    if name == POST_INIT:
        finish(run, value, arguments, at)
        return Constant(None)
    return None


def finish(run: Run, value: Instance, arguments: Arguments, at: ast.AST) -> None:
    """What the base class does at last: it brings the rotary embedding's parameters into one form."""
    convert = next((b.names[CONVERT] for b in value.cls.order if isinstance(b, Class) and CONVERT in b.names), None)
    if isinstance(convert, Function) and ROPE in value.attributes:
        run.call(Bound(value, convert), Arguments((), arguments.named, arguments.exact), at)
