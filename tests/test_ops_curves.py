"""Measures the curves of scalar ops: bound of the derivative, range, saturation."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

from gradlint.ops import Kind, OpFacts, table

torch = pytest.importorskip("torch")

EDGE, GRID = 30.0, 600_001  # points 1e-4 apart
ROUNDING = 1e-6
SATURATED = 0.01


def scalar_function(op: OpFacts) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The elementwise function of one tensor that an op is with default arguments, if it is one."""
    homes = (torch.nn.functional, torch, torch.special)
    function = next((getattr(home, name) for home in homes for name in op.torch if hasattr(home, name)), None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an implicit dim
            equal, mixed = (function(torch.tensor(points)) for points in ([0.3, 0.3], [0.3, 0.7]))
        return function if mixed.shape == (2,) and equal[0] == mixed[0] else None
    except (TypeError, RuntimeError, AttributeError, UserWarning):
        return None


def on_grid(function: Callable[[torch.Tensor], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and |slopes| of a scalar function on a fine grid, outside of its domain left out."""
    leaf = torch.linspace(-EDGE, EDGE, GRID, dtype=torch.float64, requires_grad=True)
    value = function(leaf)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    inside = value.isfinite() & slope.isfinite()
    return value[inside].detach(), slope[inside].abs()


SCALAR_KINDS = (Kind.ACTIVATION, Kind.ELEMENTWISE, Kind.SPECIAL)
SCALAR = {op.name: curve for op in table().values() if op.kind in SCALAR_KINDS and (curve := scalar_function(op))}
BOUNDED = [name for name in SCALAR if table()[name].derivative_bound is not None]


def test_the_usual_activations_are_measured() -> None:
    assert set(BOUNDED) >= {
        "relu",
        "sigmoid",
        "tanh",
        "gelu",
        "silu",
        "elu",
        "selu",
        "softplus",
        "hardtanh",
        "hardswish",
    }


@pytest.mark.parametrize("name", BOUNDED)
def test_derivative_bound_is_the_supremum(name: str) -> None:
    _, slope = on_grid(SCALAR[name])
    assert float(slope.max()) == pytest.approx(table()[name].derivative_bound, rel=1e-4)


@pytest.mark.parametrize("name", [name for name in SCALAR if table()[name].range])
def test_range_holds(name: str) -> None:
    low, high = table()[name].range
    value, _ = on_grid(SCALAR[name])
    assert low is None or value.min() >= low - ROUNDING
    assert high is None or value.max() <= high + ROUNDING
    assert not table()[name].positive or value.min() >= 0


@pytest.mark.parametrize("name", BOUNDED)
def test_saturating_means_no_slope_at_both_ends(name: str) -> None:
    _, slope = on_grid(SCALAR[name])
    ends = torch.stack([slope[0], slope[-1]])
    assert table()[name].saturating == bool((ends < SATURATED * slope.max()).all())


@pytest.mark.parametrize("function", [torch.softmax, torch.nn.functional.softmin], ids=["softmax", "softmin"])
def test_softmax_bound_is_the_spectral_norm_of_its_jacobian(function: Callable[..., torch.Tensor]) -> None:
    points = [torch.zeros(2), *torch.randn(20, 4)]
    jacobians = [torch.autograd.functional.jacobian(lambda x: function(x, dim=0), point) for point in points]
    norms = [float(torch.linalg.matrix_norm(jacobian, 2)) for jacobian in jacobians]
    assert max(norms) == pytest.approx(table()[function.__name__].derivative_bound)
