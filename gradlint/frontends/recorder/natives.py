"""What a call under a torch function mode is called, and which calls carry no value worth writing down."""

from __future__ import annotations

from typing import Any

READ_PROPERTIES = frozenset({"data", "T", "mT", "H", "mH", "real", "imag"})
"""Attributes of a tensor that are tensors computed from it."""

IN_PLACE_OPERATORS = frozenset(
    f"__i{operator}__" for operator in "add sub mul truediv floordiv mod pow and or xor lshift rshift matmul".split()
) | {"__setitem__"}

GETTER, SETTER = "get:", "set:"

SILENT = frozenset(
    """size dim ndimension shape dtype device stride numel nelement storage_offset is_contiguous is_complex is_conj
    is_neg is_floating_point is_signed is_inference is_same_size is_set_to is_pinned is_shared is_tensor is_nonzero
    element_size get_device storage untyped_storage typed_storage _typed_storage __len__ __hash__ __repr__ __format__
    __dir__ __deepcopy__ __reduce_ex__ __setstate__ __contains__ __dlpack__ __dlpack_device__ has_names
    register_hook register_post_accumulate_grad_hook retain_grad backward share_memory_ pin_memory names rename_
    get_default_dtype set_default_dtype manual_seed seed initial_seed is_grad_enabled _is_view _nested_tensor_size
    is_autocast_enabled is_autocast_cpu_enabled get_autocast_dtype is_autocast_available autocast_increment_nesting
    autocast_decrement_nesting set_autocast_enabled set_autocast_dtype set_autocast_cache_enabled
    is_autocast_cache_enabled clear_autocast_cache result_type can_cast promote_types broadcast_shapes iinfo finfo
    is_storage _has_compatible_shallow_copy_type get_num_threads set_printoptions _assert _assert_async compile
    _use_cudnn_ctc_loss _cudnn_rnn_flatten_weight _use_cudnn_rnn_flatten_weight allclose equal dense_dim sparse_dim
    _set_deterministic are_deterministic_algorithms_enabled unflatten_dense_tensors""".split()
)
"""Calls that ask about a tensor, or set the library up, and make no value."""

INITIALISERS = "/torch/nn/init.py"
"""Where torch fills parameters; some of its layers keep these functions by names that cannot be patched."""

HOUSEKEEPING = (
    "/torch/optim/",
    INITIALISERS,
    "/torch/nn/utils/clip_grad.py",
    "/torch/_tensor_str.py",
    "/torch/serialization.py",
    "/torch/amp/",
    "/torch/nn/utils/memory_format.py",
)
"""Parts of torch whose inner calls belong to no model."""

_names: dict[Any, str] = {}
_houses: dict[str, bool] = {}


def native_name(function: Any) -> str:
    """The bare name of a function as users know it: "relu_", "__add__", "get:data", "set:requires_grad"."""
    name = _names.get(function)
    if name is None:
        name = _names[function] = _named(function)
    return name


def _named(function: Any) -> str:
    name: str = getattr(function, "__name__", type(function).__name__)
    if hasattr(function, "overloadpacket"):
        name = name.partition(".")[0]
    if name == "__get__":
        return GETTER + getattr(function.__self__, "__name__", "?")
    if name == "__set__":
        return SETTER + getattr(function.__self__, "__name__", "?")
    return name


def is_silent(name: str) -> bool:
    """Whether calls of this name are left out of the record."""
    if name.startswith(GETTER):
        return name[len(GETTER) :] not in READ_PROPERTIES
    return name in SILENT


def is_write(name: str) -> bool:
    """Whether a call of this name writes into its first tensor: `add_`, `__iadd__`, `__setitem__`."""
    if name.startswith("__"):
        return name in IN_PLACE_OPERATORS
    return name.endswith("_")


def is_housekeeping(filename: str) -> bool:
    """Whether a call comes from a part of torch whose calls are left out of the record."""
    known = _houses.get(filename)
    if known is None:
        known = _houses[filename] = any(part in filename for part in HOUSEKEEPING)
    return known
