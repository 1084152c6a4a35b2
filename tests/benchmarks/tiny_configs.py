"""Shrinks a transformers config: few layers, narrow, a small vocabulary, small images, by the names of its fields."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from transformers import PretrainedConfig

LAYERS, WIDTH, HEADS, HEAD_WIDTH, INNER, EXPERTS, VOCABULARY, PATCHES = 2, 64, 4, 16, 128, 4, 256, 4
FIRST_SPECIAL_TOKEN = 128
POSITIONS = 512
IMAGE = 64

Table = tuple[tuple[str, int], ...]

FEW: Table = (
    (r"(\w+_)?vocab_size(_\w+)?", VOCABULARY),
    (r"(num|n)_(local_|routed_)?experts|moe_num_experts", EXPERTS),
    (r"(num_experts_per_tok|moe_topk|top_k|num_selected_experts|n_group|topk_group)", 1),
    (r"(max_position_embeddings|n_positions|max_seq_len|n_ctx)", POSITIONS),
)
SHALLOW: Table = ((r"(num|n)_(\w+_)?layers?|(\w+_)?(num_)?layers|depth|num_blocks", LAYERS),)
NARROW: Table = (
    (r"hidden_size|d_model|n_embd|embed_dim|dim|hidden_dim|model_dim|embedding_size|emb_dim|d_embed", WIDTH),
    (r"word_embed_proj_dim|projection_dim|proj_dim|output_dim|encoder_hidden_size|decoder_hidden_size", WIDTH),
    (r"(num|n)_(\w+_)?heads?|(\w+_)?attention_heads|num_attention_heads", HEADS),
    (r"(\w+_)?head_dim|d_kv|attention_head_size|kv_channels|d_head", HEAD_WIDTH),
    (r"(\w+_)?intermediate_size|(\w+_)?ffn_dim|d_ff|d_inner|n_inner|ffn_hidden_size|mlp_dim|d_ffn", INNER),
)
"""Field names (whole, as patterns) and their small values."""

DEGREES = (FEW + SHALLOW + NARROW, FEW + NARROW, FEW + SHALLOW, ())
"""How much is shrunken, most first: not every architecture allows other widths, or fewer layers than kinds."""


def shrunken(kind: type[PretrainedConfig], table: Table) -> PretrainedConfig:
    """A config of this class with the small values of a table; its own defaults when the table is empty.

    Raises:
        Exception: whatever the class raises on values that do not fit together.
    """
    config = kind(**_changes(kind(), table)) if table else kind()
    for part in parts(config):
        part.use_cache = False
    return config


def parts(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """A config and the configs inside it, vision first."""
    inner = [value for value in vars(config).values() if isinstance(value, PretrainedConfig)]
    yield config
    for part in sorted(inner, key=lambda part: "vision" not in part.model_type):
        yield from parts(part)


def _changes(config: PretrainedConfig, table: Table) -> dict[str, Any]:
    changed = {name: new for name, old in _fields(config) if (new := _small(name, old, table)) != old}
    changed |= _key_value_heads(config, changed)
    changed |= _images(config)
    changed |= _rotary(config) if NARROW[0] in table else {}
    changed |= _layer_types(config, changed)
    nested = ((name, value) for name, value in vars(config).items() if isinstance(value, PretrainedConfig))
    return changed | {name: {"model_type": sub.model_type} | _changes(sub, table) for name, sub in nested}


def _fields(config: PretrainedConfig) -> Iterator[tuple[str, Any]]:
    known = set(inspect.signature(type(config).__init__).parameters) | set(vars(config))
    values = ((name, value_of(config, name)) for name in sorted(known))
    return ((name, value) for name, value in values if isinstance(value, int))


def value_of(config: PretrainedConfig, name: str) -> Any:
    """A field's value; None for one that differs from layer to layer, which cannot be asked for."""
    try:
        return getattr(config, name, None)
    except Exception:
        return None


def _small(name: str, old: Any, table: Table) -> Any:
    if isinstance(old, bool) or old <= 0:
        return old
    if name.endswith(("_token_id", "_token_index")):
        return old if old < FIRST_SPECIAL_TOKEN else _special_token(name)
    return next((min(old, value) for pattern, value in table if re.fullmatch(pattern, name)), old)


def _special_token(name: str) -> int:
    """The same token gets the same number in a config and in the configs inside it."""
    return FIRST_SPECIAL_TOKEN + sum(name.removesuffix("_token_id").encode()) % (VOCABULARY - FIRST_SPECIAL_TOKEN)


def _key_value_heads(config: PretrainedConfig, changed: dict[str, Any]) -> dict[str, Any]:
    """Grouped queries stay grouped: half as many key and value heads as there are heads."""
    own, heads = value_of(config, "num_key_value_heads"), value_of(config, "num_attention_heads")
    if not isinstance(own, int) or not isinstance(heads, int) or "num_attention_heads" not in changed:
        return {}
    few = changed["num_attention_heads"]
    return {"num_key_value_heads": few if own == heads else min(own, max(1, few // 2))}


def _images(config: PretrainedConfig) -> dict[str, Any]:
    size, patch = value_of(config, "image_size"), value_of(config, "patch_size")
    if isinstance(size, int):
        return {"image_size": min(size, patch * PATCHES if isinstance(patch, int) else IMAGE)}
    return {}


def _rotary(config: PretrainedConfig) -> dict[str, Any]:
    """Rotary sections (time, height, width) share the pairs of a narrow head."""
    fields = ((name, value_of(config, name)) for name in ("rope_parameters", "rope_scaling"))
    sections = [HEAD_WIDTH // 2 - 2 * (HEAD_WIDTH // 8), HEAD_WIDTH // 8, HEAD_WIDTH // 8]
    found = ((name, value) for name, value in fields if isinstance(value, dict) and "mrope_section" in value)
    return {name: value | {"mrope_section": sections} for name, value in found}


def _layer_types(config: PretrainedConfig, changed: dict[str, Any]) -> dict[str, Any]:
    """Lists with one entry a layer are cut to the new number of layers."""
    layers = next((changed[name] for name in ("num_hidden_layers", "n_layer", "num_layers") if name in changed), None)
    old = value_of(config, "num_hidden_layers")
    lists = ((name, value) for name, value in vars(config).items() if isinstance(value, list) and len(value) == old)
    return {name: value[:layers] for name, value in lists if layers}
