"""A custom autograd function has no backward, or one that does not belong to its forward.

autograd trusts what `backward` returns. None or zeros stop the gradient without a word, a wrong number of gradients
raises, and a wrong derivative trains a wrong model. gradlint calls the function in double precision and compares its
gradient with central differences. Gradient reversal, clipping and straight-through functions disagree with them on
purpose and are let be.

Bad:

    ```python
    import torch
    from torch import nn


    class Swish(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * torch.sigmoid(x)

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            s = torch.sigmoid(x)
            return gradient * s * (1 - s)


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return self.second(Swish.apply(self.first(x)))
    ```

    ```text
    12:5 error: `Swish`: its backward disagrees with finite differences of its forward
    ```

    ```python
    import torch
    from torch import nn


    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(x, factor)
            return x * factor

        @staticmethod
        def backward(ctx, gradient):
            x, factor = ctx.saved_tensors
            return gradient * factor, None


    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.factor = nn.Parameter(torch.ones(8))

        def forward(self, x):
            return Scale.apply(self.layer(x), self.factor)
    ```

    ```text
    12:5 error: `Scale`: its backward returns no gradient for an input that needs one
    ```

    ```python
    import torch
    from torch import nn


    class Shift(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, offset):
            return x + offset

        @staticmethod
        def backward(ctx, gradient):
            return gradient


    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            return Shift.apply(self.layer(x), 0.5)
    ```

    ```text
    11:5 error: `Shift`: its backward returns the wrong number of gradients
    ```

Good: the derivative of the forward.

    ```python
    import torch
    from torch import nn


    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.square()

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return 2 * x * gradient


    class Energy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            return Square.apply(self.layer(x))
    ```

None for what needs no gradient, and `ctx.needs_input_grad`.

    ```python
    import torch
    from torch import nn


    class MaskedFill(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, mask, value):
            ctx.save_for_backward(mask)
            return torch.where(mask, torch.full_like(x, value), x)

        @staticmethod
        def backward(ctx, gradient):
            (mask,) = ctx.saved_tensors
            wanted = ctx.needs_input_grad[0]
            return gradient.masked_fill(mask, 0.0) if wanted else None, None, None


    class Filled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            return MaskedFill.apply(self.layer(x), x > 1, 0.0)
    ```

Gradient reversal.

    ```python
    import torch
    from torch import nn


    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, strength):
            ctx.strength = strength
            return x.view_as(x)

        @staticmethod
        def backward(ctx, gradient):
            return -ctx.strength * gradient, None


    class Adversarial(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Linear(8, 8)
            self.label = nn.Linear(8, 3)
            self.domain = nn.Linear(8, 2)

        def forward(self, x):
            x = torch.relu(self.features(x))
            return self.label(x), self.domain(Reverse.apply(x, 1.0))
    ```

Gradient clipping.

    ```python
    import torch
    from torch import nn


    class ClipGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, bound):
            ctx.bound = bound
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient.clamp(-ctx.bound, ctx.bound), None


    class Clipped(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.head = nn.Linear(8, 1)

        def forward(self, x):
            return self.head(ClipGradient.apply(self.layer(x), 0.01))
    ```

A straight-through function.

    ```python
    import torch
    from torch import nn


    class SignThrough(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sign()

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient * (x.abs() <= 1).to(gradient.dtype)


    class Binarised(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.head = nn.Linear(8, 1)

        def forward(self, x):
            return self.head(SignThrough.apply(self.layer(x)))
    ```

A kernel whose gradient for the features comes from compiled code, and none for the boxes.

    ```python
    import torch
    from torch import nn


    class Pooled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, features, boxes, kernels):
            ctx.save_for_backward(boxes)
            ctx.kernels = kernels
            return kernels.forward(features, boxes)

        @staticmethod
        def backward(ctx, gradient):
            (boxes,) = ctx.saved_tensors
            return ctx.kernels.backward(gradient, boxes), None, None


    class Means:
        @staticmethod
        def forward(features, boxes):
            return features.mean(dim=1) * boxes.new_ones(())

        @staticmethod
        def backward(gradient, boxes):
            return gradient.unsqueeze(1).expand(-1, 4, -1) / 4


    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x, boxes):
            return Pooled.apply(self.layer(x), boxes, Means)


    def gradlint_inputs():
        return torch.randn(2, 4, 8), torch.rand(2, 4)
    ```

Symptoms: RuntimeError: function SwishBackward returned an incorrect number of gradients (expected 2, got 1);
NotImplementedError: You must implement either the backward or vjp method for your custom autograd.Function to use it
with backward mode AD; GradcheckError: Jacobian mismatch for output 0 with respect to input 0; custom backward returns
None; custom autograd function does not train
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.gradient_path import affected
from gradlint.analysis.reach import reach
from gradlint.finding import Evidence, Finding, Severity
from gradlint.graph import ModelGraph, Reason
from gradlint.rule import GraphRule, related_at


class BrokenAutogradFunction(GraphRule):
    code = "GL113"
    severity = Severity.ERROR
    needs_recording = True
    message = "`{function}`: {fault}"
    advice = (
        "return one value for each input of forward: its derivative times the gradient, None only for what needs none"
    )

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for checked in graph.model.functions:
            if checked.fault:
                yield self.found(
                    checked.frame,
                    path=graph.model.path,
                    evidence=Evidence.MEASURED,
                    related=related_at(checked.call_frame, "applied here"),
                    function=checked.name,
                    fault=checked.fault,
                    extra=_starved_by(graph, set(checked.nodes)),
                )


def _starved_by(graph: ModelGraph, nodes: set[int]) -> dict[str, object]:
    causes = [c for c in reach(graph).causes if c.cut.reason is Reason.CUSTOM_FUNCTION and c.cut.node.id in nodes]
    return affected(graph.model, tuple(p for cause in causes for p in cause.parameters))
