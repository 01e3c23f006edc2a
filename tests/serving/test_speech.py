"""Every chunking of an answer says the same as the whole: content, reasoning and calls, however an engine delivers it."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from evals.transcript import transcript
from serving.speech import Speech
from tests.serving.test_matrix import CALLS, alike, cuts, raws, squeezed
from tests.serving.wire import parsed_stream, plain_stream

Heard = tuple[str, str, list[tuple[str, str]]]
NESTED = f"<tool_response>Hm.<tool_call>\n{CALLS[0]}\n</tool_call></tool_response>Yes."


def heard(deltas: Any, calls: bool = True) -> Heard:
    """Content, reasoning and calls of an answer; it is all that a client sees."""
    speech = Speech(calls=calls)
    said = [part for delta in deltas for part in speech.feed(delta)] + list(speech.end())
    content = "".join(part[1] for part in said if part[0] == "content")
    reasoning = "".join(part[1] for part in said if part[0] == "reasoning")
    return content, reasoning, [(part[1].name, part[1].arguments) for part in said if part[0] == "call"]


@settings(max_examples=60)
@given(raws, cuts, st.booleans())
@example(NESTED, [3, 17, 20], True)
@example("<think>a</thi", [2, 9], True)
@example("<think>a</tool_call>b", [9], True)
def test_an_engine_without_parsers(raw: str, where: list[int], calls: bool) -> None:
    content, reasoning, called = heard(plain_stream(raw, where), calls)
    assert (content, reasoning, called) == heard(plain_stream(raw, []), calls)
    due = transcript(raw, thinking=False, calls=calls)
    assert squeezed(content) == squeezed(due.content) and squeezed(reasoning) == squeezed(due.reasoning)


@settings(max_examples=60)
@given(raws, cuts, st.booleans(), st.booleans())
@example(NESTED, [3, 17, 20], False, True)
@example(f"<tool<tool_call>\n{CALLS[0]}\n</tool_call>", [], False, True)  # no mark that was cut
@example("<tool<tool_call>\njunk\n</tool_call>", [], False, True)
@example("1 <", [2], False, True)  # the engine's parser holds the mark's first letter back for ever
@example("a</thi</think>b", [3], True, True)
@example("Your order</tool_call>Your order", [], True, True)  # a stray mark ends no thinking
@example("I wonder<tool_call>\n{", [4], True, True)
def test_an_engine_with_parsers(raw: str, where: list[int], thinking: bool, calls: bool) -> None:
    content, reasoning, called = heard(parsed_stream(raw, where, thinking=thinking, calls=calls), calls)
    due = transcript(raw, thinking=thinking, calls=calls)
    assert alike(content, due.content) and alike(reasoning, due.reasoning)
    assert [name for name, _ in called] == [call.name for call in due.calls]
