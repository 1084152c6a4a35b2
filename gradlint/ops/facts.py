"""What is known of one op: its names in every framework and how gradient passes through it."""

from __future__ import annotations

import math
from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Position = Annotated[int, Field(ge=0)] | Name
Flow = Literal["flows", "blocked", "zero", "raises"]
Escape = Literal["", "detach", "numpy", "scalar", "rewrap", "cast"]
FRAMEWORKS = ("torch", "keras", "tensorflow", "jittor", "onnx")


class Kind(StrEnum):
    """The family of an op; each has one data file of the same name."""

    ACTIVATION = "activation"
    ATTENTION = "attention"
    CAST = "cast"
    COMPARISON = "comparison"
    CONV = "conv"
    DETACH = "detach"
    DROPOUT = "dropout"
    ELEMENTWISE = "elementwise"
    EMBEDDING = "embedding"
    ESCAPE = "escape"
    FACTORY = "factory"
    FFT = "fft"
    INDEXING = "indexing"
    JOIN = "join"
    LINALG = "linalg"
    LINEAR = "linear"
    LOSS = "loss"
    METADATA = "metadata"
    NORM = "norm"
    OTHER = "other"
    PADDING = "padding"
    POOL = "pool"
    RANDOM = "random"
    RECURRENT = "recurrent"
    REDUCTION = "reduction"
    RESAMPLING = "resampling"
    RESHAPE = "reshape"
    SCAN = "scan"
    SORT = "sort"
    SPECIAL = "special"


def _bound(value: object) -> object:
    """TOML has no null: an infinite bound stands for none."""
    return None if isinstance(value, float) and math.isinf(value) else value


Bound = Annotated[float | None, BeforeValidator(_bound)]


class OpFacts(BaseModel):
    """The facts of one op, as torch's autograd has them for real floating inputs.

    Inputs are given by their position in torch's signature (0 is the tensor that a method is called on; a list of
    tensors takes one position) or by their keyword; outputs by their position in the returned tuple. Whatever the op,
    an output of integer or Boolean dtype carries no gradient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[Name, Field(description="Canonical name: torch's own without namespace and in-place underscore.")]
    kind: Kind
    torch: tuple[Name, ...] = Field((), description="torch functions, Tensor methods, aten ops and nn modules.")
    keras: tuple[Name, ...] = Field((), description="keras.ops functions, layers, activations and losses.")
    tensorflow: tuple[Name, ...] = Field((), description="TensorFlow functions by their last component.")
    jittor: tuple[Name, ...] = Field((), description="jittor functions, Var methods and nn modules.")
    onnx: tuple[Name, ...] = Field((), description="ONNX op types of the default domain.")

    differentiable: bool = Field(
        True, description="Whether any output stays on the autograd graph (also when its gradient is zero or raises)."
    )
    nondifferentiable_inputs: tuple[Position, ...] = Field((), description="Inputs that silently get no gradient.")
    nondifferentiable_outputs: tuple[int, ...] = Field((), description="Outputs off the graph, such as topk's indices.")
    nondifferentiable_pairs: tuple[tuple[Position, int], ...] = Field(
        (), description="(input, output) pairs with no gradient between them, though both have one elsewhere."
    )
    aligned: bool = Field(False, description="Output i is made of tensor argument i alone (meshgrid).")

    zero: bool = Field(False, description="The gradient exists and is zero almost everywhere (round, sign, bernoulli).")
    zero_inputs: tuple[Position, ...] = Field((), description="Inputs whose gradient is zero almost everywhere.")
    zero_when: tuple[Position, ...] = Field(
        (), description="Arguments that make the gradient zero when given and not None."
    )
    zero_only_real: bool = Field(
        False, description="The zero gradient holds for real inputs; complex ones get their own."
    )

    raises: bool = Field(False, description="Asking for the gradient raises: no derivative is implemented.")
    raising_inputs: tuple[Position, ...] = Field(
        (), description="Inputs that must not require a gradient: with some arguments at least it raises."
    )

    saturating: bool = Field(False, description="Bounded, with a derivative that falls to zero at both ends.")
    derivative_bound: float | None = Field(
        None,
        ge=0,
        description="Supremum of |f'| with default arguments (softmax: spectral norm); None: unbounded or n/a.",
    )
    positive: bool = Field(False, description="Every output element is > 0 in exact arithmetic.")
    range: tuple[Bound, Bound] | None = Field(
        None, description="(infimum, supremum) of the output with default arguments; a None side is unbounded."
    )
    escape: Escape = Field(
        "", description="How the value leaves the autograd graph; as_tensor rewraps all but tensors."
    )

    def flow(self, source: int | str = 0, output: int = 0, given: Collection[int | str] = ()) -> Flow:
        """How gradient passes from one output back to one input; `given` names the arguments that are not None."""
        if self._blocked(source, output):
            return "blocked"
        if self.raises or source in self.raising_inputs:
            return "raises"
        return "zero" if self._zero(source, given) else "flows"

    def native(self, framework: str) -> tuple[str, ...]:
        """The names of this op in one of `FRAMEWORKS`."""
        names: tuple[str, ...] = getattr(self, framework)
        return names

    def _blocked(self, source: int | str, output: int) -> bool:
        apart = self.aligned and isinstance(source, int) and source != output
        lost = source in self.nondifferentiable_inputs or output in self.nondifferentiable_outputs
        return not self.differentiable or lost or apart or (source, output) in self.nondifferentiable_pairs

    def _zero(self, source: int | str, given: Collection[int | str]) -> bool:
        return self.zero or source in self.zero_inputs or any(name in given for name in self.zero_when)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.differentiable and (self.zero or self.raises or self.derivative_bound is not None):
            raise ValueError("an op off the graph has no gradient to be zero, bounded or raised")
        if self.positive and (self.range is None or self.range[0] is None or self.range[0] < 0):
            raise ValueError("a positive op needs a range from 0 upward")
        if self.range and None not in self.range and self.range[0] > self.range[1]:  # type: ignore[operator]
            raise ValueError("the range is upside down")
        return self
