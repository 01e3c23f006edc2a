"""What a raw completion says."""

import pytest

from evals.transcript import MARKS, transcript, written

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


@pytest.mark.parametrize(
    ("raw", "thinking", "content", "reasoning", "calls", "broken"),
    [
        ("Hello.", False, "Hello.", "", 0, False),
        ("Hmm.\n</think>\n\nHello.", True, "Hello.", "Hmm.", 0, False),
        ("<think>\nHmm.\n</think>\n\nHello.", True, "Hello.", "Hmm.", 0, False),
        ("Hmm. Never closed", True, "", "Hmm. Never closed", 0, False),
        (f"Hmm. {CALL}", True, "", "Hmm.", 1, False),
        (f"Let me see. {CALL}\n{CALL} later text", False, "Let me see.", "", 2, False),
        (CALL.removesuffix("}\n</tool_call>"), False, "", "", 1, False),
        (CALL.removesuffix("}}\n</tool_call>"), False, "", "", 0, True),
        (CALL.removesuffix("ll>"), False, "", "", 1, False),
        (f"<tool_call>junk</tool_call>{CALL}", False, "", "", 0, True),
        ('<tool_call>{"name": "f", "arguments": [1]}</tool_call>', False, "", "", 0, True),
        ('<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>', False, "", "", 0, True),
        ("<tool_response>told</tool_response>Hello<|im_end|>", False, "Hello", "", 0, False),
        ("1 < 2 and <", False, "1 < 2 and <", "", 0, False),
        ("Hello <tool_ca", False, "Hello", "", 0, False),
    ],
)
def test_readings(raw: str, thinking: bool, content: str, reasoning: str, calls: int, broken: bool) -> None:
    said = transcript(raw, thinking=thinking)
    assert (said.content, said.reasoning, len(said.calls), said.broken) == (content, reasoning, calls, broken)
    assert all(call.arguments == {"a": 1} for call in said.calls)
    assert not any(mark in said.content for mark in MARKS)


def test_calls_that_nobody_wanted_are_left_out_and_the_text_stays() -> None:
    said = transcript(f"One. {CALL} Two.", thinking=False, calls=False)
    assert (said.content, said.calls, said.broken) == ("One.  Two.", (), False)


def test_arguments_are_an_object_or_nothing() -> None:
    assert written('{"a": "b"}') == {"a": "b"}
    assert [written(text) for text in ("[1]", "", '{"a": NaN}', "{")] == [None] * 4
