"""The edges that the static front-end draws, against autograd, over the samples of torch's operator database.

Each floating input alone is made to require a gradient; what autograd does for an (input, output) pair on all samples
has to agree with the edge: an edge that is closed must not be one that autograd passes a gradient along.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from gradlint.frontends.static.python.plain_values import lifted  # noqa: E402
from gradlint.frontends.static.record import emission, passages  # noqa: E402
from gradlint.frontends.static.torch import results as torch_results  # noqa: E402
from gradlint.frontends.static.values import NO_NODE, Arguments, Constant, Sequence, Tensor, Value  # noqa: E402
from gradlint.graph import Passage, Reason  # noqa: E402
from tests.static.running import AT, new_run  # noqa: E402
from tests.test_ops_against_torch import (  # noqa: E402
    ENTRIES,
    LEFT_OUT,
    may_require_grad,
    native_name,
    observe,
    sampled,
    tensors,
    valid,
)

SAMPLES = 3
Slot = int | str

CHOSEN = sorted(
    name
    for name in ENTRIES.keys() - LEFT_OUT
    if "." not in name.removeprefix("nn.functional.").removeprefix("linalg.").removeprefix("fft.")
    and not name.startswith(("_", "ops."))
)


def static(value: Any) -> Value:
    if isinstance(value, torch.Tensor):
        return Tensor(NO_NODE, tuple(value.shape), str(value.dtype).removeprefix("torch."), leaf=True)
    if isinstance(value, (list, tuple)):
        return Sequence([static(item) for item in value], "tuple" if isinstance(value, tuple) else "list")
    return lifted(value) if isinstance(value, (bool, int, float, str, type(None))) else Constant(None)


def edges(native: str, values: dict[Slot, Any], wanted: Slot) -> tuple[dict[int, set[Passage]], bool]:
    """The passages from the input at one slot to every output, and whether these outputs are all."""
    run = new_run()
    given = {slot: static(value) for slot, value in values.items()}
    for tensor in run.tensors_in(given[wanted]):
        assert isinstance(tensor, Tensor)
        tensor.state[emission.REQUIRES_GRAD] = True
    positional = tuple(value for slot, value in given.items() if isinstance(slot, int))
    made = torch_results.op(
        run, native, Arguments(positional, {k: v for k, v in given.items() if isinstance(k, str)}), AT
    )
    if isinstance(made, Tensor) and any(made is value for value in given.values()):
        return {0: {Passage.FLOWS}}, True
    outputs = made.items if isinstance(made, Sequence) else [made]
    sources = {run.read(tensor) for tensor in run.tensors_in(given[wanted])}
    found: dict[int, set[Passage]] = defaultdict(set)
    for number, output in enumerate(outputs):
        for source in sources:
            if isinstance(output, Tensor) and (source, output.node) in run.tape.edges:
                found[number].add(run.tape.edges[source, output.node][0])
    return found, not isinstance(made, Sequence) or made.exact


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHOSEN)
def test_no_edge_is_closed_that_autograd_uses(name: str) -> None:
    op = ENTRIES[name]
    native = native_name(op).removeprefix("nn.functional.").replace(".", "_")
    if passages.found(native) is None:
        pytest.skip("not listed under this name")
    count = 0
    for values in sampled(op):
        if count == SAMPLES:
            break
        if not valid(op, values):
            continue
        count += 1
        for slot, value in values.items():
            if any(may_require_grad(tensor.dtype) for tensor in tensors(value)):
                compare(op, native, values, slot)


def compare(op: Any, native: str, values: dict[Slot, Any], slot: Slot) -> None:
    given = Arguments(tuple(static(value) for key, value in values.items() if isinstance(key, int)))
    if torch_results.is_constant(native, given, AT):
        return
    drawn, exact = edges(native, values, slot)
    for output, flow in observe(op, values, slot):
        passed = drawn.get(output if exact else 0, set())
        if flow == "flows":
            assert passed - {Passage.BLOCKED, Passage.ZERO}, (slot, output, passed)


CASES = [
    ("argmax", passages.Read(0, "float32", True), passages.Made(0, "int64"), True, Reason.NON_DIFFERENTIABLE),
    ("long", passages.Read(0, "float32", True), passages.Made(0, "int64"), True, Reason.INTEGER_CAST),
    ("to", passages.Read(0, "float32", True), passages.Made(0, "int64"), True, Reason.INTEGER_CAST),
    ("to", passages.Read(0, "float32", True), passages.Made(0, None), True, None),
    ("detach", passages.Read(0, None, True), passages.Made(0, None), True, Reason.DETACH),
    ("relu", passages.Read(0, "float32", True), passages.Made(0, "float32"), False, Reason.GRAD_DISABLED),
    ("relu", passages.Read(0, "float32", False), passages.Made(0, "float32"), False, None),
    ("relu", passages.Read(0, "int64", None), passages.Made(0, None), True, Reason.NON_DIFFERENTIABLE),
    ("gather", passages.Read(2, None, None), passages.Made(0, None), True, Reason.NON_DIFFERENTIABLE),
    ("topk", passages.Read(0, "float32", True), passages.Made(1, None), True, Reason.NON_DIFFERENTIABLE),
    ("round", passages.Read(0, "float32", True), passages.Made(0, "float32"), True, Reason.ZERO),
]


@pytest.mark.parametrize(("name", "read", "made", "enabled", "reason"), CASES)
def test_reasons(name: str, read: passages.Read, made: passages.Made, enabled: bool, reason: Reason | None) -> None:
    fact = passages.passage(name, read, made, enabled)
    assert fact is not None
    assert fact[1] is reason
    assert (fact[0] in (Passage.FLOWS, Passage.UNKNOWN)) is (reason is None)


def test_an_op_that_is_not_listed_may_pass_a_gradient() -> None:
    assert passages.passage("no_such_op", passages.Read(0, None, True), passages.Made()) == (Passage.UNKNOWN, None)


def test_shape_only_inputs_make_no_edge() -> None:
    assert passages.passage("zeros_like", passages.Read(0, None, True), passages.Made()) is None
    assert passages.passage("copy_", passages.Read(0, None, True), passages.Made()) is None
