"""What an input is by its name and annotation alone: images, tokens, masks, edges, lengths, time steps."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.recipes import GroupRecipe, ProbeRecipe, Recipe, TensorRecipe, ValueRecipe
from gradlint.frontends.recorder.feeding.reshapes import BATCH, LENGTH, Shape

STEPS = 6
"""Length of inferred sequences: differs from batch, heads and common widths, so that a wrong axis shows."""

IMAGE_NAMES = re.compile(
    r"(^|_)(im(age|g)?s?|pixel_values|frames?|pictures?|photos?|x_?t|noisy|video|clips?|masked_img)\d*($|_)"
)
TOKEN_NAMES = re.compile(
    r"(^|_)(ids?|tokens?|src|tgt|trg|idx|indices|index|words?|seqs?|sequences?|labels?|texts?|sentences?|captions?|queries|docs?|"
    r"chars?|codes?|sources?|targets?|prompts?|input_ids|premise|hypothesis|question|questions|history)\d*($|_)"
)
SINGLE_ID_NAMES = re.compile(
    r"(^|_)(users?|item|movie|y|cls|class|classes|labels?|cond|speakers?|domain|task|product|t|time|head|relation|tail|pos|neg)(_?(ids?|idx|ind\w+))?$"
)
MASK_NAMES = re.compile(r"mask|padding|valid|attend")
TIME_NAMES = re.compile(r"^(t|ts|time|times|timesteps?|steps?|noise_levels?|sigmas?|t_?emb|diffusion_steps?|k)$")
LENGTH_NAMES = re.compile(r"(^|_)(lens?|lengths?|sizes)$|_len$|^len_|^lengths?_")
EDGE_NAMES = re.compile(r"^(edge_?index|edges?|ei|adj_?t|edge_list|pairs)$")
ADJACENCY_NAMES = re.compile(r"^(adj|adjacency|a|a_hat|adj_?mat(rix)?|graph|laplacian|lap|support|norm_adj)$")
BATCH_INDEX_NAMES = re.compile(r"^(batch|batch_?(idx|index|ids|vec)|graph_ids?|segment_?ids)$")
HIDDEN_NAMES = re.compile(
    r"^(last|prev|previous|init|initial|dec|decoder|rnn|past)_(h|hidden|state|hidden_states?)$|^(h|hx|h0|h_?0|hidden|hiddens?|state|states|hc|prev_hidden|cell|memory|c|c0|carry|prev_state)$"
)
AUDIO_NAMES = re.compile(r"(^|_)(wav(e(form)?)?s?|audio|signal|speech|input_values|pcm)($|_)")
POINT_NAMES = re.compile(r"(^|_)(points?|pts|xyz|pos|coords?|cloud|pc|positions?)($|_)")
LIST_NAMES = re.compile(r"(features|feats|feature_maps|inputs|xs|outs|outputs|levels|maps|pyramid|skips|hiddens)$")
NODES = 6
EDGES = 9


def edges() -> TensorRecipe:
    return TensorRecipe((2, EDGES), "int64", 0, NODES)


def by_name(name: str, known: Sequence[Shape] = ()) -> list[Recipe]:
    """What a parameter of this name usually is, likeliest first; the last ones are for names that tell nothing."""
    return [*named(name, known), *anything(known)]


def named(name: str, known: Sequence[Shape] = ()) -> list[Recipe]:
    """What the name alone tells, which may be nothing; its last word counts most: `pos_seqs` are sequences."""
    low = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    steps = next((shape[1] for shape in known if len(shape) > 1), LENGTH)
    rows = known[0][0] if known else BATCH
    table: list[tuple[re.Pattern[str], list[Recipe]]] = [
        (EDGE_NAMES, [edges()]),
        (
            ADJACENCY_NAMES,
            [TensorRecipe((rows, rows), fill="identity"), TensorRecipe((rows, steps, steps), fill="identity")],
        ),
        (BATCH_INDEX_NAMES, [TensorRecipe((rows,), "int64", 0, 2, "zeros"), TensorRecipe((BATCH, LENGTH), "int64")]),
        (MASK_NAMES, [TensorRecipe((BATCH, steps), "bool", fill="ones"), TensorRecipe((BATCH, steps), fill="ones")]),
        (LENGTH_NAMES, [TensorRecipe((BATCH,), "int64", max(1, steps - 1), steps + 1, "random"), ValueRecipe(steps)]),
        (
            TIME_NAMES,
            [TensorRecipe((BATCH,), "int64", 0, 10), TensorRecipe((BATCH,), high=1), TensorRecipe((BATCH, 1), high=1)],
        ),
        (IMAGE_NAMES, [TensorRecipe((BATCH, 3, 32, 32)), TensorRecipe((BATCH, 1, 32, 32))]),
        (AUDIO_NAMES, [TensorRecipe((BATCH, 1, 1024)), TensorRecipe((BATCH, 1024)), TensorRecipe((BATCH, 16000))]),
        (POINT_NAMES, [TensorRecipe((BATCH, 16, 3)), TensorRecipe((BATCH, 3, 16)), TensorRecipe((16, 3))]),
        (TOKEN_NAMES, [TensorRecipe((BATCH, LENGTH), "int64"), TensorRecipe((BATCH,), "int64")]),
    ]
    matched = [
        (max(one.end() for one in pattern.finditer(low)), made) for pattern, made in table if pattern.search(low)
    ]
    return [recipe for _, recipes in sorted(matched, key=lambda one: -one[0]) for recipe in recipes]


def anything(known: Sequence[Shape] = ()) -> list[Recipe]:
    """Inputs to try when nothing is known."""
    same = [TensorRecipe(shape) for shape in known[:2]]
    shapes = ((BATCH, LENGTH), (BATCH, STEPS, LENGTH), (BATCH, 3, 32, 32), (BATCH,), (BATCH, 3, 64), (BATCH, 1))
    return list(
        dict.fromkeys([*same, *(TensorRecipe(shape) for shape in shapes), TensorRecipe((BATCH, LENGTH), "int64")])
    )


def annotated(annotation: Any) -> list[Recipe]:
    """What a parameter's annotation tells: Python scalars, containers of tensors, dataclasses and named tuples."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    scalars: dict[str, list[Any]] = {"int": [2, 1, LENGTH], "float": [0.5], "bool": [False], "str": ["text"]}
    bare = text.replace("Optional[", "").replace(" | None", "").rstrip("]")
    if bare in scalars:
        return [ValueRecipe(value) for value in scalars[bare]]
    if typing.get_origin(annotation) is tuple and set(typing.get_args(annotation)) == {int}:
        return [ValueRecipe((side,) * len(typing.get_args(annotation))) for side in (32, 8)]
    if (
        inspect.isclass(annotation)
        and hasattr(annotation, "__annotations__")
        and not issubclass(annotation, (torch.Tensor, nn.Module))
    ):
        fields = {key: ProbeRecipe() for key in annotation.__annotations__}
        return [GroupRecipe("made", tuple(fields.items()), annotation)] if fields else []
    return []


def dimensions(annotation: Any) -> TensorRecipe | None:
    """The tensor that a jaxtyping annotation describes: `Float[Tensor, "batch channels 32 32"]`."""
    text = annotation if isinstance(annotation, str) else str(annotation)
    dims, kind = getattr(annotation, "dim_str", None), getattr(annotation, "__name__", "")
    found = re.match(r"(?:\w+\.)*(\w+)\[[\w. ]*Tensor, *[\"']([^\"']+)[\"']\]", text)
    if dims is None and found is None:
        return None
    kind, dims = (kind, dims) if dims is not None else (found[1], found[2])  # type: ignore[index]
    shape = tuple(_axis(one, i) for i, one in enumerate(str(dims).split()) if one != "...")
    integral = kind.startswith(("Int", "Long", "UInt"))
    return TensorRecipe(shape, "int64" if integral else "bool" if kind.startswith("Bool") else "float32")


def _axis(text: str, position: int) -> int:
    word = text.split("=")[-1].strip("#*?_")
    if word.isdigit():
        return int(word)
    if position == 0 and re.match(r"^(b|bs|n|batch.*)$", word, re.IGNORECASE):
        return BATCH
    return {"c": 3, "channels": 3, "h": 32, "w": 32, "height": 32, "width": 32, "t": STEPS, "s": STEPS}.get(
        word.lower(), LENGTH
    )
