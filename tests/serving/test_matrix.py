"""Thinking x tools x stream x history x language, over texts that no model should write, cut anywhere: nothing leaks,
nothing is lost, no answer is empty.

What must arrive is said by `evals.transcript`, which reads the raw text at once and shares no code with the gateway.
"""

import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from itertools import product
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.transcript import MARKS, Transcript, transcript
from serving.endpoint import Endpoint
from serving.memory import Owner
from serving.protocol import ChatRequest
from serving.settings import GatewaySettings
from serving.toolset import TOOLS
from tests.serving.test_relay import TOOL, assembled
from tests.serving.wire import parsed_message, parsed_stream, plain_stream

CALLS = (
    '{"name": "query_order_status", "arguments": {"order_id": "42"}}',
    '{"name": "f", "arguments": {"new_addr": "北京路 5 号", "name": "Bob"}}',
    '{"arguments": {"name": "Bob", "n": [1, {"a": null}]}, "name": "f"}',
    '{"name": "f", "arguments": {}, "id": 1}',
    '{"name": "f", "arguments": {"text": "a } \\\\" < b"}}',
)
BROKEN = ('{"name": "f", "arguments": {"a": ', '{"name": "f"}', "junk", "", '{"name": "f", "arguments": [1]}', "{}}")
WORDS = (
    "Your order",
    " is on its way. ",
    "您的订单",
    "已发货。",
    "\n\n",
    " ",
    "1 < 2",
    "😀",
    "a",
    "<",
    "\x00",
    "<tool",
    "</thi",
)
blocks = st.sampled_from((*CALLS, *BROKEN)).map(lambda body: f"<tool_call>\n{body}\n</tool_call>")
cut_call = st.tuples(st.sampled_from(CALLS), st.integers(0, 80)).map(lambda cut: f"<tool_call>\n{cut[0][: cut[1]]}")
texts = st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(MARKS), blocks), max_size=9).map("".join)
raws = st.tuples(texts, st.one_of(st.just(""), cut_call)).map("".join)
cuts = st.lists(st.integers(0, 300), max_size=12)

OPENING = re.compile(r"^<think>\n.*?\n</think>\n\n", re.DOTALL)
ASKED = {"en": "Where is order 42?", "zh": "我的订单42到哪了？"}
ANSWERED = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>\nx\n</think>\n\nHello."}]
CALLED = [
    {"role": "user", "content": "Order 7?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "Shipped."},
    {"role": "assistant", "content": "It was shipped."},
]
HISTORIES = {"first": [], "answered": ANSWERED, "called": CALLED}
CHOICES: dict[str, dict[str, Any]] = {
    "auto": {"tools": [TOOL]},
    "none": {"tools": [TOOL], "tool_choice": "none"},
    "functions": {"functions": [TOOL["function"]]},
}


class Wire:
    """An engine that says `raws`, one after the other; the last one repeats."""

    def __init__(self, raws: list[str], where: list[int], kind: str) -> None:
        self.raws, self.where, self.kind, self.asked = raws, where, kind, 0

    async def __call__(self, body: dict[str, Any]) -> httpx.Response:
        raw = self.raws[min(self.asked, len(self.raws) - 1)]
        self.asked += 1
        how = {"thinking": body["chat_template_kwargs"]["enable_thinking"], "calls": body.get("tool_choice") != "none"}
        if not body.get("stream"):
            message = {"content": raw} if self.kind == "plain" else parsed_message(raw, **how)
            return httpx.Response(200, json={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        deltas = plain_stream(raw, self.where) if self.kind == "plain" else parsed_stream(raw, self.where, **how)
        chunks = [*({"index": 0, "delta": delta} for delta in deltas), {"delta": {}, "finish_reason": "stop"}]
        lines = [f"data: {json.dumps({'choices': [chunk]})}\n\n" for chunk in chunks]
        return httpx.Response(200, text="".join([*lines, "data: [DONE]\n\n"]))


def expected(wire: Wire, thinking: bool, choice: str) -> Transcript:
    """What must arrive: thinking that left nothing is asked again without; of functions only one call has room."""

    def read(raw: str, thinking: bool) -> Transcript:
        return transcript(raw, thinking=thinking and wire.kind == "parsed", calls=choice != "none")

    said = read(wire.raws[0], thinking)
    if thinking and silent(said):
        again = read(wire.raws[-1], False)
        said = again.model_copy(update={"reasoning": said.reasoning + again.reasoning})
    return said.model_copy(update={"calls": said.calls[:1]}) if choice == "functions" else said


def squeezed(text: str) -> str:
    """Text without what may differ: white space, which also parts what would join to a mark; NUL, which never leaves."""
    return "".join(text.replace("\x00", "").split())


def silent(said: Transcript) -> bool:
    """Whether nothing arrives of it: neither a call nor a text that can be seen."""
    return not squeezed(said.content) and not said.calls


def alike(text: str, whole: str) -> bool:
    """Whether a text is the `whole` one, or all of it but what looks like the start of a mark at its end: an engine's parser
    keeps that when nothing follows, and when it swallows a broken call after it."""
    got, whole = squeezed(text), squeezed(whole)
    left = (
        whole.removeprefix(got) if whole.startswith(got) else whole
    )  # with nothing left, the server has words of its own
    return got == whole or (left != "" and any(mark.startswith(left) for mark in MARKS))


async def ask(endpoint: Endpoint, messages: list[dict[str, Any]], **body: Any) -> tuple[Any, str]:
    """(content, reasoning, calls) and the finish reason, of a stream or of a whole."""
    request = ChatRequest.model_validate({"model": "kefu", "messages": messages, **body})
    served = await endpoint.serve(request, Owner(None, None))
    if isinstance(served, dict):
        choice = served["choices"][0]
        got, finish = choice["message"], choice["finish_reason"]
        whole = [call["function"] for call in got.get("tool_calls") or ()]
        calls = [got["function_call"]] if "function_call" in got else whole
    else:
        got = assembled([chunk async for chunk in served])
        calls = [got["function"]] if got["function"]["name"] else list(got["calls"].values())
        finish = got["finish"]
    named = [(call["name"], json.loads(call["arguments"])) for call in calls]
    return (got.get("content") or "", got.get("reasoning") or "", named), finish


async def both(endpoint: Endpoint, wire: Wire, messages: list[dict[str, Any]], **body: Any) -> tuple[Any, str]:
    """What a stream and a whole answer say alike."""
    answers = []
    for stream in (False, True):
        wire.asked = 0
        answers.append(await ask(endpoint, messages, stream=stream, **body))
    assert answers[0] == answers[1], "a stream says something else than a whole"
    return answers[0]


async def check_relay(endpoint: Endpoint, wire: Wire, histories: Iterable[str] = tuple(HISTORIES)) -> None:
    cells = product((False, True), (False, True), CHOICES, histories, ASKED)
    for thinking, shown, choice, history, language in cells:
        messages = [*HISTORIES[history], {"role": "user", "content": ASKED[language]}]
        body = {**CHOICES[choice], "enable_thinking": thinking, "return_reasoning": shown}
        (content, reasoning, calls), finish = await both(endpoint, wire, messages, **body)
        due = expected(wire, thinking, choice)
        answer = OPENING.sub("", content) if shown else content
        assert not any(mark in answer + reasoning for mark in MARKS), "a mark leaks"
        assert calls == [(call.name, call.arguments) for call in due.calls]
        assert answer or calls, "an empty answer"
        assert silent(due) or alike(answer, due.content)
        assert alike(reasoning, due.reasoning if shown else "")
        assert finish == (("function_call" if choice == "functions" else "tool_calls") if calls else "stop")


async def check_agent(endpoint: Endpoint, wire: Wire) -> None:
    for thinking, shown, history, language in product((False, True), (False, True), ("first", "answered"), ASKED):
        messages = [*HISTORIES[history], {"role": "user", "content": ASKED[language]}]
        body = {"enable_thinking": thinking, "return_reasoning": shown}
        (content, reasoning, calls), finish = await both(endpoint, wire, messages, **body)
        answer = OPENING.sub("", content) if shown else content
        assert answer.strip() and not calls and finish == "stop"
        assert not any(mark in answer + reasoning for mark in MARKS)
        assert shown or not reasoning


@pytest.fixture
async def endpoint(settings: GatewaySettings, engine: Any, shop: Any) -> AsyncIterator[Endpoint]:
    unlabelled = replace(settings, predict_intent=False)
    endpoint = Endpoint(unlabelled, TOOLS, httpx.MockTransport(engine))
    yield endpoint
    await endpoint.close()


def quick(examples: int) -> Any:
    slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, suppress_health_check=slow)


@pytest.mark.parametrize(
    ("said", "where", "kind"),
    [
        ("", [], "parsed"),
        (f"<tool_call>\n{CALLS[0]}\n</tool_call>\n<tool_call>\n{BROKEN[0]}", [], "parsed"),
        ("b</think>c<think>d</think>e", [1, 12], "parsed"),
        ("<tool_<|im_end|>call>", [3], "plain"),
        (f"<tool_response>Hm.<tool_call>\n{CALLS[0]}\n</tool_call></tool_response>Yes.", [20], "parsed"),
    ],
    ids=[
        "nothing",
        "a broken call after a whole one",
        "thinking that goes on",
        "marks within a mark",
        "a call in a response",
    ],
)
async def test_nothing_leaks_and_nothing_is_lost(
    endpoint: Endpoint, engine: Any, said: str, where: list[int], kind: str
) -> None:
    wire = Wire([said, said], where, kind)
    engine.say(wire)
    await check_relay(endpoint, wire, ["called"])
    await check_agent(endpoint, wire)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(raws=st.tuples(raws, raws).map(list), where=cuts, kind=st.sampled_from(("parsed", "plain")))
@quick(1000)
async def test_nothing_leaks_in_a_thousand_texts(
    endpoint: Endpoint, engine: Any, raws: list[str], where: list[int], kind: str
) -> None:
    wire = Wire(raws, where, kind)
    engine.say(wire)
    await check_relay(endpoint, wire)
    await check_agent(endpoint, wire)
