"""Whether `gradlint rule "error message"` finds the rule from what people see and type into a search box."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import pytest

from gradlint import registry, symptoms
from gradlint.errors import UsageError
from gradlint.finding import Severity
from gradlint.rule import Rule

CUTS = frozenset(f"GL10{digit}" for digit in range(1, 8))
"""The rules about the first cut between the loss and the parameters."""

ROWS = [
    ("element 0 of tensors does not require grad and does not have a grad_fn", CUTS),
    ("I set loss.requires_grad = True, the error is gone but the loss does not go down", {"GL115"}),
    ("param.grad is None after backward", CUTS),
    ("weights don't update", CUTS),
    ("Expected to have finished reduction in the prior iteration", {"GL109"}),
    ("which parameters did not receive grad", {"GL109"}),
    ("find_unused_parameters says none are unused but DDP crashes", {"GL109"}),
    ("optimizer got an empty parameter list", {"GL110"}),
    ("parameters in a list are not found", {"GL110"}),
    ("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.", {"GL102"}),
    (
        "one of the variables needed for gradient computation has been modified by an inplace operation",
        {"GL112"},
    ),
    ("a leaf Variable that requires grad is being used in an in-place operation", {"GL112"}),
    ("Trying to backward through the graph a second time", {"GL116"}),
    ("None of the inputs have requires_grad=True. Gradients will be None", {"GL117", "GL107"}),
    ("torch.where gives nan gradient", {"GL804"}),
    ("argmax / round / sign: no gradient, why?", {"GL105", "GL108"}),
    ("No gradients provided for any variable", {"GL105", "GL108"}),
    ("An operation has None for gradient: K.argmax, K.round", {"GL105", "GL108"}),
    ("Gradients do not exist for variables", {"GL105", "GL108"}),
    ("grads[0] 'fc.weight' doesn't have gradient. It will be set to zero", CUTS),
    ("梯度不知道在哪里断掉了", CUTS),
    ("where is the graph break?", {"GL201"}),
    ("Inference tensors cannot be saved for backward. To work around you can make a clone", {"GL107"}),
    ("loss stuck, softmax before CrossEntropyLoss", {"GL601"}),
    ("does .eval() / detach freeze my encoder?", {"GL101", "GL107"}),
    ("Linear layer has no grad if the first forward was under no_grad", {"GL107"}),
]
"""What people write, and the rules of which one must come first."""


@pytest.mark.parametrize(("words", "codes"), ROWS, ids=[words for words, _ in ROWS])
def test_the_right_rule_comes_first(words: str, codes: set[str]) -> None:
    if not codes & {rule.code for rule in registry.rules()}:
        pytest.skip(f"{', '.join(sorted(codes))} is not in this release")
    found = [rule.code for rule in symptoms.search(words)]
    assert found, "nothing was found"
    assert found[0] in codes, found


PAGES = {
    "GL101": """A call cuts the gradient.

Everything before it stays as it was initialised.

Symptoms: param.grad is None after backward; the weights do not update
""",
    "GL116": """An earlier graph is reached again.

The hidden state carries it from batch to batch.

Symptoms: Trying to backward through the graph a second time
""",
    "GL601": """Softmax is applied twice.

The loss applies it once more, and the weights hardly update.

Symptoms: the loss is stuck at 0.74; 损失不下降
""",
}


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three rules of which only the pages matter."""

    def made(code: str, text: str) -> type[Rule]:
        class Sample(Rule):
            message: ClassVar[str] = "m"
            severity: ClassVar[Severity] = Severity.ERROR

        Sample.code, Sample.name, Sample.page = code, f"sample-{code.lower()}", text
        return Sample

    rules = tuple(made(code, text) for code, text in PAGES.items())
    monkeypatch.setattr(symptoms, "rules", lambda: rules)
    symptoms._index.cache_clear()
    yield
    symptoms._index.cache_clear()


def found(words: str) -> list[str]:
    return [rule.code for rule in symptoms.search(words)]


@pytest.mark.usefixtures("three")
class TestSearch:
    """Search over pages that do not change with the rules."""

    def test_a_message_with_other_words_around_it(self) -> None:
        message = "RuntimeError: Trying to backward through the graph a second time (or directly access saved tensors)"
        assert found(message) == ["GL116"]

    def test_symptoms_count_more_than_prose(self) -> None:
        assert found("weights update")[0] == "GL101"

    def test_other_scripts(self) -> None:
        assert found("为什么损失不下降") == ["GL601"]

    def test_nothing_fits(self) -> None:
        assert found("kernel panic") == []
        assert found("why is the") == []
        with pytest.raises(UsageError, match="kernel panic"):
            symptoms.answer("kernel panic")

    def test_a_code_a_name_or_nothing(self) -> None:
        assert symptoms.answer("gl116") == symptoms.answer("sample-gl116")
        assert symptoms.answer("GL116").startswith("GL116 sample-gl116 (error)\n\nAn earlier graph")
        assert [line.split()[0] for line in symptoms.answer("").splitlines()] == list(PAGES)

    def test_a_page_on_a_terminal(self) -> None:
        painted = symptoms.answer("GL116", color=True)
        assert "\x1b[" in painted
        assert "An earlier graph is reached again." in re.sub(r"\x1b\[[0-9;]*m", "", painted)

    def test_a_misspelt_name_has_a_suggestion(self) -> None:
        with pytest.raises(UsageError, match='did you mean "sample-gl116"'):
            symptoms.answer("samplegl116")
