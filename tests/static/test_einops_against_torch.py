"""einops patterns: the ops that the static front-end puts on its tape, against those that einops calls."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
einops = pytest.importorskip("einops")
from torch.overrides import TorchFunctionMode  # noqa: E402

from gradlint.frontends.static.python.plain_values import lifted  # noqa: E402
from gradlint.frontends.static.torch import einops_patterns  # noqa: E402
from gradlint.frontends.static.values import NO_NODE, Arguments, Tensor  # noqa: E402
from tests.static.running import AT, new_run  # noqa: E402

PATTERNS: list[tuple[str, str, dict[str, Any]]] = [
    ("rearrange", "b c h w -> b (h w) c", {}),
    ("rearrange", "b c (h p) (w q) -> b (h w) (p q c)", {"p": 2, "q": 3}),
    ("rearrange", "b c h w -> b c h w", {}),
    ("rearrange", "b (c d) h w -> b c d h w", {"d": 2}),
    ("rearrange", "b c h w -> b () c h w", {}),
    ("rearrange", "... h w -> ... (h w)", {}),
    ("rearrange", "b ... w -> w b (...)", {}),
    ("repeat", "b c h w -> b c (h k) (w l)", {"k": 1, "l": 2}),
    ("repeat", "b c h w -> b c h w k", {"k": 3}),
    ("reduce", "b c h w -> b c", {"reduction": "mean"}),
    ("reduce", "b c (h p) w -> w b c h", {"reduction": "max", "p": 2}),
    ("reduce", "b c h w -> b c 1 1", {"reduction": "sum"}),
]


class Names(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if isinstance(result := function(*args, **(kwargs or {})), torch.Tensor):
            self.found.append(function.__name__)
        return result


@pytest.mark.parametrize(("name", "pattern", "options"), PATTERNS)
def test_same_ops_and_same_shape(name: str, pattern: str, options: dict[str, Any]) -> None:
    x = torch.zeros(2, 4, 6, 6)
    with Names() as mode:
        wanted = getattr(einops, name)(x, pattern, **options)
    run = new_run()
    given = Tensor(NO_NODE, tuple(x.shape), "float32", leaf=True)
    named = {key: lifted(value) for key, value in options.items()}
    made = einops_patterns.apply(run, name, Arguments((given, lifted(pattern)), named), AT)
    assert isinstance(made, Tensor)
    assert made.shape == tuple(wanted.shape)
    assert [node.native for node in run.tape.nodes if node.native] == mode.found


def test_a_pattern_with_dots_needs_the_rank() -> None:
    given = Tensor(NO_NODE, None, None, leaf=True)
    args = Arguments((given, lifted("... d -> d ...")))
    assert einops_patterns.apply(new_run(), "rearrange", args, AT) is None
    assert isinstance(
        einops_patterns.apply(new_run(), "rearrange", Arguments((given, lifted("a b -> b a"))), AT), Tensor
    )
