"""Small values that fit a constructor parameter or a configuration field, by its name alone."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

WIDTH = 32
"""Channels, features and embedding sizes: divisible by the heads, groups and patches below."""

_INTEGERS: tuple[tuple[str, int], ...] = (
    (r"kernel|^k$|^ks$|^window(_size)?$|receptive|filter_size", 3),
    (r"patch", 4),
    (r"stride", 1),
    (r"padding|^pad$|pad_(id|idx|token)|ignore_index|bos|_idx$", 0),
    (r"dilation", 1),
    (r"eos", 1),
    (r"dim_?heads?$|head_?dim|heads?_?size|heads?_?channels|d_?k$|d_?v$", 8),
    (r"heads?$|^h$|groups?$|cardinality|experts?$", 4),
    (r"top_?k", 2),
    (r"expansion|multiplier|^mult$|ratio|factor|growth|reduction|squeeze|scale", 2),
    (r"n_?layers?|num_?layers?|layers?$|depth|blocks?$|stages?$|levels?$|repeats?|hops?$|n_?res|stacks?$", 2),
    (r"cells?$|flows?$", 2),
    (r"vocab|n_?tokens?|(num|n)_?(words|embeddings|users?|items?|nodes|ent(ities)?|rel(ations)?|movies)$", 100),
    (r"cardinal|codebook", 100),
    (r"dictionary|num_?codes|^table|embed_num|(users?|items?|words?)_?(num|count|size)$|^(n_)?chars$|^n_?chars", 100),
    (r"sampl(e|ing)_?rate|^sr$", 16000),
    (r"max_?(len|length|seq\w*|position\w*)|seq_?(len|length)|block_?size|context|n_?ctx|n_?positions|horizon", 16),
    (r"time_?steps", 16),
    (r"num_?frames|sequence_?length|maxlen|look_?back|^window|pred_?len", 16),
    (r"class(es)?$|n_?class|num_?class|class_?num|labels?$|targets?$|categories|tag(set)?_?size", 10),
    (r"im(age|g)?_?(size|res|height|width|h|w|side)$|resolution|^[hw]$|^height|^width$|input_?res|spatial", 32),
    (r"^im(age|g)$", 32),
    (r"(in|img|image|input)_?(c|ch|chans?|channels?|planes)$|^c_?in$|^n?_?channels?$|^in_?nc$|^(n_)?colou?rs?|^nc$", 3),
    (r"seed", 0),
    (r"(num|n)_?(steps|timesteps)|timesteps|^steps$|iters?$|iterations", 10),
    (r"rank|^r$", 4),
    (r"batch", 2),
)  # fmt: skip
_FLOATS = re.compile(
    r"drop|dpout|(^|_)p$|prob|(?<!growth_)(?<!sample_)(?<!sampling_)(?<!dilation_)(?<!frame_)rate$|(^|_)eps|epsilon|alpha(?!bet)|beta|gamma|(^|_)temp$|temperature|(^|_)tau|momentum|(^|_)lr|slope|sigma|lambda|"
    r"decay|(^|_)std|smoothing|margin|init_value|threshold|_gain$|sparsity|(^|_)cost$|_weight$"
)
_BOOLS = re.compile(
    r"^(use|with|is|has|do|return|enable|learn|share|tie|add|no|apply|freeze|should)_|bias$|bidirectional|residual|pretrained|norm_first|"
    r"batch_first|causal|gpu|cuda|affine|verbose|bilinear|flatten|^bn$|^bidir|^debug|gated$|training|normalize$|^res$|^skip$|tied"
)
_COUNT = re.compile(r"(n|nb|num|number)_")
_LISTS = re.compile(
    r"(sizes|dims|widths|hiddens|hidden_layers|channel_list|architecture|depths|kernels|dilations|strides|mults|ratios|fanouts|cardinalities|_list|shapes?)$"
)
CONFIG = re.compile(r"(^|_)(cfg|config|configs|conf|args|opt|opts|options|hparams?|params|hp|settings|hyper\w*|spec)$")
DEVICE = re.compile(r"device")
_DTYPE = re.compile(r"dtype")
NORM = re.compile(r"norm")
ACTIVATION = re.compile(r"act(?!or|ion)|nonlin|activation|sigma_fn")


_TABLE = re.compile(
    r"^(word_)?embeddings?_(pretrained|matrix)$|^pretrained_(word_)?(embeddings?|emb|vectors)$|^word_vectors$"
)
TABLE_ROWS = 100
"""Rows of a table of embeddings, as of the vocabularies above."""
_ACTIVATION_CHOICE = re.compile(r"(^|_)(act|activation|non_?linearity)(_?(fn|func|function|type|name|layer))?$")


def integer(name: str) -> int:
    """A small size for a parameter of this name."""
    return next((value for pattern, value in _INTEGERS if re.search(pattern, name)), WIDTH)


def by_name(name: str, uses: frozenset[str] = frozenset()) -> Any:
    """The likeliest value for a parameter or field of this name and use; None for a configuration or an object."""
    low = lowered(name)
    compared = sorted(use.removeprefix("compared:") for use in uses if use.startswith("compared:"))
    if compared:
        return compared[0]
    if "array" in uses:
        return torch.ones(TABLE_ROWS, WIDTH).numpy()
    if "tensor" in uses or _TABLE.search(low):
        return torch.ones(TABLE_ROWS, WIDTH)
    if CONFIG.search(low) or "attribute" in uses or "key" in uses:
        return None
    if DEVICE.search(low):
        return "cpu"
    if _DTYPE.search(low):
        return torch.float32
    if uses & {"iterated", "indexed"} or (_LISTS.search(low) and "number" not in uses):
        return sequences(low)[0]
    if pair := next((use for use in uses if use.startswith("pair:")), None):
        return (integer(low),) * int(pair.removeprefix("pair:"))
    if _ACTIVATION_CHOICE.search(low):
        return nn.ReLU if "called" in uses else "gelu"
    return _scalar(low)


def _scalar(low: str) -> Any:
    if _FLOATS.search(low):
        return 0.1
    if _BOOLS.search(low) and not _COUNT.match(low):
        return False
    return integer(low)


def lowered(name: str) -> str:
    """`hiddenDim` as `hidden_dim`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def sequences(name: str) -> list[Any]:
    """Lists of sizes, likeliest first."""
    low = lowered(name)
    if re.search(r"drop|probs?$|betas$|momenta|sigmas$", low):
        return [[0.1, 0.1], [0.1, 0.1, 0.1], 0.1]
    if re.search(r"dilation_(sizes|rates)|kernel_dilations", low):
        return [[[1, 2, 3], [1, 2, 3]], [1, 2]]
    if re.search(r"(upsample|up|scale|pool\w*|hop)_?(rates|ratios|scales|factors|kernels?(_sizes)?|sizes)", low):
        return [[4, 4], [2, 2], [4, 4, 4]]
    if re.search(r"depths|num_blocks|blocks|^layers$|mults|dilations|strides|expansions", low):
        return [[1, 2, 2, 1], [2, 2], [1, 1, 1], [32, 32]]
    if re.search(r"kernel|^ks$|filter_sizes", low):
        return [[3, 3], [3, 3, 3], [3, 3, 3, 3]]
    if re.search(r"shape|im(age|g)_?size|resolution|input_?(dim|size)$", low):
        return [(3, 32, 32), (32, 32), (32,)]
    if re.search(r"emb_?sz|cat\w*_(dims|sizes)|cardinalities|field_dims", low):
        return [[10, 10], [(10, 8), (10, 8)], {"a": 10, "b": 10}]
    if re.search(r"heads", low):
        return [[4, 4], [4, 4, 4]]
    return [[32, 32], [32, 32, 32], [32, 32, 32, 32], [(32, 32), (32, 32)], {"a": 10, "b": 10}]
