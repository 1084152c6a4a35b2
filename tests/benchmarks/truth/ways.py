"""Ways of losing a gradient and harmless look-alikes, as expressions and statements on one value `{t}`."""

from __future__ import annotations

from dataclasses import dataclass

NUMPY = "import numpy as np"
MATH = "import math"
DISTRIBUTIONS = "from torch import distributions"
CHECKPOINT = "from torch.utils.checkpoint import checkpoint"


@dataclass(frozen=True)
class Form:
    """One spelling of a way: what replaces the value, what must stand before the program's own code.

    `dims` and `last` are the least number of dimensions and the least size of the last axis that it needs; `scalar`
    wants a value without dimensions.
    """

    text: str
    imports: tuple[str, ...] = ()
    prelude: str = ""
    dims: int = 0
    last: int = 1
    scalar: bool = False


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the label of an injection depends on.

    `zero`: the gradient is zero rather than missing, so that the label is what a detach at the same place starves.
    `frees`: nothing is trainable afterwards, which is the loss. `hides`: parameters leave `named_parameters()`.
    `soft`: a warning is enough. `tolerated`: rules that may fire at the place even where other paths keep every
    parameter fed, because what is written there is a fault by itself.
    """

    harmless: bool = False
    zero: bool = False
    frees: bool = False
    hides: bool = False
    soft: bool = False
    tolerated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Way(Traits):
    """A family of forms under one name; with `statement` they are statements behind an assignment to `{t}`."""

    name: str
    forms: tuple[Form, ...]
    statement: bool = False


def _forms(*texts: str, imports: tuple[str, ...] = (), dims: int = 0, last: int = 1) -> tuple[Form, ...]:
    return tuple(Form(text, imports, dims=dims, last=last) for text in texts)


_NO_BACKWARD = """class Passing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value * 1.0

    @staticmethod
    def backward(ctx, grad):
        return None


"""

_ZERO_BACKWARD = """class Silent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        ctx.save_for_backward(value)
        return value.clone()

    @staticmethod
    def backward(ctx, grad):
        (value,) = ctx.saved_tensors
        return torch.zeros_like(value)


"""

_IN_PLACE_DATA = """def copied(value):
    result = torch.zeros_like(value)
    result.data.copy_(value)
    return result


"""

_SCALARS_ONE_BY_ONE = """def refilled(value):
    result = torch.zeros(value.shape)
    for index, number in enumerate(value.flatten().tolist()):
        result.view(-1)[index] = number
    return result


"""

_FUNCTION = ("broken-autograd-function",)

CUTS = (
    Way("detach", _forms("{t}.detach()", "torch.detach({t})", "{t}.detach().clone()", "{t}.clone().detach()")),
    Way("data", (*_forms("{t}.data", "{t}.data.clone()"), Form("copied({t})", prelude=_IN_PLACE_DATA))),
    Way(
        "numpy-round-trip",
        _forms(
            "torch.from_numpy({t}.detach().numpy())",
            "torch.tensor({t}.detach().cpu().numpy())",
            "torch.as_tensor({t}.data.numpy())",
            imports=(),
        ),
    ),
    Way(
        "numpy-computation",
        _forms(
            "torch.from_numpy(np.tanh({t}.detach().numpy()))",
            "torch.tensor(np.clip({t}.detach().numpy(), -3.0, 3.0))",
            "torch.as_tensor(np.asarray({t}.detach()) * np.float32(0.5))",
            imports=(NUMPY,),
        ),
    ),
    Way(
        "item",
        (
            Form("torch.tensor({t}.item())", scalar=True),
            Form("torch.full((), float({t}))", scalar=True),
            Form("torch.ones(()) * {t}.item()", scalar=True),
            Form("float({t})", scalar=True),
        ),
    ),
    Way(
        "math-on-scalars",
        (
            Form("torch.tensor(math.tanh({t}.item()))", (MATH,), scalar=True),
            Form("torch.tensor([math.tanh(v) for v in {t}.flatten().tolist()]).view({t}.shape)", (MATH,), dims=1),
        ),
    ),
    Way("tolist", (*_forms("torch.tensor({t}.tolist())", dims=1), Form("refilled({t})", prelude=_SCALARS_ONE_BY_ONE))),
    Way(
        "rewrapped-tensor",
        _forms("torch.tensor({t})", "torch.asarray({t}.detach().tolist())", "torch.FloatTensor({t}.tolist())", dims=1),
    ),
    Way("rewrapped-list", _forms("torch.tensor([float(v) for v in {t}])", "torch.tensor(list({t}))", dims=1)),
    Way(
        "argmax-one-hot",
        _forms(
            "F.one_hot({t}.argmax(dim=-1), {t}.shape[-1]).float()",
            "torch.eye({t}.shape[-1])[{t}.argmax(-1)]",
            dims=2,
            last=2,
        ),
    ),
    Way(
        "comparison-mask",
        _forms("({t} > 0).float()", "torch.where({t} > 0, 1.0, -1.0)", "{t}.gt(0.1).to(torch.float32)"),
    ),
    Way(
        "indices-as-values",
        _forms(
            "{t}.topk({t}.shape[-1], dim=-1).indices.float()",
            "{t}.argsort(dim=-1).float()",
            "{t}.sort(dim=-1)[1].float()",
            dims=1,
            last=2,
        ),
    ),
    Way(
        "integer-cast",
        _forms("{t}.long().float()", "{t}.to(torch.int64).float()", "{t}.int() * 1.0", "({t} * 10).byte().float()"),
    ),
    Way(
        "rounding",
        _forms("torch.round({t})", "{t}.floor()", "torch.sign({t})", "{t}.ceil()", "torch.trunc({t})"),
        zero=True,
    ),
    Way("times-zero", _forms("({t} * 0.0)", "(0 * {t})", "torch.mul({t}, 0)"), zero=True),
    Way(
        "function-without-gradient", (Form("Passing.apply({t})", prelude=_NO_BACKWARD),), zero=True, tolerated=_FUNCTION
    ),
    Way("function-with-zeros", (Form("Silent.apply({t})", prelude=_ZERO_BACKWARD),), zero=True, tolerated=_FUNCTION),
    Way(
        "masked-break",
        _forms(
            "{t}.detach().requires_grad_(True)",
            "torch.tensor({t}.detach().tolist(), requires_grad=True)",
            "torch.autograd.Variable({t}.data, requires_grad=True)",
            "{t}.detach().clone().requires_grad_()",
        ),
        tolerated=("masked-gradient-break",),
    ),
    Way(
        "parameter-in-forward",
        _forms("nn.Parameter({t})", "nn.Parameter({t}.detach().clone())"),
        tolerated=("unregistered-parameter", "rewrapped-tensor"),
    ),
    Way(
        "sample-not-rsample",
        _forms("distributions.Normal({t}, 0.1).sample()", imports=(DISTRIBUTIONS,)),
    ),
    Way("bucketised", _forms("torch.bucketize({t}, torch.linspace(-2, 2, 9)).float()")),
    Way("no-grad-lambda", _forms("torch.no_grad()(lambda value: value * 1.0)({t})")),
)

_STRAIGHT_THROUGH = """class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return torch.round(value)

    @staticmethod
    def backward(ctx, grad):
        return grad


"""

_REVERSED = """class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.view_as(value)

    @staticmethod
    def backward(ctx, grad):
        return -0.5 * grad


"""

_PLOT = """def histogram(values):
    counts, edges = np.histogram(values.detach().cpu().numpy(), bins=4)
    return list(zip(edges.tolist(), counts.tolist(), strict=False))


"""

LOOKALIKES = (
    Way(
        "straight-through",
        (
            *_forms("{t} + (torch.round({t}) - {t}).detach()", "({t}.sign() - {t}).detach() + {t}"),
            Form("Rounded.apply({t})", prelude=_STRAIGHT_THROUGH),
        ),
        harmless=True,
    ),
    Way("gradient-reversal", (Form("Reversed.apply({t})", prelude=_REVERSED),), harmless=True),
    Way("one-branch-stopped", _forms("0.5 * {t} + 0.5 * {t}.detach()", "{t} * {t}.detach().sigmoid()"), harmless=True),
    Way(
        "detached-shift",
        _forms("{t} - {t}.detach().amax(dim=-1, keepdim=True)", "{t} - {t}.data.mean()", dims=1),
        harmless=True,
    ),
    Way(
        "mask-on-the-side",
        _forms(
            "{t} * ({t} > -0.5).float()",
            "torch.where({t} > 0, {t}, 0.1 * {t})",
            "{t}.masked_fill({t} < -3.0, -3.0)",
        ),
        harmless=True,
    ),
    Way(
        "selection-by-index",
        _forms(
            "{t}.gather(-1, {t}.argsort(dim=-1))",
            "{t}.topk({t}.shape[-1], dim=-1).values",
            "{t}[..., torch.arange({t}.shape[-1])]",
            "{t}.sort(dim=-1)[0]",
            dims=1,
        ),
        harmless=True,
    ),
    Way(
        "constant-tensor",
        _forms("{t} * torch.tensor(1.5)", "{t} + torch.tensor(np.float32(0.1))", imports=(NUMPY,)),
        harmless=True,
    ),
    Way(
        "clamp", _forms("{t}.clamp(-5.0, 5.0)", "torch.clip({t}, max=4.0)", "F.hardtanh({t}, -4.0, 4.0)"), harmless=True
    ),
    Way(
        "in-place-on-copy",
        _forms("F.elu_({t}.clone())", "{t}.clone().mul_(1.01)", "({t} * 1.0).add_(0.1)"),
        harmless=True,
    ),
    Way(
        "checkpoint",
        _forms(
            "checkpoint(torch.tanh, {t}, use_reentrant=False)",
            "checkpoint(torch.tanh, {t}, use_reentrant=True)",
            imports=(CHECKPOINT,),
        ),
        harmless=True,
    ),
    Way(
        "numpy-on-shapes",
        _forms(
            "{t} / float(np.sqrt({t}.shape[-1]))", "{t} * math.log(1.0 + {t}.shape[0])", imports=(NUMPY, MATH), dims=1
        ),
        harmless=True,
    ),
    Way(
        "item-as-scale",
        _forms("{t} / (1.0 + {t}.abs().max().item())", "{t} / (1.0 + float({t}.detach().norm()))"),
        harmless=True,
    ),
    Way(
        "float-casts",
        _forms("{t}.double().float()", "{t}.to(torch.bfloat16).to({t}.dtype)", "{t}.type_as({t})"),
        harmless=True,
    ),
    Way("rsample", _forms("distributions.Normal({t}, 0.1).rsample()", imports=(DISTRIBUTIONS,)), harmless=True),
    Way(
        "copied-into-buffer",
        _forms("torch.zeros_like({t}).copy_({t})", "torch.empty({t}.shape).copy_({t})"),
        harmless=True,
    ),
    Way("nan-to-num", _forms("torch.nan_to_num({t})", "{t}.contiguous().view({t}.shape)"), harmless=True),
    Way(
        "logged-copy",
        _forms("seen = {t}.detach().abs().mean()", "seen = [{t}.detach().clone()]", "seen = {t}.data.std()"),
        harmless=True,
        statement=True,
    ),
    Way(
        "logged-number",
        _forms("seen = {t}.mean().item()", 'print(f"{{t}.mean().item():.3f}")', "seen = float({t}.sum())"),
        harmless=True,
        statement=True,
    ),
    Way(
        "metric-without-gradient",
        _forms(
            "with torch.no_grad():\n    positive = ({t} > 0).float().mean()",
            "with torch.inference_mode():\n    norm = {t}.pow(2).sum().sqrt()",
        ),
        harmless=True,
        statement=True,
    ),
    Way(
        "argmax-for-accuracy",
        _forms("hits = ({t}.argmax(dim=-1) == 0).float().mean().item()", dims=1),
        harmless=True,
        statement=True,
    ),
    Way("numpy-for-plotting", (Form("drawn = histogram({t})", (NUMPY,), _PLOT),), harmless=True, statement=True),
    Way(
        "assertion-on-values",
        _forms("assert not torch.isnan({t}).any()", 'if {t}.abs().max() > 1e6:\n    raise ValueError("too large")'),
        harmless=True,
        statement=True,
    ),
)
