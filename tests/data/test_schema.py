"""The schema: turn order, files with line numbers, all problems at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data.errors import BadInput
from data.schema import Dialog, Message, Taxonomy, Utterance, read_jsonl, read_yaml, write_jsonl

USER, ANSWER = Message(role="user", content="hi"), Message(role="assistant", content="hello")


def dialog(*messages: Message) -> Dialog:
    return Dialog(id="d", messages=messages, language="en", source="test")


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ((ANSWER, USER), "last turn must be the assistant's"),
        ((USER, Message(role="system", content="x"), ANSWER), "only come first"),
        ((USER, Message(role="tool", content="x"), ANSWER), "without a call"),
        (
            (
                USER,
                Message.model_validate(
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
                ),
                ANSWER,
            ),
            "without a result",
        ),
    ],
)
def test_turn_order(messages: tuple[Message, ...], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        dialog(*messages)


def test_a_message_fits_its_role() -> None:
    with pytest.raises(ValidationError, match="cannot have tool_calls or reasoning"):
        Message(role="user", content="x", reasoning_content="y")
    with pytest.raises(ValidationError, match="an empty user message"):
        Message(role="user", content="  ")


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "intent": "x", "language": "en"}\n{"text": 1}\n\nnot json\n', encoding="utf-8")
    with pytest.raises(BadInput) as error:
        read_jsonl(path, Utterance)
    assert f"{path}:2: " in str(error.value)
    assert f"{path}:4: " in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe"])
def test_empty_and_undecodable_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"is empty|not UTF-8"):
        read_jsonl(path, Utterance)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        read_jsonl(tmp_path / "no.jsonl", Utterance)
    with pytest.raises(BadInput, match="no such file"):
        read_yaml(tmp_path / "no.yaml", Taxonomy)
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(BadInput, match="not valid YAML"):
        read_yaml(tmp_path / "bad.yaml", Taxonomy)


@given(st.text(min_size=1).filter(str.strip))
def test_rows_survive_writing_and_reading(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [Utterance(text=text.encode("utf-8", "ignore").decode() or "x", intent="a", language="zh")]
    write_jsonl(path, list(rows))
    assert read_jsonl(path, Utterance) == rows
