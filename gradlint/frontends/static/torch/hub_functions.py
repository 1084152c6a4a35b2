"""What the house-keeping of transformers answers: which attention runs, what the machine has, what is being traced."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static import modules_of_project
from gradlint.frontends.static.values import Arguments, Constant, External, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

LIBRARY = "transformers."
ATTENTION = "transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS"
INTERFACE = f"{ATTENTION}.get_interface"
EAGER, FUSED = "eager", "sdpa"
FUSED_HOME, FUSED_FORWARD = "transformers.integrations.sdpa_attention", "sdpa_attention_forward"

TRACING = frozenset(
    """is_torchdynamo_compiling is_torchdynamo_exporting is_tracing is_jit_tracing is_torch_fx_proxy is_fx_tracing
    is_cuda_stream_capturing""".split()
)
DEVICES = frozenset(f"is_torch_{name}_available" for name in "xpu npu mps mlu musa hpu xla neuroncore".split())
KERNELS = frozenset(
    """is_flash_attn_2_available is_flash_attn_3_available is_kernels_available is_mamba_2_ssm_available
    is_mamba_ssm_available is_causal_conv1d_available is_apex_available is_flash_linear_attention_available
    is_optimum_available is_xlstm_available is_mambapy_available is_deepspeed_zero3_enabled is_fsdp_managed_module
    is_deepspeed_available is_flash_attention_requested_by_kernel""".split()
)
"""Questions that are answered with no: a plain run in eager mode, on no special device, with no compiled kernels."""


DECORATORS = frozenset(
    """auto_docstring capture_outputs can_return_tuple check_model_inputs deprecate_kwarg force_accelerate_hooks
    add_start_docstrings add_start_docstrings_to_model_forward add_end_docstrings add_code_sample_docstrings
    replace_return_docstrings use_kernel_forward_from_hub use_kernelized_func use_kernel_func_from_hub_with_fallback
    use_kernel_func_from_hub strict""".split()
)
"""Decorators that document, check, collect what layers give, or look for a compiled kernel that is not there."""

FIELDS = frozenset(
    {"interval", "probability", "token", "strings", "activation_fn_key", "tensor_size", "is_divisible_by"}
)
"""Makers of a checked field of the settings."""


def call(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """The answer of a function of the library; None for any other."""
    if not name.startswith(LIBRARY):
        return None
    if name == INTERFACE:
        given = [*args.positional, *args.named.values()]
        return attention(run, given[0], given[1] if len(given) > 1 else None) if given else None
    last = name.rpartition(".")[2]
    if last in DECORATORS:
        return External("gradlint.same")
    if last in FIELDS and ".type_validators." in name:
        return External("dataclasses.field")
    return Constant(False) if last in TRACING or last in DEVICES or last in KERNELS else None


def attention(run: Run, implementation: Value, default: Value | None) -> Value | None:
    """The function that an attention layer calls, by the implementation that the settings name."""
    wanted = run.constant(implementation, "")
    if wanted == EAGER:
        return default
    home = run.project.find(run.activation.module, FUSED_HOME) if wanted == FUSED else None
    return modules_of_project.member(run, home, FUSED_FORWARD) if home is not None else None


def item(run: Run, receiver: External, key: Value) -> Value | None:
    """`ALL_ATTENTION_FUNCTIONS[implementation]`; None for any other."""
    return attention(run, key, None) if receiver.name == ATTENTION else None
