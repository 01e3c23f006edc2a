"""Artifacts: made once, resumed, verified, never half-read."""

import json
from pathlib import Path

import pytest

from data.artifact import SCRATCH, Artifact, ArtifactStore, code_digest, file_digest, write_json
from data.errors import BadInput


class Note(Artifact):
    kind = "note"


def build(store: ArtifactStore, text: str, calls: list[str], section: str = "a") -> Note:
    def make(folder: Path) -> dict[str, int]:
        calls.append(text)
        (folder / "note.txt").write_text(text)
        return {"length": len(text)}

    return store.build(Note, make, inputs={"text": text}, section=section, code="1")


def test_the_same_inputs_are_made_once(tmp_path: Path) -> None:
    calls: list[str] = []
    store = ArtifactStore(tmp_path)
    first, second = build(store, "hello", calls), build(store, "hello", calls)
    assert first == second
    assert calls == ["hello"]
    assert first.facts == {"length": 5}
    assert first.manifest["peak_memory_mb"] > 0


def test_another_input_section_or_content_is_another_artifact(tmp_path: Path) -> None:
    calls: list[str] = []
    store = ArtifactStore(tmp_path)
    one = build(store, "one", calls)
    assert build(store, "two", calls).digest != one.digest
    assert build(store, "one", calls, section="b").folder != one.folder
    assert build(store, "one", calls, section="b").digest == one.digest  # equal content, equal digest


def test_a_changed_file_is_noticed_and_made_again(tmp_path: Path) -> None:
    calls: list[str] = []
    store = ArtifactStore(tmp_path)
    note = build(store, "hello", calls)
    (note.folder / "note.txt").write_text("tampered")
    with pytest.raises(BadInput, match="has changed"):
        Note.open(note.folder)
    assert (build(store, "hello", calls).folder / "note.txt").read_text() == "hello"
    assert len(calls) == 2


def test_interrupted_work_is_no_artifact_but_can_be_resumed(tmp_path: Path) -> None:
    store, seen = ArtifactStore(tmp_path), []

    def make(folder: Path) -> None:
        scratch = folder / SCRATCH
        seen.append(scratch.exists())
        scratch.mkdir(exist_ok=True)
        (folder / "half.txt").write_text("half")
        if len(seen) == 1:
            raise KeyboardInterrupt
        assert sorted(p.name for p in folder.iterdir()) == ["half.txt", SCRATCH]

    with pytest.raises(KeyboardInterrupt):
        store.build(Note, make, inputs={}, section=None, code="1")
    folder = next(path for path in (tmp_path / "note").iterdir() if path.is_dir())
    with pytest.raises(BadInput, match="not a finished note"):
        Note.open(folder)
    note = store.build(Note, make, inputs={}, section=None, code="1")
    assert seen == [False, True]
    assert not (note.folder / SCRATCH).exists()


def test_another_kind_is_refused(tmp_path: Path) -> None:
    class Other(Artifact):
        kind = "other"

    note = build(ArtifactStore(tmp_path), "hello", [])
    with pytest.raises(BadInput, match="expected other"):
        Other.open(note.folder)


def test_write_json_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    write_json(path, {"键": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"键": 2}
    assert list(tmp_path.iterdir()) == [path]
    assert len(file_digest(path)) == 64


def test_code_digest_is_of_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    variants = {
        "one": '"""Doc."""\n\ndef f():\n    """Doc."""\n    return 1  # why\n',
        "same": "def f():\n    return (1)\n",
        "other": "def f():\n    return 2\n",
    }
    for name, source in variants.items():
        (tmp_path / f"{name}_code.py").write_text(source)
    digests = {name: code_digest(f"{name}_code") for name in variants}
    assert digests["one"] == digests["same"] != digests["other"]
    assert code_digest("data.chat") != code_digest("data.chat", "data.schema")
