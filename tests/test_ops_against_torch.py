"""Compares every op fact with torch's autograd, over the sample inputs of torch's own operator database.

For each entry, each floating input alone is made to require a gradient; each output is then differentiated through a
random projection. What is observed for an (input, output) pair over all samples has to agree with the fact.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

from gradlint.ops import OpFacts, lookup, table  # noqa: E402

SAMPLES = 24
MINIMUM_COVERAGE = 0.95
FIRST_CHOICE_DTYPES = (torch.float64, torch.float32, torch.complex128, torch.int64, torch.int32, torch.bool)
CUDA_KERNEL = "compiles a CUDA kernel"
FLOAT8 = "takes float8 only, which autograd does not support"
LEFT_OUT = {
    "histogramdd": "hands the bin edges that it was given back as an output",
    "jiterator_2inputs_2outputs": CUDA_KERNEL,
    "jiterator_4inputs_with_extra_args": CUDA_KERNEL,
    "jiterator_binary": CUDA_KERNEL,
    "jiterator_binary_return_by_ref": CUDA_KERNEL,
    "jiterator_unary": CUDA_KERNEL,
    "linalg.norm.subgradients_at_zero": "its samples are chosen where the subgradient is zero",
    "linalg.pinv.singular": "a product of two matrices stands before the op",
    "nn.functional.batch_norm.without_cudnn": "supports no dtype on the CPU",
    "nn.functional.silu.complex": "torch has no backward kernel for complex silu on the CPU",
    "torch._scaled_mm": FLOAT8,
    "torch._scaled_mm_v2": FLOAT8,
    "torch.ops.aten._efficient_attention_forward": "supports no dtype on the CPU",
    "torch.ops.aten._flash_attention_forward": "supports no dtype on the CPU",
}
INPLACE_ONLY = ("cauchy", "exponential", "geometric", "log_normal", "uniform")
# Where the database overwrites every row, or has the degenerate norm p = 0 first.
EXTRA_SAMPLES: dict[str, list[dict[int | str, Any]]] = {
    "index_copy": [{0: torch.ones(3, 2), 1: 0, 2: torch.tensor([1]), 3: torch.ones(1, 2)}],
    "cdist": [{0: torch.eye(3), 1: torch.ones(2, 3)}],
}
Slot = int | str


@dataclass
class Seen:
    """How many samples of one entry ran, and for every (input, output, fact) the counts of what autograd did."""

    samples: int = 0
    pairs: dict[tuple[Slot, int, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def entry_name(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def may_require_grad(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex


def tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        yield from itertools.chain.from_iterable(map(tensors, value))


def replaced(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(replaced(item, change) for item in value)
    return value


def slots(sample: Any) -> dict[Slot, Any]:
    return dict(enumerate((sample.input, *sample.args))) | dict(sample.kwargs)


def copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone()


def call(op: Any, values: dict[Slot, Any]) -> Any:
    positional = [value for slot, value in values.items() if isinstance(slot, int)]
    return op.op(*positional, **{slot: value for slot, value in values.items() if isinstance(slot, str)})


def valid(op: Any, values: dict[Slot, Any]) -> bool:
    """Whether the sample runs at all on copies of its tensors (as_strided needs the original storage)."""
    try:
        call(op, {slot: replaced(value, copied) for slot, value in values.items()})
    except Exception:
        return False
    return True


def outputs(result: Any) -> list[list[torch.Tensor]]:
    """The tensors of each output; one empty output where the result is no tensor."""
    if isinstance(result, torch.Tensor):
        return [[result]]
    if isinstance(result, list | tuple):
        return [list(tensors(item)) for item in result]
    return [[]]


def gradient(output: torch.Tensor, leaves: list[torch.Tensor]) -> str:
    """How the gradient of a random projection of `output` arrives at `leaves`; empty when there is nothing to see."""
    if not output.requires_grad:
        return "blocked"
    dense = output.to_dense() if output.layout != torch.strided else output
    # A projection of |z| does not depend on the phase, which eigenvectors leave open.
    real = dense.abs() if dense.is_complex() else dense
    try:
        grads = torch.autograd.grad(real, leaves, torch.randn_like(real), retain_graph=True, allow_unused=True)
    except RuntimeError:
        return "" if real.numel() == 0 else "raises"
    return arrival([grad for grad in grads if grad is not None], real.numel())


def arrival(grads: list[torch.Tensor], elements: int) -> str:
    if not grads:
        return "blocked"
    if elements == 0 or not any(grad.numel() for grad in grads):
        return ""
    return "flows" if any(grad.to_dense().count_nonzero() for grad in grads) else "zero"


def observe(op: Any, values: dict[Slot, Any], slot: Slot) -> Iterator[tuple[int, str]]:
    """(output, flow) for every output, with only the input at `slot` requiring a gradient."""
    leaves: list[torch.Tensor] = []

    def lifted(tensor: torch.Tensor) -> torch.Tensor:
        if not may_require_grad(tensor.dtype):
            return copied(tensor)
        leaves.append(copied(tensor).requires_grad_())
        return leaves[-1].clone()  # not a leaf, so that in-place ops may write to it

    try:
        result = call(op, {key: replaced(value, lifted if key == slot else copied) for key, value in values.items()})
    except RuntimeError:
        yield 0, "raises"
        return
    for index, group in enumerate(outputs(result)):
        yield from ((index, gradient(output, leaves)) for output in group or [torch.empty(0)])


def variadic(values: dict[Slot, Any]) -> dict[Slot, Any]:
    """One slot for each tensor of a list argument: the call `meshgrid(a, b)` instead of `meshgrid([a, b])`."""
    if not isinstance(values[0], list | tuple):
        return values
    return dict(enumerate(values[0])) | {slot: value for slot, value in values.items() if slot != 0}


def sampled(op: Any) -> Iterator[dict[Slot, Any]]:
    dtype = next(dtype for dtype in FIRST_CHOICE_DTYPES if dtype in op.dtypes)
    # `op.sample_inputs` would walk the whole call stack for every op
    samples = op.sample_inputs_func(op, "cpu", dtype, op.supports_autograd and may_require_grad(dtype))
    telling = (
        values for values in map(slots, samples) if all(tensor.numel() for tensor in tensors(list(values.values())))
    )
    yield from itertools.islice(telling, SAMPLES)
    yield from EXTRA_SAMPLES.get(op.name, ())


def survey(op: Any, facts: OpFacts, samples: Iterable[dict[Slot, Any]]) -> Seen:
    """Observes every (input, output) pair of an entry over its samples."""
    seen = Seen()
    for values in samples:
        if valid(op, values):
            seen.samples += 1
            record(seen, op, facts, variadic(values) if facts.aligned else values)
    if seen.samples and not seen.pairs:
        # No floating inputs: torch itself refuses to have them require a gradient.
        seen.pairs[0, 0, facts.flow()]["blocked"] += 1
    return seen


def record(seen: Seen, op: Any, facts: OpFacts, values: dict[Slot, Any]) -> None:
    given = [slot for slot, value in values.items() if value is not None]
    for slot in [
        slot for slot, value in values.items() if any(may_require_grad(tensor.dtype) for tensor in tensors(value))
    ]:
        for output, flow in observe(op, values, slot):
            seen.pairs[slot, output, facts.flow(slot, output, given)][flow] += 1


def agrees(fact: str, flows: set[str]) -> bool:
    """Whether a fact stands against what autograd did on all samples.

    A gradient that flows may be zero or absent on some samples (relu of negative numbers), one that raises may do
    so for some arguments only (running statistics in evaluation mode). The others have to hold on every sample.
    """
    if fact == "flows":
        return "flows" in flows and "raises" not in flows
    return "raises" in flows if fact == "raises" else flows == {fact}


def disagreements(facts: OpFacts, seen: Seen) -> Iterator[str]:
    """One line for every pair on which fact and autograd differ."""
    for (slot, output, fact), counts in seen.pairs.items():
        counts.pop("", None)
        if (slot, output) in facts.nondifferentiable_pairs and counts.keys() == {"zero"}:
            continue
        if counts and not agrees(fact, set(counts)):
            yield f"input {slot} -> output {output}: {fact} in the table, {dict(counts)} in torch"


def native_name(op: Any) -> str:
    return f"{op.name}_" if op.name in INPLACE_ONLY else str(op.name)


ENTRIES = {entry_name(op): op for op in op_db}


@pytest.fixture(autouse=True)
def _one_thread_and_one_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(ENTRIES.keys() - LEFT_OUT))
def test_agrees_with_autograd(name: str) -> None:
    op = ENTRIES[name]
    facts = lookup("torch", native_name(op))
    assert facts is not None
    seen = survey(op, facts, sampled(op))
    compared = [pair for pair, counts in seen.pairs.items() if any(counts[flow] for flow in counts if flow)]
    assert compared
    assert list(disagreements(facts, seen)) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("nn.functional.relu", {"zero": True}),
        ("nn.functional.relu", {"differentiable": False, "derivative_bound": None}),
        ("nn.functional.relu", {"raises": True}),
        ("round", {"zero": False}),
        ("argmax", {"differentiable": True}),
        ("topk", {"nondifferentiable_outputs": ()}),
        ("topk", {"nondifferentiable_outputs": (0, 1)}),
        ("floor_divide", {"raises": False}),
        ("copysign", {"zero_inputs": ()}),
        ("nn.functional.batch_norm", {"raising_inputs": ()}),
        ("div.floor_rounding", {"zero_when": ()}),
        ("meshgrid.variadic_tensors", {"aligned": False}),
        ("nn.functional.multi_head_attention_forward", {"nondifferentiable_pairs": ()}),
        ("bitwise_and", {"differentiable": True}),
    ],
)
def test_a_wrong_fact_is_noticed(name: str, wrong: dict[str, Any]) -> None:
    op = ENTRIES[name]
    facts = lookup("torch", native_name(op))
    assert facts is not None
    twisted = facts.model_copy(update=wrong)
    assert list(disagreements(twisted, survey(op, twisted, sampled(op))))


def test_coverage_of_the_operator_database() -> None:
    stale = LEFT_OUT.keys() - ENTRIES.keys()
    left_out = "\n".join(f"{name}: {reason}" for name, reason in sorted(LEFT_OUT.items()))
    assert not stale
    assert all(LEFT_OUT.values())
    assert len(LEFT_OUT) <= (1 - MINIMUM_COVERAGE) * len(ENTRIES), left_out


@pytest.mark.parametrize("op", [op for op in table().values() if op.zero_only_real], ids=lambda op: op.name)
def test_complex_inputs_of_ops_that_are_zero_for_real_ones_only(op: OpFacts) -> None:
    leaf = torch.randn(5, dtype=torch.complex128, requires_grad=True)
    result = getattr(torch, op.torch[0])(leaf)
    assert gradient(result.real if result.is_complex() else result, [leaf]) == "flows"
