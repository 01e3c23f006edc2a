"""Every field of OpenAI's chat completions is handled, or refused by name; what leaves fits OpenAI's types and our page's."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any, get_args, get_type_hints

import pytest
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionAssistantMessageParam,
    ChatCompletionChunk,
    ChatCompletionContentPartParam,
    ChatCompletionStreamOptionsParam,
    ChatCompletionToolChoiceOptionParam,
    ChatCompletionToolUnionParam,
    chat_completion_message_param,
)
from openai.types.chat.completion_create_params import CompletionCreateParamsBase, ResponseFormat

from serving.answers import ChatChunk, ChatResponse
from serving.protocol import ChatRequest

USER = {"role": "user", "content": "hi there"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
OTHER = {"type": "function", "function": {"name": "g", "strict": True, "parameters": {}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True}}
UNFIT = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": 1}}}
NAMELESS = {"type": "json_schema", "json_schema": {"name": "s"}}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
}
NAMED = {"type": "function", "function": {"name": "f"}}
WITH_TOOLS = {"tools": [TOOL, OTHER]}

# For each field of a request: a value that is served, with the other fields that it needs. The answer must be 200.
SERVED: dict[str, tuple[Any, dict[str, Any]]] = {
    "messages": ([USER], {}),
    "model": ("kefu", {}),
    "frequency_penalty": (0.5, {}),
    "function_call": ({"name": "f"}, {"functions": [TOOL["function"]]}),
    "functions": ([TOOL["function"]], {}),
    "logit_bias": ({"50": -100}, WITH_TOOLS),
    "logprobs": (True, WITH_TOOLS),
    "max_completion_tokens": (8, {}),
    "max_tokens": (8, {}),
    "metadata": ({"page": "help"}, {}),
    "modalities": (["text"], {}),
    "n": (1, {}),
    "parallel_tool_calls": (False, WITH_TOOLS),
    "prediction": ({"type": "content", "content": "hi"}, {}),
    "presence_penalty": (-0.5, {}),
    "prompt_cache_key": ("k", {}),
    "prompt_cache_options": ({"mode": "implicit"}, {}),
    "prompt_cache_retention": ("24h", {}),
    "reasoning_effort": ("low", {}),
    "response_format": (SCHEMA, WITH_TOOLS),
    "safety_identifier": ("u", {}),
    "seed": (7, {}),
    "service_tier": ("auto", {}),
    "stop": (["。"], {}),
    "store": (False, {}),
    "stream": (True, {}),
    "stream_options": ({"include_usage": True, "include_obfuscation": False}, {"stream": True}),
    "temperature": (0.2, {}),
    "tool_choice": ("required", WITH_TOOLS),
    "tools": ([TOOL], {}),
    "top_logprobs": (3, {**WITH_TOOLS, "logprobs": True}),
    "top_p": (0.9, {}),
    "user": ("u", {}),
    "verbosity": ("medium", {}),
}
REFUSED: dict[str, Any] = {  # a value that is not served; the error names the field
    "audio": {"voice": "ash", "format": "mp3"},
    "moderation": {"model": "omni-moderation-latest"},
    "web_search_options": {},
    "modalities": ["text", "audio"],
    "n": 2,
    "service_tier": "priority",
    "store": True,
    "verbosity": "low",
}
ENGINE_TAKES = (
    "frequency_penalty", "logit_bias", "logprobs", "presence_penalty", "response_format", "seed", "stop", "temperature",
    "tool_choice", "top_logprobs", "top_p", "parallel_tool_calls",
)  # fmt: skip


def openai_fields() -> list[str]:
    return sorted({*get_type_hints(CompletionCreateParamsBase), "stream"})


def test_the_lists_are_openais() -> None:
    assert set(openai_fields()) == set(SERVED) | set(REFUSED)
    assert set(openai_fields()) <= set(ChatRequest.model_fields)


async def test_each_field_is_served(chat: Any, engine: Any) -> None:
    for name, (value, needs) in SERVED.items():
        response = await chat.http.post(
            "/v1/chat/completions", json={"model": "kefu", "messages": [USER], **needs, name: value}
        )
        assert response.status_code == 200, response.text
        if name in ENGINE_TAKES:
            assert engine.requests[-1][name] == value


async def test_fields_are_refused_by_name(chat: Any, engine: Any) -> None:
    for name, needs in product(REFUSED, ({}, WITH_TOOLS)):
        error = (await chat.post("hi", **needs, **{name: REFUSED[name]})).json()["error"]
        assert error["type"] == "invalid_request_error" and error["param"] == name and name in error["message"]
    assert not engine.requests


async def test_null_is_as_if_not_given(chat: Any) -> None:
    for name in set(openai_fields()) - {"messages", "model"}:
        assert (await chat.post("hi", **{name: None})).status_code == 200, name


# The same for messages, content parts, tools, choices and formats: (body, the part of it that an error names or None).
FORMS: dict[str, tuple[dict[str, Any], str | None]] = {
    "developer": ({"messages": [{"role": "developer", "content": "Be kind.", "name": "d"}, USER]}, None),
    "system": ({"messages": [{"role": "system", "content": "Be kind.", "name": "s"}, USER]}, None),
    "user": ({"messages": [{**USER, "name": "jo"}]}, None),
    "tool": ({"messages": [USER, CALLED, {"role": "tool", "content": "42", "tool_call_id": "c"}], **WITH_TOOLS}, None),
    "function": (
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "42"},
            ],
            "functions": [TOOL["function"]],
        },
        None,
    ),
    "assistant content": ({"messages": [USER, {"role": "assistant", "content": "a", "name": "k"}, USER]}, None),
    "assistant refusal": ({"messages": [USER, {"role": "assistant", "refusal": "No."}, USER], **WITH_TOOLS}, None),
    "assistant tool_calls": ({"messages": [USER, CALLED, USER], **WITH_TOOLS}, None),
    "assistant audio": ({"messages": [USER, {"role": "assistant", "audio": {"id": "a"}}, USER]}, "messages.1.audio"),
    "part text": ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, None),
    "part refusal": (
        {
            "messages": [USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, USER],
            **WITH_TOOLS,
        },
        None,
    ),
    "part image_url": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0"),
    "part input_audio": (
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "messages.0.content.0",
    ),
    "part file": ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages.0.content.0"),
    "tool function": (WITH_TOOLS, None),
    "tool custom": ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools.0.type"),
    "choice function": ({**WITH_TOOLS, "tool_choice": NAMED}, None),
    "choice custom": ({**WITH_TOOLS, "tool_choice": {"type": "custom", "custom": {"name": "c"}}}, "tool_choice"),
    "choice allowed_tools": (
        {**WITH_TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}},
        None,
    ),
    "format text": ({"response_format": {"type": "text"}}, None),
    "format json_object": ({"response_format": {"type": "json_object"}, **WITH_TOOLS}, None),
    "format json_schema": ({"response_format": SCHEMA, **WITH_TOOLS}, None),
    "option include_usage": ({"stream": True, "stream_options": {"include_usage": True}}, None),
    "option include_obfuscation": ({"stream": True, "stream_options": {"include_obfuscation": True}}, None),
}


def tags(union: Any) -> Iterator[str]:
    """The `type` of each member of a union of OpenAI's."""
    for member in get_args(union):
        if getattr(member, "__annotations__", None):
            yield get_args(get_type_hints(member)["type"])[0]
        else:
            yield from tags(member)


def test_the_forms_are_openais() -> None:
    roles = {
        get_args(get_type_hints(param)["role"])[0]
        for param in get_args(chat_completion_message_param.ChatCompletionMessageParam)
    }
    assistants = {f"assistant {field}" for field in get_type_hints(ChatCompletionAssistantMessageParam)}
    expected = {
        *(roles - {"assistant"}),
        *(assistants - {"assistant role", "assistant name", "assistant function_call"}),  # within the others
        *(f"part {tag}" for tag in tags(ChatCompletionContentPartParam)),
        "part refusal",
        *(f"tool {tag}" for tag in tags(ChatCompletionToolUnionParam)),
        *(f"choice {tag}" for tag in tags(ChatCompletionToolChoiceOptionParam)),
        *(f"format {tag}" for tag in tags(ResponseFormat)),
        *(f"option {field}" for field in get_type_hints(ChatCompletionStreamOptionsParam)),
    }
    assert expected == set(FORMS)


async def test_each_form_is_served_or_refused_by_name(chat: Any) -> None:
    for form, (body, named) in FORMS.items():
        response = await chat.http.post("/v1/chat/completions", json={"model": "kefu", "messages": [USER], **body})
        if named is None:
            assert response.status_code == 200, f"{form}: {response.text}"
        else:
            assert response.status_code == 400 and response.json()["error"]["param"] == named, response.text


UNFIT_BODIES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "h"}}}, "tool_choice"),
    ({"functions": [TOOL["function"]], "function_call": {"name": "h"}}, "function_call"),
    ({"parallel_tool_calls": True}, "parallel_tool_calls"),
    ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function.name"),
    ({"tools": [{"type": "function", "function": {"name": "f", "colour": 1}}]}, "tools.0.function.colour"),
    ({**WITH_TOOLS, "top_logprobs": 3}, "top_logprobs"),
    ({**WITH_TOOLS, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": [""]}, "stop.0"),
    ({"seed": 2**63}, "seed"),
    ({"stream_options": {"colour": 1}}, "stream_options.colour"),
    (
        {**WITH_TOOLS, "response_format": NAMELESS},
        "response_format.json_schema.schema",
    ),
    (
        {**WITH_TOOLS, "response_format": UNFIT},
        "response_format.json_schema.schema",
    ),
    ({**WITH_TOOLS, "messages": [USER, {"role": "tool", "content": "x"}]}, "messages"),
    ({**WITH_TOOLS, "messages": [{"role": "user"}]}, "messages"),
    ({"thinking_budget": 0}, "thinking_budget"),
    ({"enable_thinking": "sometimes"}, "enable_thinking"),
    ({"reasoning_effort": "huge"}, "reasoning_effort"),
)


async def test_what_does_not_hold_is_named(chat: Any, engine: Any) -> None:
    for body, param in UNFIT_BODIES:
        response = await chat.http.post("/v1/chat/completions", json={"model": "kefu", "messages": [USER], **body})
        assert response.status_code == 400 and response.json()["error"]["param"] == param, response.text
    assert not engine.requests


async def test_allowed_tools_are_all_that_the_engine_sees(chat: Any, engine: Any) -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
    await chat("hi", **WITH_TOOLS, tool_choice=allowed)
    assert engine.requests[0]["tools"] == [TOOL] and engine.requests[0]["tool_choice"] == "required"


@pytest.mark.parametrize("stream", [False, True])
async def test_one_call_at_a_time_if_asked_so(chat: Any, engine: Any, h: Any, stream: bool) -> None:
    engine.say(h.message(None, tool_calls=[h.call("f", {"a": 1}), h.call("g", {"b": 2}, id="call_b")]))
    response = await chat.post("hi", **WITH_TOOLS, parallel_tool_calls=False, stream=stream)
    assert response.text.count('"arguments"') == 1 and "call_b" not in response.text


async def test_a_developer_is_heard_in_model_mode(chat: Any, engine: Any) -> None:
    await chat([{"role": "developer", "content": "Be kind."}, USER], **WITH_TOOLS)
    assert engine.requests[0]["messages"][0] == {
        "role": "system",
        "content": "Be kind.",
    }  # the template knows no developer


@pytest.mark.parametrize(
    "extra", [{}, {"tools": [TOOL]}, {"functions": [TOOL["function"]]}, {"return_reasoning": True}]
)
async def test_what_leaves_fits_openais_types_and_ours(chat: Any, engine: Any, h: Any, extra: dict[str, Any]) -> None:
    calls = (
        [h.call("f", {"a": 1}), h.call("f", {"a": 2}, id="call_b")] if "tools" in extra or "functions" in extra else []
    )
    engine.say(
        h.message("Let me see.", reasoning="Hm.", tool_calls=calls) if calls else h.message("Yes.", reasoning="Hm.")
    )
    body = await chat("what is it?", enable_thinking=True, **extra)
    ChatCompletion.model_validate(body, strict=True)
    assert set(ChatResponse.model_validate(body).model_dump(exclude_unset=True)) == set(body)
    options = {"include_usage": True}
    streamed = await chat.post("what is it?", enable_thinking=True, stream=True, stream_options=options, **extra)
    chunks = h.events(streamed.text)
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True)
        ChatChunk.model_validate(chunk)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert not any("role" in choice["delta"] for chunk in chunks[1:] for choice in chunk["choices"])
    assert chunks[-1]["usage"] == body["usage"] and chunks[-1]["choices"] == [] and chunks[-1]["kefu"]
    assert body["system_fingerprint"] == chunks[0]["system_fingerprint"]
