"""Model mode: messages verbatim, calls back in both shapes, reasoning apart, stream equal to whole."""

import json
from typing import Any

import httpx
import pytest

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
}
FUNCTION = TOOL["function"]


def assembled(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """What a client makes of a stream: text, calls, function call, finish reason."""
    result: dict[str, Any] = {"content": "", "reasoning": "", "calls": {}, "function": {"name": "", "arguments": ""}}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        delta = choice["delta"]
        result["content"] += delta.get("content") or ""
        result["reasoning"] += delta.get("reasoning") or ""
        for part in delta.get("tool_calls") or ():
            call = result["calls"].setdefault(part["index"], {"id": part.get("id"), "name": "", "arguments": ""})
            call["name"] += part["function"].get("name") or ""
            call["arguments"] += part["function"].get("arguments") or ""
        for key, value in (delta.get("function_call") or {}).items():
            result["function"][key] += value
        result["finish"] = choice["finish_reason"]
    return result


async def test_messages_go_through_verbatim_and_calls_come_back(chat: Any, engine: Any, h: Any, shop: Any) -> None:
    engine.say(h.message(None, tool_calls=[h.call("f", {"a": 1}), h.call("f", {"a": 2}, id="call_b")]))
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "jo"},
        {"role": "assistant", "content": None, "tool_calls": [h.call("f", {})]},
        {"role": "tool", "content": "42", "tool_call_id": "call_a"},
    ]
    body = await chat(messages, tools=[TOOL], tool_choice="required", response_format={"type": "text"}, top_k=5)
    sent = engine.requests[0]
    assert sent["messages"] == messages and sent["tools"] == [TOOL]
    assert sent["tool_choice"] == "required" and sent["response_format"] == {"type": "text"} and sent["top_k"] == 5
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["call_a", "call_b"]
    assert body["kefu"]["intent"] is None and not engine.intents_asked


async def test_stream_of_calls(chat: Any, engine: Any, h: Any) -> None:
    engine.say(h.message("Let me see.", tool_calls=[h.call("f", {"a": 1}), h.call("g", {"b": "二"}, id="call_b")]))
    response = await chat.post("hi", tools=[TOOL], stream=True, stream_options={"include_usage": True})
    chunks = h.events(response.text)
    got = assembled(chunks)
    assert got["content"] == "Let me see." and got["finish"] == "tool_calls"
    assert got["calls"][0] == {"id": "call_a", "name": "f", "arguments": '{"a": 1}'}
    assert got["calls"][1] == {"id": "call_b", "name": "g", "arguments": '{"b": "二"}'}
    assert chunks[-1]["usage"]["completion_tokens"] == 5 and "release" in chunks[-1]["kefu"]


@pytest.mark.parametrize("stream", [False, True])
async def test_functions_are_mapped_both_ways(chat: Any, engine: Any, h: Any, stream: bool) -> None:
    engine.say(h.message(None, tool_calls=[h.call("f", {"a": 1}), h.call("f", {"a": 2}, id="call_b")]))
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    ]
    response = await chat.post(messages, functions=[FUNCTION], function_call={"name": "f"}, stream=stream)
    sent = engine.requests[0]
    assert sent["tools"] == [TOOL] and sent["parallel_tool_calls"] is False
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    call, result = sent["messages"][1:]
    assert call["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"} and "function_call" not in call
    assert result["role"] == "tool" and result["tool_call_id"] == call["tool_calls"][0]["id"]
    if stream:
        got = assembled(h.events(response.text))
        assert got["function"] == {"name": "f", "arguments": '{"a": 1}'} and not got["calls"]
        assert got["finish"] == "function_call"
    else:
        choice = response.json()["choices"][0]
        assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
        assert "tool_calls" not in choice["message"] and choice["finish_reason"] == "function_call"


async def test_a_function_result_without_its_call_is_400(chat: Any) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "function", "name": "f", "content": "42"}]
    assert (await chat.post(messages, functions=[FUNCTION])).status_code == 400
    assert (await chat.post("hi", functions=[FUNCTION], tools=[TOOL])).status_code == 400


@pytest.mark.parametrize("return_reasoning", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        {"content": "Answer.", "reasoning": "Hmm."},
        {"content": "<think>\nHmm.\n</think>\n\nAnswer."},
        {"content": "Answer."},
    ],
)
async def test_reasoning_is_apart_and_stream_equals_whole(
    chat: Any, engine: Any, h: Any, said: dict[str, Any], return_reasoning: bool
) -> None:
    engine.say(h.message(**said))
    extra = {"tools": [TOOL], "enable_thinking": True, "return_reasoning": return_reasoning}
    whole = (await chat("hi", **extra))["choices"][0]["message"]
    streamed = assembled(h.events((await chat.post("hi", stream=True, **extra)).text))
    thought = "Hmm." in str(said)
    if not return_reasoning or not thought:
        assert (
            whole == {"role": "assistant", "content": "Answer.", "refusal": None} and streamed["content"] == "Answer."
        )
        assert streamed["reasoning"] == ""
        return
    assert whole["reasoning"] == whole["reasoning_content"] == streamed["reasoning"].strip() == "Hmm."
    assert whole["content"] == "<think>\nHmm.\n</think>\n\nAnswer."
    assert "".join(streamed["content"].split()) == "".join(whole["content"].split())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("return_reasoning", [False, True])
async def test_cut_thinking_is_asked_again(
    chat: Any, engine: Any, h: Any, stream: bool, return_reasoning: bool
) -> None:
    engine.say(h.message(None, reasoning="I wonder", finish_reason="length"), h.message("Answer."))
    extra = {"tools": [TOOL], "enable_thinking": True, "return_reasoning": return_reasoning}
    response = await chat.post("hi", stream=stream, **extra)
    if stream:
        got = assembled(h.events(response.text))
        content, finish = got["content"], got["finish"]
    else:
        choice = response.json()["choices"][0]
        content, finish = choice["message"]["content"], choice["finish_reason"]
    assert content == ("<think>\nI wonder\n</think>\n\nAnswer." if return_reasoning else "Answer.")
    assert finish == "stop"
    assert [r["chat_template_kwargs"]["enable_thinking"] for r in engine.requests] == [True, False]


async def test_reasoning_of_earlier_answers_does_not_go_back_in(chat: Any, engine: Any) -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>\nx\n</think>\n\nb", "reasoning_content": "x"},
        {"role": "user", "content": "c"},
    ]
    await chat(messages, tools=[TOOL])
    assert engine.requests[0]["messages"][1] == {"role": "assistant", "content": "b"}


async def both_ways(chat: Any, h: Any, **body: Any) -> list[tuple[str, list[str], str]]:
    """(content, names called, finish reason) of a whole answer and of a stream."""
    choice = (await chat("hi", tools=[TOOL], **body))["choices"][0]
    message = choice["message"]
    names = [call["function"]["name"] for call in message.get("tool_calls") or ()]
    got = assembled(h.events((await chat.post("hi", tools=[TOOL], stream=True, **body)).text))
    streamed = (got["content"], [call["name"] for call in got["calls"].values()], got["finish"])
    return [(message["content"] or "", names, choice["finish_reason"]), streamed]


async def test_a_call_that_was_cut_does_not_leave_and_words_do(chat: Any, engine: Any, h: Any) -> None:
    engine.say(h.message(None, tool_calls=[h.call("f", '{"a": "12')], finish_reason="length"))
    for content, names, finish in await both_ways(chat, h, tool_choice="required"):
        assert content.startswith("Sorry") and (names, finish) == ([], "length")
    engine.say(h.message('<tool_call>\n{"name": "f", "arguments": {"a": "12', finish_reason="length"))
    for content, names, finish in await both_ways(chat, h):
        assert content.startswith("Sorry") and (names, finish) == ([], "length")


async def test_a_call_left_in_the_text_leaves_as_a_call(chat: Any, engine: Any, h: Any) -> None:
    engine.say(h.message('One moment.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'))
    assert await both_ways(chat, h) == [("One moment.", ["f"], "tool_calls")] * 2
    assert await both_ways(chat, h, tool_choice="none") == [("One moment.", [], "stop")] * 2


async def test_a_forced_call_finishes_as_any_call(chat: Any, engine: Any, h: Any) -> None:
    named = {"type": "function", "function": {"name": "f"}}
    engine.say(h.message(None, tool_calls=[h.call("f", {"a": 1})], finish_reason="stop"))  # as vLLM says it
    assert await both_ways(chat, h, tool_choice=named) == [("", ["f"], "tool_calls")] * 2


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_do_not_tell_the_reasoning(chat: Any, engine: Any, stream: bool) -> None:
    pieces = ({"reasoning": "secret"}, "secret"), ({"content": "Hello"}, "Hello")
    chunks = [
        {"choices": [{"index": 0, "delta": delta, "logprobs": {"content": [{"token": token, "logprob": -0.1}]}}]}
        for delta, token in pieces
    ]
    lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    engine.say(httpx.Response(200, text=f"{lines}data: [DONE]\n\n"))
    answer = (await chat.post("hi", tools=[TOOL], enable_thinking=True, logprobs=True, stream=stream)).text
    assert "secret" not in answer and '"token":"Hello"' in answer.replace(": ", ":")
