"""What layers.toml and functions.toml say, against torch: every class, its signature, its parameters, its calls."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gradlint.frontends.static.python.plain_values import lifted, plain  # noqa: E402
from gradlint.frontends.static.torch import layer_facts as layers  # noqa: E402
from gradlint.frontends.static.torch import signatures as torch_signatures  # noqa: E402
from gradlint.frontends.static.torch.layer_facts import REQUIRED  # noqa: E402
from gradlint.frontends.static.torch.layers import build  # noqa: E402
from gradlint.frontends.static.values import Arguments, Layer, Symbol, Tensor, Value  # noqa: E402
from tests.static.running import AT, new_run  # noqa: E402

ABSTRACT = {"Module", "Container", "RNNBase", "RNNCellBase"}
CONTAINERS = {"Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "DataParallel"}
FORWARDED = {"RNN", "LSTM", "GRU"}
"""Classes whose own signature is `*args`."""

CLASSES = sorted(
    name
    for name, cls in vars(nn).items()
    if inspect.isclass(cls) and issubclass(cls, nn.Module) and name not in ABSTRACT | CONTAINERS
)

WAYS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "AdaptiveLogSoftmaxWithLoss": [],
    "Bilinear": [((3, 4, 5), {}), ((3, 4, 5, False), {})],
    "ChannelShuffle": [((2,), {})],
    "CrossMapLRN2d": [((3,), {})],
    "Embedding": [((7, 3), {}), ((7, 3), {"padding_idx": 0, "_freeze": True})],
    "EmbeddingBag": [((7, 3), {"mode": "sum"})],
    "Fold": [((4, 4, 2), {})],
    "FractionalMaxPool2d": [((2,), {"output_size": 3})],
    "FractionalMaxPool3d": [((2,), {"output_size": 3})],
    "GroupNorm": [((2, 4), {}), ((2, 4), {"affine": False}), ((2, 4), {"bias": False})],
    "LayerNorm": [((5,), {}), (((5, 2),), {"bias": False}), (([3],), {"elementwise_affine": False})],
    "RMSNorm": [((5,), {}), (((5, 2),), {"elementwise_affine": False})],
    "Linear": [((3, 4), {}), ((3, 4, False), {}), ((), {"out_features": 2, "in_features": 1, "bias": False})],
    "LinearCrossEntropyLoss": [((4, 3), {}), ((4, 3), {"bias": True}), ((4, 3), {"out_features": (2,)})],
    "LazyLinear": [((4,), {})],
    "LocalResponseNorm": [((2,), {})],
    "MultiheadAttention": [
        ((8, 2), {}),
        ((8, 2), {"kdim": 5}),
        ((8, 2), {"kdim": 8, "vdim": 8, "bias": False}),
        ((8, 2), {"add_bias_kv": True, "vdim": 3}),
    ],
    "PReLU": [((), {}), ((6,), {})],
    "PixelShuffle": [((2,), {})],
    "PixelUnshuffle": [((2,), {})],
    "SyncBatchNorm": [((4,), {}), ((4,), {"affine": False})],
    "Threshold": [((0.1, 2.0), {})],
    "Transformer": [((8, 2, 2, 1, 16), {}), ((8, 2, 1, 1, 16), {"bias": False})],
    "TransformerDecoder": [],
    "TransformerDecoderLayer": [((8, 2), {}), ((8, 2, 16), {"bias": False})],
    "TransformerEncoder": [],
    "TransformerEncoderLayer": [((8, 2), {}), ((8, 2, 16), {"bias": False})],
    "Unflatten": [((1, (2, 2)), {})],
    "Unfold": [((2,), {})],
    **{
        f"{lazy}{kind}{axes}d": [
            ((*channels, 6, 3), {}),
            ((*channels, 6), {"kernel_size": tuple(range(2, 2 + axes)), "bias": False}),
            ((*channels, 6, 3), {"groups": 2, "padding": 1}),
        ]
        for kind in ("Conv", "ConvTranspose")
        for axes in (1, 2, 3)
        for lazy, channels in (("", (4,)), ("Lazy", ()))
    },
    **{
        f"{lazy}{kind}{axes}d": [
            (channels, {}),
            (channels, {"affine": True, "track_running_stats": True}),
            (channels, {"affine": False, "track_running_stats": False}),
            (channels, {"affine": True, "bias": False}),
        ]
        for kind in ("BatchNorm", "InstanceNorm")
        for axes in (1, 2, 3)
        for lazy, channels in (("", (4,)), ("Lazy", ()))
    },
    **{
        kind: [
            ((5, 4), {}),
            ((5, 4), {"num_layers": 3, "bidirectional": True}),
            ((5, 4, 2), {"bias": False, "batch_first": True}),
        ]
        for kind in ("RNN", "LSTM", "GRU")
    },
    **{kind: [((5, 4), {}), ((5, 4, False), {})] for kind in ("RNNCell", "LSTMCell", "GRUCell")},
    **{
        f"{kind}Pad{axes}d": [((1,), {}), ((tuple(range(2 * axes)),), {})]
        for kind in ("Circular", "Reflection", "Replication", "Zero")
        for axes in (1, 2, 3)
    },
    **{f"ConstantPad{axes}d": [((1, 0.5), {})] for axes in (1, 2, 3)},
    **{
        f"{kind}Pool{axes}d": [((2,), {})]
        for kind in ("AdaptiveAvg", "AdaptiveMax", "Avg", "Max")
        for axes in (1, 2, 3)
    },
    **{f"MaxUnpool{axes}d": [((2,), {}), ((2, 3), {})] for axes in (1, 2, 3)},
    **{f"LPPool{axes}d": [((2.0, 2), {})] for axes in (1, 2, 3)},
}
WAYS["LSTM"].append(((5, 4), {"proj_size": 2, "bidirectional": True, "num_layers": 2}))


def built(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Layer:
    run = new_run()
    given = Arguments(tuple(map(lifted, args)), {key: lifted(value) for key, value in options.items()})
    made = build(run, name, given, AT)
    assert made is not None
    return made


def signature_in_torch(name: str) -> Iterator[tuple[str, Any]]:
    cls = getattr(nn, name)
    function = nn.RNNBase.__init__ if name in FORWARDED else cls.__init__
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or (
            parameter.name == "mode" and name in FORWARDED
        ):
            continue
        yield parameter.name, REQUIRED if parameter.default is parameter.empty else parameter.default


def own_signature(name: str) -> dict[str, Any]:
    known = layers.facts(name)
    assert known is not None
    return {a.name: a.default for a in known.arguments if a.kind in ("plain", "keyword")}


def test_all_classes_are_listed() -> None:
    assert [name for name in CLASSES if layers.facts(name) is None] == []


@pytest.mark.parametrize("name", CLASSES)
def test_signature(name: str) -> None:
    wanted = dict(signature_in_torch(name))
    got = own_signature(name)
    if name in FORWARDED:
        got.pop("nonlinearity", None)
        if name == "GRU":
            wanted.pop("proj_size")
    if "activation" in wanted:
        assert wanted["activation"] is nn.functional.relu
        wanted["activation"] = "relu"
    assert got == wanted
    assert list(got) == list(wanted)


def weights(layer: Layer, prefix: str = "", buffers: bool = False) -> Iterator[tuple[str, Tensor]]:
    for name, part in layer.attributes.items():
        if isinstance(part, Tensor) and part.parameter is not buffers:
            yield prefix + name, part
    for name, part in layer.attributes.items():
        if isinstance(part, Layer):
            yield from weights(part, f"{prefix}{name}.", buffers)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CLASSES)
def test_parameters_and_buffers(name: str) -> None:
    for args, options in WAYS.get(name, [((), {})]):
        there, here = getattr(nn, name)(*args, **options), built(name, args, options)
        wanted = [(key, value.requires_grad) for key, value in there.named_parameters()]
        assert [(key, value.state.get("requires_grad", True)) for key, value in weights(here)] == wanted, (
            args,
            options,
        )
        assert [key for key, _ in weights(here, buffers=True)] == [key for key, _ in there.named_buffers()]
        for (_, got), (key, value) in zip(weights(here), there.named_parameters(), strict=True):
            if not isinstance(value, nn.UninitializedParameter):
                assert got.shape == tuple(value.shape), (key, args, options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CLASSES)
def test_attributes_are_what_torch_keeps(name: str) -> None:
    for args, options in WAYS.get(name, [((), {})]):
        there, here = getattr(nn, name)(*args, **options), built(name, args, options)
        for key in own_signature(name):
            kept = getattr(there, key, None)
            if isinstance(kept, (bool, int, float, str, tuple)) and key in here.arguments and "Lazy" not in name:
                assert _plainly(here.arguments[key]) == kept, key


def _plainly(value: Value) -> Any:
    found = plain(value)
    return tuple(found) if isinstance(found, list) else found


@pytest.mark.filterwarnings("ignore")
def test_stacks_of_transformer_layers() -> None:
    for kind in ("Encoder", "Decoder"):
        there = getattr(nn, f"Transformer{kind}")(getattr(nn, f"Transformer{kind}Layer")(8, 2, 16), 3, nn.LayerNorm(8))
        layer, norm = built(f"Transformer{kind}Layer", (8, 2, 16), {}), built("LayerNorm", (8,), {})
        here = built(f"Transformer{kind}", (layer, 3, norm), {})
        assert [(key, value.shape) for key, value in weights(here)] == [
            (key, tuple(value.shape)) for key, value in there.named_parameters()
        ]


def test_functions_have_the_signatures_that_torch_gives_them() -> None:
    for name in torch_signatures.load():
        function = getattr(nn.functional, name, None) or getattr(torch.functional, name)
        if not inspect.isfunction(function):
            continue
        known = torch_signatures.signature(name)
        assert known is not None
        actual = inspect.signature(function).parameters
        if "args" in actual:
            continue
        assert known.names == tuple(actual), name
        for key, parameter in actual.items():
            assert known.defaults.get(key, parameter.empty) == parameter.default, (name, key)


def handled(function: Any) -> ast.Call | None:
    """The call by which a function of torch hands itself to whoever overrides it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    return next((call for call in calls if getattr(call.func, "id", "") == "handle_torch_function"), None)


def test_functions_are_recorded_by_the_positions_that_torch_hands_over() -> None:
    compared = 0
    for name in torch_signatures.load():
        function = getattr(nn.functional, name, None)
        call = handled(function) if inspect.isfunction(function) and function.__name__ == name else None
        known = torch_signatures.signature(name)
        if call is not None and known is not None:
            assert len(call.args) - 2 == known.positional, name
            compared += 1
    assert compared > 50


def test_an_unknown_number_of_layers_is_said() -> None:
    assert not built("LSTM", (3, 4), {"num_layers": Symbol("int")}).known
    assert built("LSTM", (3, Symbol("int")), {}).known
