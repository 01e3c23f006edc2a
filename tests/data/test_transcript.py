"""Transcripts: whatever people do in whatever order, a dialog that the schema allows comes out, or a clear refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.transcript import Done, Transcript

TURNS = st.lists(st.sampled_from(["customer", "agent", "action", "two actions"]), max_size=12)


@given(TURNS)
def test_any_order_of_turns_becomes_a_dialog_or_is_refused(turns: list[str]) -> None:
    transcript = Transcript()
    for number, turn in enumerate(turns):
        if turn == "customer":
            transcript.say("user", str(number))
        elif turn == "agent":
            transcript.say("assistant", str(number))
        else:
            transcript.act([Done("press", {"n": number}, "done")] * (2 if turn == "two actions" else 1))
    after = turns[turns.index("customer") :] if "customer" in turns else []
    if not set(after) - {"customer"}:
        with pytest.raises(ValueError, match="no turn of an agent after one of a customer"):
            transcript.dialog("d", "test", "en")
        return
    dialog = transcript.dialog("d", "test", "en")
    assert dialog.messages[0].role == "user" and dialog.messages[-1].role == "assistant"
    said = "\n".join(message.content for message in dialog.messages if message.role != "tool").split()
    ended = max(number for number, turn in enumerate(turns) if turn != "customer")
    told = [number for number, turn in enumerate(turns) if turn in ("customer", "agent")]
    assert said == [str(number) for number in told if turns.index("customer") <= number <= ended]
    ids = [call.id for message in dialog.messages for call in message.tool_calls]
    assert len(ids) == len(set(ids))


def test_lines_that_say_nothing_and_calls_that_show_nothing() -> None:
    transcript = Transcript()
    transcript.say("user", "Where is it?")
    transcript.say("user", "  ")
    transcript.act([Done("look_up", {}, "")])
    transcript.say("assistant", "On its way.")
    assert [message.content for message in transcript.dialog("d", "test", "en").messages] == [
        "Where is it?",
        "",
        "{}",
        "On its way.",
    ]
