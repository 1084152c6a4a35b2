"""Whatever torch lets a TorchFunctionMode see, and every module, is found by the name that it has in torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

from gradlint.ops import lookup  # noqa: E402

INPLACE_ONLY = ("cauchy", "exponential", "geometric", "log_normal", "uniform")
CUDA_ONLY = "jiterator"


def other_names(op: Any) -> Iterator[str]:
    """The in-place variant and the aliases of an entry; max and min are more than the binary maximum and minimum."""
    yield from (alias.name for alias in op.aliases if op.variant_test_name != "binary")
    inplace = getattr(op.inplace_variant, "__name__", "")
    if inplace.isidentifier():
        yield inplace


def test_aliases_and_inplace_variants_have_the_same_facts() -> None:
    known = [op for op in op_db if op.name not in INPLACE_ONLY and not op.name.startswith(CUDA_ONLY)]
    found = {(op.name, name): lookup("torch", name) for op in known for name in other_names(op)}
    assert found == {(name, other): lookup("torch", name) for name, other in found}


def overridable() -> Iterator[str]:
    """Every function, method and attribute that a TorchFunctionMode can see."""
    for functions in torch.overrides.get_overridable_functions().values():
        for function in functions:
            path = torch.overrides.resolve_name(function) or function.__name__
            yield path.removesuffix(".__get__").removesuffix(".__set__")


@pytest.mark.filterwarnings("ignore")
def test_every_overridable_function_is_known() -> None:
    assert {path for path in overridable() if lookup("torch", path) is None} <= {"torch.autocast"}


def test_every_leaf_module_is_known() -> None:
    containers = {"Container", "DataParallel", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList"}
    bases = {"RNNBase", "RNNCellBase", "Sequential"}
    modules = {name for name, thing in vars(torch.nn).items() if isinstance(thing, type)} - {"Parameter", "Buffer"}
    named = {name for name in modules if issubclass(getattr(torch.nn, name), torch.nn.Module)}
    assert {name for name in named if lookup("torch", name) is None} <= containers | bases


def test_every_onnx_op_is_known() -> None:
    schemas = pytest.importorskip("onnx").defs.get_all_schemas()
    assert {schema.name for schema in schemas if not schema.domain and lookup("onnx", schema.name) is None} == set()
