"""Libraries around torch: einops, torchvision, timm and others whose source is not read."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.python.plain_values import plain
from gradlint.frontends.static.record import emission
from gradlint.frontends.static.record.emission import Output
from gradlint.frontends.static.torch import einops_patterns, hub_functions, registries
from gradlint.frontends.static.torch import results as torch_results
from gradlint.frontends.static.values import Arguments, Foreign, Layer, Sequence, Symbol, Tensor, Unknown, Value
from gradlint.graph import Passage

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

EINOPS = frozenset("rearrange reduce repeat einsum pack unpack asnumpy parse_shape".split())
EINOPS_LAYERS = "einops.layers.torch."
MODEL_MODULES = (
    "torchvision.models.",
    "timm.",
    "segmentation_models_pytorch.",
    "transformers.",
    "torchvision.ops.",
    "efficientnet_pytorch.",
    "torch_geometric.nn.",
    "torchaudio.models.",
    "pretrainedmodels.",
    "monai.networks.",
)
"""Packages whose classes and factories make models that cannot be read when they are not installed as source."""


def call(run: Run, root: str, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A function or class of a library around torch; None for what is not known."""
    if root == "einops":
        return _einops(run, name, args, at)
    if root == "transformers" and (known := hub_functions.call(run, name, args, at)) is not None:
        return known
    if root == "timm" and (registered := registries.call(run, name, args, at)) is not None:
        return registered
    if name.startswith("torchvision.datasets."):
        return Foreign(name, dict(args.named), {}, run.frame(at))
    if name.startswith(("torchvision.transforms.", "torchvision.transforms.v2.")) and not run.nodes_in(tuple(args)):
        return Foreign(name, {}, {}, run.frame(at))
    if name.startswith("torchvision.ops."):
        return _vision_op(run, name, args, at)
    return _model(run, name, args, at) if name.startswith(MODEL_MODULES) else None


def _model(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A model that cannot be read: it may hold any parameter. What gets a tensor of the graph is no constructor."""
    last = name.rpartition(".")[2]
    if last.isupper() or run.nodes_in(tuple(value for value in args if isinstance(value, (Tensor, Unknown)))):
        return None
    factory = ".models." in name or last.startswith(("create_model", "from_pretrained")) or last[:1].isupper()
    if not factory or last.endswith(("Config", "Tokenizer", "TokenizerFast", "Processor", "Weights", "Arguments")):
        return None
    if any(part in name for part in ("Tokenizer", "Processor", "Config", "Weights", "FeatureExtractor", ".data.")):
        return None
    return Layer(name, dict(args.named), {}, run.frame(at), known=False)


def _einops(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    if name.startswith(EINOPS_LAYERS):
        return Layer(name, _layer_arguments(args), {}, run.frame(at), known=name.rpartition(".")[2] != "EinMix")
    last = name.rpartition(".")[2]
    return rearranged(run, last, args, at) if last in EINOPS else None


def _layer_arguments(args: Arguments) -> dict[str, Value]:
    return {**{str(position): value for position, value in enumerate(args.positional)}, **args.named}


def rearranged(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """`rearrange`, `reduce`, `repeat` and `einsum` of einops: one op each, along which the gradient flows."""
    if name == "parse_shape":
        return Symbol()
    if name == "einsum":
        return torch_results.op(run, "einsum", args, at)
    if name == "asnumpy" or not args.positional:
        return None
    known = einops_patterns.apply(run, name, args, at) if name in ("rearrange", "reduce", "repeat") else None
    if known is not None:
        return known
    made = _flowing(run, name, args, at, name)
    if name == "unpack":
        return Sequence([made], "list", exact=False)
    return Sequence([made, Symbol()], "tuple") if name == "pack" else made


def _flowing(run: Run, native: str, args: Arguments, at: ast.AST, shape_of: str = "") -> Value:
    sources = run.nodes_in(tuple(args))
    if not sources:
        run.doubt()
        return Unknown(f"{native} of values that are not known")
    first = args.positional[0] if args.positional else None
    dtype = first.dtype if isinstance(first, Tensor) else None
    call_ = emission.begin(run, native, args, at)
    shape = _pattern_shape(args) if shape_of in ("rearrange", "reduce", "repeat") else None
    made = emission.result(run, call_, Output(dtype, shape))
    if not run.grad_enabled:
        return made
    for source in sources:
        if (source, made.node) in run.tape.edges and run.tape.edges[source, made.node][0] is Passage.UNKNOWN:
            run.tape.edges[source, made.node] = (Passage.FLOWS, None)
    return made


def _pattern_shape(args: Arguments) -> tuple[int | None, ...] | None:
    """The rank after a pattern such as `b c (h p) -> b h (p c)`."""
    pattern = plain(args.positional[1]) if len(args.positional) > 1 else None
    if not isinstance(pattern, str) or "->" not in pattern or "..." in pattern:
        return None
    axes, depth = 0, 0
    for word in pattern.partition("->")[2].replace("(", " ( ").replace(")", " ) ").split():
        axes += word == "(" or (word != ")" and depth == 0)
        depth += (word == "(") - (word == ")")
    return (None,) * axes


def _vision_op(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    last = name.rpartition(".")[2]
    if last[:1].isupper():
        return Layer(name, dict(args.named), {}, run.frame(at), known=last in STATELESS)
    if last in ("nms", "batched_nms"):
        return emission.data((None,), "int64")
    return _flowing(run, last, args, at) if run.nodes_in(tuple(args)) else None


STATELESS = frozenset("RoIAlign RoIPool PSRoIAlign PSRoIPool MultiScaleRoIAlign StochasticDepth DropBlock2d".split())


def call_layer(run: Run, layer: Layer, args: Arguments, at: ast.AST) -> Value | None:
    """A call of a layer of these libraries; None for one that is not known."""
    if layer.name.startswith(EINOPS_LAYERS):
        last = layer.name.rpartition(".")[2].lower()
        if last not in EINOPS:
            return None
        positional = tuple(value for key, value in layer.arguments.items() if key.isdigit())
        named = {key: value for key, value in layer.arguments.items() if not key.isdigit()}
        return rearranged(run, last, Arguments((*args.positional, *positional), named), at)
    if layer.known and layer.name.startswith("torchvision.ops."):
        return _flowing(run, layer.name.rpartition(".")[2], args, at)
    return None
