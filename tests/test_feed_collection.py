"""Ordinary models in the style of many authors, built and fed without a hint."""

from __future__ import annotations

import pytest
import torch

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.construct import assemble
from gradlint.frontends.recorder.feeding.roots import root_targets
from tests.modules_of import FEEDING, imported

LEAST_SHARE = 0.92
LEAST_MODELS = 110


def outcome(stem: str) -> tuple[int, list[str]]:
    """How many models a file of the collection has, and those that are not built and fed."""
    file = imported(FEEDING / f"{stem}.py")
    failed: list[str] = []
    targets = root_targets(file.tree, file.module)
    for target in targets:
        try:
            model, _, found = assemble(target, file.shown, file.module)
            torch.manual_seed(0)
            model(*found.args, **found.kwargs)
            assert found.source == "inferred"
        except TargetError as error:
            failed.append(f"{stem}.{target.name}: {error}")
    return len(targets), failed


def test_most_ordinary_models_are_built_and_fed_unaided() -> None:
    torch.set_num_threads(1)
    results = [outcome(path.stem) for path in sorted(FEEDING.glob("*.py"))]
    models = sum(count for count, _ in results)
    failed = [line for _, lines in results for line in lines]
    assert models >= LEAST_MODELS
    assert models - len(failed) >= LEAST_SHARE * models, "\n".join(failed)


@pytest.mark.parametrize(
    ("stem", "name", "expected"),
    [
        ("vision_classic", "LeNet", ("float32[2, 1, 32, 32]",)),
        ("vision_classic", "MnistConv", ("float32[2, 1, 28, 28]",)),
        ("sequences", "GPT", ("int64[2, 8]",)),
        ("structured", "SiameseNetwork", ("input1: float32[2, 1, 100, 100]", "input2: float32[2, 1, 100, 100]")),
        ("structured", "DictInput", ("input_ids: int64[2, 8]", "features: float32[2, 7]")),
        ("structured", "MatrixFactorization", ("user: int64[2]", "item: int64[2]")),
        ("vision_more", "SwinStage", ("float32[2, 1024, 32]",)),
    ],
)
def test_inputs_are_those_that_the_author_had_in_mind(stem: str, name: str, expected: tuple[str, ...]) -> None:
    file = imported(FEEDING / f"{stem}.py")
    target = next(one for one in root_targets(file.tree, file.module) if one.name == name)
    found = assemble(target, file.shown, file.module)[2].description
    assert found == expected
