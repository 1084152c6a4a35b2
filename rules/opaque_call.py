"""A tensor's memory is handed to code that gradlint cannot read, so nothing is known of the gradient behind it.

A kernel called by address, through `ctypes` or a compiled extension, works on bare memory. autograd does not see it,
and neither does gradlint: unless the call stands in an `autograd.Function` with a backward of its own, no gradient
passes. This is a note, since the kernel's wrapper may do what is needed elsewhere.

Bad:

    ```python
    import ctypes

    import torch
    from torch import nn

    libc = ctypes.CDLL(None)


    class Copied(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            hidden = self.layer(x)
            out = torch.empty_like(hidden)
            size = hidden.numel() * hidden.element_size()
            libc.bcopy(ctypes.c_void_p(hidden.data_ptr()), ctypes.c_void_p(out.data_ptr()), ctypes.c_size_t(size))
            return self.head(out)
    ```

    ```text
    19:72 note: `.data_ptr()` hands memory to foreign code, so the gradient of 2 parameter tensors is unknown
    ```

Good: the kernel has a backward.

    ```python
    import ctypes

    import torch
    from torch import nn

    libc = ctypes.CDLL(None)


    class Copy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            out = torch.empty_like(x)
            size = x.numel() * x.element_size()
            libc.bcopy(ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(out.data_ptr()), ctypes.c_size_t(size))
            return out

        @staticmethod
        def backward(ctx, gradient):
            return gradient


    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            return self.head(Copy.apply(self.layer(x)))
    ```

Symptoms: param.grad is None after a custom CUDA kernel; data_ptr loses the gradient; ctypes kernel in forward; triton
kernel without backward; layer before the extension does not learn
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class OpaqueCall(PathRule):
    code = "GL114"
    severity = Severity.NOTE
    message = "`{expression}` hands memory to foreign code, so the gradient of {count} is unknown"
    advice = "wrap the call in an autograd.Function with a backward"
    reasons = frozenset({Reason.OPAQUE})
