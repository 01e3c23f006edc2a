"""Cleaning: what nobody sees goes, what customers wrote stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data.cleaning import clean, cleaned
from data.schema import Dialog, Message, Utterance


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  where   is\tmy order ", "where is my order"),
        ("Ｏｒｄｅｒ　Ａ１２３，在哪里？", "Order A123，在哪里？"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen"),
        ("line\r\nline\rline\n\n\n\nend \n", "line\nline\nline\n\nend"),
        ("bell\x07 and \u202eturned\u202c", "bell and turned"),
        ("donâ€™t", "don’t"),
        ("家人 👨\u200d👩\u200d👧", "家人 👨\u200d👩\u200d👧"),
        ("“退货”——可以吗……", "“退货”——可以吗……"),
        ("wher is teh parcle!!", "wher is teh parcle!!"),
    ],
)
def test_examples(raw: str, expected: str) -> None:
    assert clean(raw) == expected


@given(st.text())
def test_clean_text_stays_as_it_is(text: str) -> None:
    once = clean(text)
    assert clean(once) == once


def test_a_dialog_keeps_its_tool_results() -> None:
    result = '{"status":  "sent"}'
    call = {"function": {"name": "f", "arguments": {}}}
    dialog = Dialog(
        id="d",
        language="en",
        source="test",
        messages=(
            Message(role="user", content="where\u200b  is it"),
            Message.model_validate({"role": "assistant", "tool_calls": [call]}),
            Message(role="tool", content=result),
            Message(role="assistant", content="On  its way."),
        ),
    )
    assert [message.content for message in cleaned(dialog).messages] == ["where is it", "", result, "On its way."]
    assert cleaned(cleaned(dialog)) == cleaned(dialog)


def test_a_text_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        cleaned(Utterance(text="\u200b", intent="x", language="en"))
