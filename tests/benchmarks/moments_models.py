"""The models on which predicted gradients are compared with measured ones.

The untuned ones were listed before any of them was looked at, and the propagation was not changed because of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

SETS = ("tuned", "untuned")
ALEXNET = 128
"""AlexNet's pools leave nothing of smaller images."""

BATCH, SIDE, WIDTH, DEPTH, TOKENS = 8, 64, 64, 12, 16

TUNED = {
    "torchvision": """alexnet resnet18 resnet34 vgg11 vgg11_bn vgg13 squeezenet1_0 mobilenet_v2 densenet121
    shufflenet_v2_x1_0 efficientnet_b0 efficientnet_b1 mobilenet_v3_small googlenet mnasnet0_5 mnasnet1_0 swin_t
    convnext_tiny regnet_y_400mf regnet_x_800mf vit_b_32""",
    "timm": """vit_tiny_patch16_224 mixer_b16_224 resnet26 resnest14d seresnet18 botnet26t_256 coatnet_nano_rw_224
    tresnet_m efficientnet_lite0 selecsls42 hardcorenas_a fbnetc_100 lcnet_050 tinynet_e mobilenetv4_conv_small
    convnextv2_atto darknet17 resnetv2_18 legacy_xception ese_vovnet19b_dw""",
    "transformers": """bert gpt2 llama t5 vit opt gpt_neox mistral distilbert bart qwen2 albert electra roberta deit
    clip_vision_model wav2vec2 gemma phi bloom""",
    "plain": "relu sigmoid tanh gelu linear",
    "recurrent": "lstm gru",
}
UNTUNED = {
    "torchvision": """resnet50 resnext50_32x4d mobilenet_v3_large efficientnet_v2_s shufflenet_v2_x0_5 squeezenet1_1
    vgg16_bn swin_v2_t""",
    "timm": """deit_tiny_patch16_224 poolformer_s12 cait_xxs24_224 edgenext_xx_small mobilevit_xxs ghostnet_100
    res2net50_14w_8s skresnet18 resnetv2_50 dla34 xcit_nano_12_p16_224 gmlp_s16_224 resmlp_12_224 rexnet_100
    cspresnet50 repvgg_a0 pit_ti_224 levit_128s efficientformer_l1 hrnet_w18_small""",
    "transformers": """xlnet mpnet convbert gptj gpt_neo falcon qwen3 olmo stablelm cohere beit dinov2 hubert whisper
    pegasus mixtral codegen layoutlm swinv2 bigbird_pegasus""",
    "plain": "silu selu elu softplus mish",
    "recurrent": "rnn",
}
"""By family: names of published models, activations of plain nets, and kinds of recurrent layers."""

INITIALISERS = ("default", "xavier", "kaiming", "orthogonal", "normal")
NORMS = ("none", "batch", "layer")


@dataclass(frozen=True)
class Case:
    """A model by name, and how to build it with inputs anew."""

    name: str
    build: Callable[[], tuple[Any, Any]]


def cases(which: str) -> Iterator[Case]:
    """All cases of a set."""
    families = TUNED if which == "tuned" else UNTUNED
    makers = {"torchvision": torchvision, "timm": timm, "transformers": transformers}
    for family, names in families.items():
        for name in names.split():
            if family in makers:
                yield Case(f"{family}:{name}", partial(makers[family], name))
            else:
                yield from plain(name) if family == "plain" else recurrent(name)


def plain(activation: str) -> Iterator[Case]:
    """Deep nets of one activation: without a norm under several initialisers, and with one."""
    for initialiser in INITIALISERS:
        yield Case(f"plain:{activation}-none-{initialiser}", partial(net, activation, "none", initialiser))
    for norm in NORMS[1:]:
        yield Case(f"plain:{activation}-{norm}-default", partial(net, activation, norm, "default"))


def net(activation: str, norm: str, initialiser: str) -> tuple[Any, Any]:
    """Linear maps of one width with a norm and an activation behind each."""
    import torch
    from torch import nn

    norms = {"none": (), "batch": (nn.BatchNorm1d,), "layer": (nn.LayerNorm,)}[norm]
    act = (ACTIVATIONS()[activation],) if activation != "linear" else ()
    layers: list[Any] = []
    for _ in range(DEPTH):
        layers += [nn.Linear(WIDTH, WIDTH), *(kind(WIDTH) for kind in norms), *(kind() for kind in act)]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, BATCH))
    fills: dict[str, Any] = {
        "xavier": nn.init.xavier_normal_,
        "kaiming": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
        "orthogonal": nn.init.orthogonal_,
        "normal": partial(nn.init.normal_, std=0.02),
    }
    for part in model if initialiser in fills else ():
        if isinstance(part, nn.Linear):
            fills[initialiser](part.weight)
    return model, (torch.randn(4 * BATCH, WIDTH),)


def ACTIVATIONS() -> dict[str, Any]:  # noqa: N802
    """The activation modules by name."""
    from torch import nn

    return {
        "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "selu": nn.SELU,
        "elu": nn.ELU, "softplus": nn.Softplus, "mish": nn.Mish,
    }  # fmt: skip


def recurrent(kind: str) -> Iterator[Case]:
    """One to three layers, one way and two ways."""
    for layers, both in itertools.product((1, 3), (False, True)):
        yield Case(f"recurrent:{kind}-{layers}{'-both' if both else ''}", partial(sequence, kind, layers, both))


def sequence(kind: str, layers: int, both: bool) -> tuple[Any, Any]:
    """A recurrent network with a linear map at its end."""
    import torch
    from torch import nn

    maker = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind]

    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = maker(WIDTH, WIDTH, num_layers=layers, bidirectional=both, batch_first=True)
            self.head = nn.Linear(WIDTH * (1 + both), BATCH)

        def forward(self, x: Any) -> Any:
            return self.head(self.layer(x)[0])

    return Sequence(), (torch.randn(BATCH, TOKENS, WIDTH),)


@cache
def prepared() -> None:
    """Imports the libraries, once."""
    from tests.benchmarks.zoo_models import prepare

    prepare("transformers")


def torchvision(name: str) -> tuple[Any, Any]:
    """A classifier of torchvision."""
    import inspect

    import torch

    prepared()
    from torchvision import models

    builder = models.get_model_builder(name)
    options: dict[str, Any] = {"weights": None}
    if name.startswith("vit"):
        options["image_size"] = SIDE
    if "init_weights" in inspect.signature(getattr(builder, "__wrapped__", builder)).parameters or name == "googlenet":
        options["init_weights"] = True
    size = ALEXNET if name == "alexnet" else SIDE
    return builder(**options), (torch.randn(BATCH, 3, size, size),)


def timm(name: str) -> tuple[Any, Any]:
    """A model of timm; its images are small where its architecture allows that."""
    import torch

    prepared()
    import timm as library

    try:
        model: Any = library.create_model(name, pretrained=False, img_size=SIDE)
    except TypeError:
        model = library.create_model(name, pretrained=False)
    size = SIDE if _accepts(model) else model.default_cfg["input_size"][-1]
    return model, (torch.randn(BATCH if size == SIDE else 2, 3, size, size),)


def _accepts(model: Any) -> bool:
    """Whether a model takes small images."""
    import torch

    state = torch.get_rng_state()
    training = model.training
    try:
        with torch.no_grad(), torch._C.DisableTorchFunction():
            model.eval()(torch.zeros(1, 3, SIDE, SIDE))
        return True
    except (RuntimeError, AssertionError, ValueError):
        return False
    finally:
        model.train(training)
        torch.set_rng_state(state)


def transformers(name: str) -> tuple[Any, Any]:
    """A small model of an architecture, with the first inputs that it accepts."""

    from tests.benchmarks import zoo_models
    from tests.benchmarks.tiny_configs import DEGREES, shrunken

    prepared()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    reasons: list[Exception] = []
    for table in DEGREES[:2]:
        try:
            model = zoo_models._from_config(name, partial(shrunken, CONFIG_MAPPING[name], table))
            config = shrunken(CONFIG_MAPPING[name], table)
            for inputs in zoo_models.guesses(model, config):
                if _runs(model, inputs, reasons):
                    return model, inputs
        except Exception as problem:
            reasons.append(problem)
    raise RuntimeError(f"no inputs fit {name}: {reasons[-1:]}")


def _runs(model: Any, inputs: Any, reasons: list[Exception]) -> bool:
    import torch

    try:
        with torch.no_grad(), torch._C.DisableTorchFunction():
            model(**inputs)
        return True
    except Exception as problem:
        reasons.append(problem)
        return False
