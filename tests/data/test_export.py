"""Export: any dialog that goes out to OpenAI's or ShareGPT's form comes back unchanged."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.conversations import from_openai, from_sharegpt
from data.errors import BadInput
from data.export import to_openai, to_sharegpt, with_call_ids
from data.schema import Dialog, Function, Message, ToolCall
from data.shop import Shop

TEXT = st.text(min_size=1, max_size=20).filter(str.strip)
NAME = st.text("abc_查", min_size=1, max_size=6)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15) + 1, 10**15 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAME, inner, max_size=2),
    max_leaves=4,
)
FUNCTION = st.builds(Function, name=NAME, arguments=st.dictionaries(NAME, JSON, max_size=3))
TOOLS = st.lists(
    st.builds(lambda name: {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}, NAME),
    max_size=2,
)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def exchanges(draw: st.DrawFn, ids: st.SearchStrategy[str | None]) -> list[Message]:
    """One turn of the customer and what the assistant does about it: rounds of calls, then an answer or one more call."""
    messages = [Message(role="user", content=draw(TEXT))]
    thought = st.none() | st.text(max_size=9)
    for functions in draw(st.lists(st.lists(FUNCTION, min_size=1, max_size=2), max_size=2)):
        calls = tuple(ToolCall(id=draw(ids), function=function) for function in functions)
        said, trained = draw(st.just("") | TEXT), draw(st.booleans())
        turn = Message(
            role="assistant", content=said, tool_calls=calls, trained=trained, reasoning_content=draw(thought)
        )
        results = [Message(role="tool", content=draw(TEXT), tool_call_id=call.id) for call in calls]
        messages += [turn, *results]
    answer = Message(role="assistant", content=draw(TEXT), reasoning_content=draw(thought), trained=draw(st.booleans()))
    return [*messages, answer]


@st.composite
def dialogs(draw: st.DrawFn, ids: st.SearchStrategy[str | None] = st.uuids().map(str)) -> Dialog:  # noqa: B008
    system = [Message(role="system", content=draw(TEXT))] if draw(st.booleans()) else []
    turns = [message for part in draw(st.lists(exchanges(ids), min_size=1, max_size=2)) for message in part]
    return Dialog(
        id=draw(TEXT.map(str.strip)),
        messages=tuple(system + turns),
        tools=tuple(draw(TOOLS)),
        intent=draw(st.none() | NAME),
        language=draw(st.sampled_from(["en", "zh"])),
        source=draw(NAME),
        thinking=draw(st.booleans()),
    )


def through(row: dict[str, Any]) -> dict[str, Any]:
    """As a file has it."""
    read: dict[str, Any] = json.loads(json.dumps(row, ensure_ascii=False))
    return read


@given(dialogs())
@SLOW
def test_openai_s_form_keeps_everything(dialog: Dialog) -> None:
    assert from_openai(through(to_openai(dialog, {})), "other", "elsewhere") == dialog


@given(dialogs(ids=st.none() | st.uuids().map(str)))
@SLOW
def test_calls_without_an_id_are_given_one(dialog: Dialog) -> None:
    numbered = with_call_ids(dialog)
    assert from_openai(through(to_openai(dialog, {})), "other", "elsewhere") == numbered
    calls = [call.id for message in numbered.messages for call in message.tool_calls]
    results = [message.tool_call_id for message in numbered.messages if message.role == "tool"]
    assert calls == results and len(calls) == len(set(calls))


@given(dialogs(ids=st.none() | st.uuids().map(str)))
@SLOW
def test_sharegpt_s_form_keeps_everything(dialog: Dialog) -> None:
    assert from_sharegpt(through(to_sharegpt(dialog, {})), "other", "elsewhere") == dialog


def test_the_shop_s_own_tools_go_out_whole() -> None:
    shop = Shop.default()
    turns = (Message(role="user", content="hi"), Message(role="assistant", content="ho"))
    dialog = Dialog(id="d", messages=turns, tools=("query_order_status",), language="en", source="x")
    for write, read in ((to_openai, from_openai), (to_sharegpt, from_sharegpt)):
        back = read(through(write(dialog, shop.tools)), "other", "elsewhere")
        assert back == dialog.model_copy(update={"tools": (shop.tools["query_order_status"],)})
        with pytest.raises(BadInput, match=r"dialog d: unknown tool\(s\) query_order_status"):
            write(dialog, {})


def test_a_recipe_s_language_goes_before_what_the_file_says() -> None:
    turns = (Message(role="user", content="hi"), Message(role="assistant", content="ho"))
    row = to_openai(Dialog(id="d", messages=turns, language="en", source="x"), {})
    assert from_openai(row, "other", "elsewhere", "zh").language == "zh"


def test_fields_that_are_empty_on_every_turn_do_no_harm() -> None:
    empty = {"reasoning_content": "", "tool_call_id": None}
    turns = [{"role": "user", "content": "hi"} | empty, {"role": "assistant", "content": "ho"} | empty]
    user, assistant = from_openai({"messages": turns}, "d", "x").messages
    assert (user.reasoning_content, assistant.reasoning_content) == (None, "")
