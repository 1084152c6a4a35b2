"""Reading a file as Python reads it: encodings, line ends, comments and positions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gradlint.source import Source, SourceError, decode, line_reader, read


def fault(data: bytes) -> tuple[int, int, str]:
    """Where and why some bytes are no source."""
    with pytest.raises(SourceError) as caught:
        assert decode("m.py", data).tree
    return caught.value.line, caught.value.column, caught.value.why


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a = 1\n", "a = 1\n"),
        (b"\xef\xbb\xbfa = 1\n", "a = 1\n"),
        ("a = '梯'\n".encode(), "a = '梯'\n"),
        (b"# coding: latin-1\na = '\xe9'\n", "# coding: latin-1\na = 'é'\n"),
        (b"", ""),
    ],
)
def test_encodings(data: bytes, text: str) -> None:
    source = decode("m.py", data)
    assert source.text == text
    assert isinstance(source.tree, ast.Module)


def test_bytes_that_are_not_text() -> None:
    assert fault("a = 1\nb = '梯' + '".encode() + b"\xe9'\n") == (2, 12, "byte 0xe9 is not UTF-8")
    assert fault(b"a = '\xe9'\n") == (1, 6, "byte 0xe9 is not UTF-8")
    assert fault(b"\xef\xbb\xbfa = 1\nb = 2\nc = '\xe9'\n")[::2] == (3, "byte 0xe9 is not UTF-8")


def test_wrong_cookie() -> None:
    assert fault(b"# coding: nonsense\na = 1\n") == (1, 1, "unknown encoding: nonsense")


def test_null_bytes_and_deep_nesting() -> None:
    assert "null bytes" in fault(b"a = 1\0\n")[2]
    assert fault(b"a = " + b"-" * 100_000 + b"1\n")[2]


def test_syntax_errors_have_a_place() -> None:
    assert fault(b"a = 1\nb = = 2\n")[:2] == (2, 5)
    assert fault("梯度 = = 2\n".encode())[:2] == (1, 6)


def test_warnings_of_the_parser_are_kept_away(recwarn: pytest.WarningsRecorder) -> None:
    assert decode("m.py", b"a = '\\d'\n").tree
    assert not recwarn.list


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_those_of_the_tokenizer(end: str) -> None:
    source = Source("m.py", end.join(["a = '\x0c\u2028'", "b = 2", ""]))
    assert source.lines == ("a = '\x0c\u2028'", "b = 2", "")
    assert source.line(2) == "b = 2"
    assert source.line(0) == source.line(4) == ""


def test_columns_count_code_points() -> None:
    source = Source("m.py", "梯 = f(梯)\n")
    (call,) = (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))
    start, end = source.column(1, call.col_offset), source.column(1, call.end_col_offset or 0)
    assert source.lines[0][start - 1 : end - 1] == "f(梯)"


def test_comments_are_not_strings() -> None:
    source = Source("m.py", "a = '# no'  # yes\n# also\n")
    assert [(comment.line, comment.column, comment.text) for comment in source.comments] == [
        (1, 13, "# yes"),
        (2, 1, "# also"),
    ]


def test_comments_of_a_broken_file_up_to_the_fault() -> None:
    assert [comment.text for comment in Source("m.py", "a = 1  # one\nb = (\n").comments] == ["# one"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read(tmp_path / "nowhere.py")
    with pytest.raises(SourceError, match=r"shown\.py:1:1: is a directory"):
        read(tmp_path, "shown.py")


def test_line_reader(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("a = 1\nb = 2\n", encoding="utf-8")
    line = line_reader()
    assert (line(str(path), 2), line(str(path), 9), line("nowhere.py", 1)) == ("b = 2", "", "")
