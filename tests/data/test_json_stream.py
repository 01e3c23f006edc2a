"""JSON documents value by value: no more of the file is read than was asked for, and what is broken is said."""

import gzip
import zipfile
from pathlib import Path

import pytest

from data.errors import BadInput
from data.json_stream import items, members, opens_with


def test_values_come_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": [' + '{"n": 1.5},' * 100_000 + "oops")
    values = items(path, "a.item")
    assert next(values) == {"n": 1.5}
    with pytest.raises(BadInput, match=r"x.json: not JSON .*; is the file whole\?"):
        list(values)


def test_the_same_in_archives(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(' {"a": [1, "二"], "b": null}')
    with gzip.open(tmp_path / "x.json.gz", "wb") as file:
        file.write((tmp_path / "x.json").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "x.json", "x.json")
    for name in ("x.json", "x.json.gz", "x.zip"):
        assert list(members(tmp_path / name)) == [("a", [1, "二"]), ("b", None)]
        assert list(items(tmp_path / name, "a.item")) == [1, "二"]
        assert opens_with(tmp_path / name, b"{") and not opens_with(tmp_path / name, b"[")


def test_broken_archives_and_bytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.json", "{}")
        archive.writestr("b.json", "{}")
    with gzip.open(tmp_path / "cut.gz", "wb") as file:
        file.write(b"[1]" * 1000)
    (tmp_path / "cut.gz").write_bytes((tmp_path / "cut.gz").read_bytes()[:-9])
    (tmp_path / "no.zip").write_bytes(b"PK but no")
    (tmp_path / "no.gz").write_bytes(b"[1]")
    (tmp_path / "latin.json").write_bytes(b'["\xe9"]')
    for name, problem in (
        ("two.zip", "2 JSON files inside"),
        ("cut.gz", "broken archive|not JSON"),
        ("no.zip", "broken archive"),
        ("no.gz", "broken archive"),
        ("latin.json", "not JSON"),
        ("none.json", "no such file"),
    ):
        with pytest.raises(BadInput, match=problem):
            list(items(tmp_path / name, "item"))
