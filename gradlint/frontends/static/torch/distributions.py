"""`torch.distributions`: samples are data, reparameterised samples and densities carry the gradient."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.record.emission import Output, begin, outside, result
from gradlint.frontends.static.torch import results as torch_results
from gradlint.frontends.static.values import Arguments, Foreign, Sequence, Tensor, Value
from gradlint.graph import Passage, Reason, ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

PACKAGE = "torch.distributions."
BROADCASTING = frozenset(
    """Bernoulli Beta Binomial Cauchy ContinuousBernoulli FisherSnedecor Gamma Geometric Gumbel HalfCauchy HalfNormal
    Kumaraswamy Laplace LogNormal NegativeBinomial Normal Pareto Poisson RelaxedBernoulli StudentT Uniform VonMises
    Weibull""".split()
)
"""Distributions of numbers, whose constructors bring their parameters to one shape."""

COUNTS = frozenset({"Categorical"})
FLOWING = frozenset("rsample log_prob entropy cdf icdf perplexity expand base_dist rsample_with_log_prob".split())
PROPERTIES = frozenset(
    "mean variance stddev mode probs logits loc scale covariance_matrix scale_tril concentration".split()
)
CUT = frozenset({"sample", "sample_n"})


def call(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A distribution is made, or two are compared; None for anything else."""
    if not name.startswith(PACKAGE):
        return None
    last = name.rpartition(".")[2]
    if last == "kl_divergence":
        return _flowing(run, "kl_divergence", args, at)
    if not last[:1].isupper():
        return None
    state = {str(position): value for position, value in enumerate(args.positional)} | dict(args.named)
    if last in BROADCASTING:
        state |= _broadcast(run, state, at)
    return Foreign(PACKAGE + last, {}, state, run.frame(at))


def _broadcast(run: Run, state: dict[str, Value], at: ast.AST) -> dict[str, Value]:
    """The parameters of a distribution, brought to one shape as its constructor does."""
    given = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    made = torch_results.op(run, "broadcast_tensors", Arguments(tuple(given.values())), at) if given else None
    return dict(zip(given, made.items, strict=True)) if isinstance(made, Sequence) else {}


def _flowing(run: Run, native: str, args: Arguments, at: ast.AST) -> Value:
    """A value with open edges from all tensors inside of the arguments, off the graph where the mode says so."""
    if run.grad_enabled:
        return outside(run, native, run.nodes_in(tuple(args)), at, (Passage.FLOWS, None), ValueKind.TENSOR)
    return result(run, begin(run, native, args, at), Output())


def method(run: Run, receiver: Foreign, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A method of a distribution; None for any other object's."""
    if not receiver.name.startswith(PACKAGE):
        return None
    if name in CUT:
        fact = (Passage.BLOCKED, Reason.NON_DIFFERENTIABLE)
        dtype = "int64" if receiver.name.removeprefix(PACKAGE) in COUNTS else None
        return outside(run, "sample", run.nodes_in(receiver), at, fact, ValueKind.TENSOR, dtype)
    if name in FLOWING:
        return _flowing(run, name, Arguments((receiver, *args.positional), args.named), at)
    return None


def attribute(run: Run, receiver: Foreign, name: str, at: ast.AST) -> Value | None:
    """A parameter or a moment of a distribution; None for any other object's."""
    if not receiver.name.startswith(PACKAGE) or name not in PROPERTIES:
        return None
    inside = [value for value in receiver.state.values() if isinstance(value, Tensor)]
    return _flowing(run, name, Arguments((receiver,)), at) if inside else None
