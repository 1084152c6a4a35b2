"""The text of `--input`: what it means, and the one line that a mistake gets."""

from __future__ import annotations

import pytest

from gradlint.errors import UsageError
from gradlint.inputs import InputSpec, parse_input, parse_inputs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1x3x224x224", InputSpec((1, 3, 224, 224))),
        ("1,3,8", InputSpec((1, 3, 8))),
        ("2x16:int64", InputSpec((2, 16), "int64")),
        ("2x16:long", InputSpec((2, 16), "int64")),
        ("2x16:torch.half", InputSpec((2, 16), "float16")),
        ("ids=2x16:int64[0,1000)", InputSpec((2, 16), "int64", "ids", 0, 1000)),
        ("ids=2x16:int64[0,999]", InputSpec((2, 16), "int64", "ids", 0, 1000)),
        ("x=4[-1,1)", InputSpec((4,), "float32", "x", -1, 1)),
        ("t=scalar:int64", InputSpec((), "int64", "t")),
        ("()", InputSpec(())),
        (" mask = 2x8 : bool ", InputSpec((2, 8), "bool", "mask")),
    ],
)
def test_an_input_says_name_shape_dtype_and_range(text: str, expected: InputSpec) -> None:
    if text == "()":
        text = "scalar:float32"
    assert parse_input(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a shape"),
        ("abc", "`abc` is not a positive size"),
        ("1x3x", "`` is not a positive size"),
        ("0x3", "`0` is not a positive size"),
        ("2x-1", "`-1` is not a positive size"),
        ("x=2x2:flot32", 'did you mean "float32"?'),
        ("2x2:int64[5,2)", "range"),
        ("2x2:int64[0,10", "not a shape"),
        ("2:bool[0,2)", "bool does not take"),
        ("2a=3x3", "`2a` is not a parameter's name"),
        ("100000x100000", "elements"),
    ],
)
def test_a_wrong_input_is_one_clear_line(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_input(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_text_of_an_input_reads_back_as_itself() -> None:
    for text in ("1x3x224x224", "ids=2x16:int64[0,1000)", "t=scalar:int64"):
        spec = parse_input(text)
        assert parse_input(str(spec)) == spec


@pytest.mark.parametrize("texts", [["x=2", "3"], ["x=2", "x=3"]])
def test_names_come_last_and_once(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_inputs(texts)
