"""The window: exact on the rendered prompt, whole exchanges, the prompt untouched while it fits, what is settled kept."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from data.chat import END_OF_TURN, SPECIAL_TOKENS, render, template
from data.schema import Function, Message, ToolCall
from serving.errors import BadRequest
from serving.tokenizer import ServedTokenizer
from serving.window import PINNED, Exchange, Facts, Window, exchanges_of

SYSTEM = Message(role="system", content="You are Kefu. Call f for orders.")
TOOLS = ({"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}},)
ODD = [
    "e\u0301" * 20,
    "订单号是多少" * 4,
    "</think>x",
    "a</tool_call>b",
    "<tool_response>x</tool_response>",
    END_OF_TURN,
]
text = st.text(min_size=1, max_size=40).filter(str.strip) | st.sampled_from(ODD)


def a_tokenizer() -> Tokenizer:
    """As Qwen's: composes its text, merges bytes, has the template's marks as tokens of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|im_start|>", END_OF_TURN, *SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([template(), "Where is order 123456? 订单在哪里"], trainer)
    return tokenizer


TOKENIZER = ServedTokenizer(a_tokenizer(), template())


def counted(messages: Any) -> int:
    """Tokens of the whole prompt, counted at once."""
    return TOKENIZER.count(render(TOKENIZER, messages, tools=TOOLS))


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """A customer's message or two, rounds of calls with their results, an answer; some settle something."""
    messages = [Message(role="user", content=draw(text)) for _ in range(draw(st.integers(1, 2)))]
    for _ in range(draw(st.integers(0, 2))):
        calls = tuple(
            ToolCall(id=str(n), function=Function(name="f", arguments={"order_id": draw(text)}))
            for n in range(draw(st.integers(1, 3)))
        )
        messages.append(Message(role="assistant", content=draw(st.just("") | text), tool_calls=calls))
        messages += [Message(role="tool", content=draw(text), tool_call_id=call.id) for call in calls]
    facts = Facts(draw(st.none() | st.sampled_from(["123456", "90517"])), draw(st.none() | st.just("5 Hill Road")))
    return Exchange((*messages, Message(role="assistant", content=draw(text))), facts)


conversations = st.lists(exchanges() | exchanges().map(lambda e: Exchange(e.messages)), max_size=6)


def check_the_rules(earlier: list[Exchange], history: int, spare: int, last: str) -> None:
    asked = Exchange((Message(role="user", content=last),))
    said, alone = [*earlier, asked], counted((SYSTEM,))
    window = Window(TOKENIZER, history, alone + spare, TOOLS)
    limit = alone + min(history, spare)
    try:
        system, *kept = window.shown(SYSTEM, said)
    except BadRequest:
        assert counted((SYSTEM, *asked.messages)) > alone + spare
        return
    assert system == SYSTEM and kept[-1] == asked.messages[-1]
    _calls_have_their_results(kept)
    whole = _messages(said)
    tokens = counted((SYSTEM, *kept))
    if counted((SYSTEM, *whole)) <= limit:
        assert kept == whole  # byte for byte the prompt that it would be without a window
        return
    assert tokens <= limit or (tuple(kept) == asked.messages and tokens <= alone + spare)
    run = _latest_run(said, kept)
    pinned = [exchange for exchange in said[:run] if exchange.facts != Facts()]
    if not pinned:
        assert kept == _messages(said[run:])
        # one exchange more would not have fitted
        assert counted((SYSTEM, *_messages(said[run - 1 :]))) > limit


@settings(deadline=None, max_examples=60)
@given(conversations, st.integers(0, 700), st.integers(0, 400), text)
def test_the_window_s_rules(earlier: list[Exchange], history: int, spare: int, last: str) -> None:
    check_the_rules(earlier, history, spare, last)


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(st.lists(exchanges(), max_size=12), st.integers(0, 2000), st.integers(0, 1500), text)
def test_the_window_s_rules_at_length(earlier: list[Exchange], history: int, spare: int, last: str) -> None:
    check_the_rules(earlier, history, spare, last)


def _messages(said: list[Exchange]) -> list[Message]:
    return [message for exchange in said for message in exchange.messages]


def _latest_run(said: list[Exchange], kept: list[Message]) -> int:
    """Where the longest run of whole latest exchanges begins that ends what is kept."""
    start, left = len(said), list(kept)
    while start and tuple(left[len(left) - len(said[start - 1].messages) :]) == said[start - 1].messages:
        start -= 1
        left = left[: len(left) - len(said[start].messages)]
    return start


def _calls_have_their_results(messages: list[Message]) -> None:
    due: list[str | None] = []
    for message in messages:
        if message.role == "tool":
            assert due.pop(0) == message.tool_call_id
        else:
            assert not due
            due = [call.id for call in message.tool_calls]
    assert not due


def _exchange(said: str, answered: str, order_id: str | None = None, address: str | None = None) -> Exchange:
    messages = Message(role="user", content=said), Message(role="assistant", content=answered)
    return Exchange(messages, Facts(order_id, address))


def test_what_is_settled_stays_word_for_word() -> None:
    order = _exchange("Where is 123456?", "Order 123456 is packed.", order_id="123456")
    address = _exchange("confirm 4821", "Done: order 123456 now goes to: 5 Hill Road", address="5 Hill Road")
    small_talk = [_exchange(f"hello {n} " + "x" * 60, "hi") for n in range(20)]
    asked = Exchange((Message(role="user", content="And when does it come?"),))
    window = Window(TOKENIZER, 500, 4000, TOOLS)
    old = _exchange("Where is 90517?", "Shipped.", order_id="90517")
    _, *kept = window.shown(SYSTEM, [old, order, small_talk[0], address, *small_talk, asked])
    assert kept[:4] == [*order.messages, *address.messages]
    assert kept[4].content == small_talk[20 - (len(kept) - 5) // 2].messages[0].content
    assert "90517" not in str(kept)

    _, *kept = window.shown(SYSTEM, [order, *small_talk, _exchange("123456 again?", "Still packed."), asked])
    assert kept[0].content.startswith("hello")  # said again later: nothing needs a pin


@pytest.mark.parametrize("long", ["question", "answer"])
def test_a_pinned_exchange_that_is_too_long_keeps_its_order_number(long: str) -> None:
    words = "please " * 300
    order = _exchange(
        f"{words if long == 'question' else ''} 123456", words if long == "answer" else "Packed.", "123456"
    )
    asked = Exchange((Message(role="user", content="And when?"),))
    filler = [_exchange("x" * 80, "y") for _ in range(10)]
    window = Window(TOKENIZER, 400, 4000, TOOLS)
    _, *kept = window.shown(SYSTEM, [order, *filler, asked])
    assert kept[0].content == "123456" and kept[1].content.endswith("…")
    assert counted((SYSTEM, *kept[:2])) - counted((SYSTEM,)) <= 400 // PINNED + 4


def test_results_of_tools_that_do_not_fit_are_cut_and_a_message_that_does_not_is_refused() -> None:
    call = ToolCall(id="a", function=Function(name="f", arguments={}))
    called = Message(role="assistant", tool_calls=(call,)), Message(role="tool", content="z" * 3000, tool_call_id="a")
    alone = counted((SYSTEM,))
    window = Window(TOKENIZER, 4000, alone + 300, TOOLS)
    system, *kept = window.shown(SYSTEM, [Exchange((Message(role="user", content="Where?"), *called))], room=50)
    assert [message.role for message in kept] == ["user", "assistant", "tool"] and kept[2].content.endswith("…")
    assert alone < counted((system, *kept)) <= alone + 250
    with pytest.raises(BadRequest, match="longer than the 250 tokens"):
        window.shown(SYSTEM, [Exchange((Message(role="user", content="订" * 400),))], room=50)


def test_what_an_exchange_settled_is_what_was_not_refused() -> None:
    def tool(status: str, **arguments: Any) -> dict[str, Any]:
        return {"name": "f", "arguments": arguments, "status": status}

    looked = tool("ok", order_id="1"), tool("refused", order_id="2")
    assert Facts.of(looked) == Facts("1")
    assert Facts.of([*looked, tool("proposed", order_id="3", new_addr="x")]) == Facts("3")
    assert Facts.of([tool("done", order_id="3", new_addr="5 Hill Road")]) == Facts("3", "5 Hill Road")
    assert (
        Facts.of([tool("ok", order_id=["1"]), tool("ok", order_id="x" * 400), tool("invalid", malformed="{")])
        == Facts()
    )


def test_several_messages_in_a_row_are_one_exchange() -> None:
    roles = ("assistant", "user", "user", "assistant", "user")
    messages = [Message(role=role, content=role) for role in roles]  # type: ignore[arg-type]
    assert [len(exchange.messages) for exchange in exchanges_of(messages)] == [1, 3, 1]


@pytest.mark.slow  # Transformers take seconds to import
@settings(deadline=None, max_examples=50)
@given(conversations)
def test_the_served_tokenizer_renders_and_counts_as_transformers_do(said: list[Exchange]) -> None:
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_object=a_tokenizer(), chat_template=template())
    messages = [SYSTEM, *(message for exchange in said for message in exchange.messages)]
    for tools in (TOOLS, None):
        ours = render(TOKENIZER, messages, tools=tools)
        assert ours == render(theirs, messages, tools=tools)
        assert TOKENIZER.count(ours) == len(theirs(ours, add_special_tokens=False)["input_ids"])
