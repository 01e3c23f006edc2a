"""Text files: what may not be read is told apart, and a long line takes no memory."""

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput
from data.textfile import LINE_LIMIT, Line, lines
from tests.data.specimens import LINE, long_line


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufeff"))),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_lines_are_what_was_written(tmp_path_factory: pytest.TempPathFactory, written: list[str], end: str) -> None:
    path = tmp_path_factory.mktemp("lines") / "lines.txt"
    written = ["first", *written]  # no text that begins like another kind of file
    path.write_bytes("".join(line + end for line in written).encode())
    assert list(lines(path, "lines", blank=True)) == [Line(number, line) for number, line in enumerate(written, 1)]


def test_a_file_closed_to_this_user_is_told(tmp_path: Path) -> None:
    path = tmp_path / "closed.jsonl"
    path.write_text(LINE)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root reads everything
        os.seteuid(65534)
    try:
        with pytest.raises(BadInput, match=r"closed.jsonl: cannot be read \(Permission denied\); expected rows"):
            list(lines(path, "rows"))
    finally:
        os.seteuid(user)


def test_a_long_line_takes_bounded_memory(tmp_path: Path) -> None:
    long_line(tmp_path / "rows.jsonl")
    tracemalloc.start()
    try:
        problems = [line.problem for line in lines(tmp_path / "rows.jsonl", "rows")]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [bool(problem) for problem in problems] == [False, True, False]
    assert most < 16 * 2**20, f"{most} bytes for a line of 100 MB"


def test_a_line_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.textfile.SKIP_LIMIT", 2 * LINE_LIMIT)
    (tmp_path / "rows.txt").write_text("first\n" + "x" * 4 * LINE_LIMIT + "\nlast\n")
    found = list(lines(tmp_path / "rows.txt", "rows"))
    assert [line.number for line in found] == [1, 2]
    assert "reading stopped here" in found[1].problem
