"""A request in the form in which `data/traces.py` reads it back to learn from, its personal data replaced by surrogates.

The whole exchange is one dialog while it is redacted, so that a number keeps its surrogate from question to call to answer.
What cannot be read as a dialog cannot be redacted as one, and has no form. Not covered: sending it (`serving/traces.py`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from data.chat import wire
from data.conversations import from_openai
from data.pii import redact
from data.schema import Dialog, Message
from serving.observation import Observation, Span
from serving.reasoning import split, without_markup

_FAILED = {"role": "assistant", "content": "-"}  # a dialog needs an end; this one is never sent


@dataclass(frozen=True)
class TraceForm:
    """What may be sent of one request: texts redacted, steps as numbers."""

    request: dict[str, Any]
    answer: dict[str, Any] | None  # None: the request failed
    tools: tuple[tuple[Span, Any, str], ...]  # each tool that the server ran: its step, arguments, result
    worded_by: Literal["model", "faq", "server"]


class Unreadable(Exception):
    """A request that is no dialog, so that its personal data cannot be replaced consistently."""


def trace_form(seen: Observation, key: str) -> TraceForm:
    """The form of a finished request. `key` is secret: with it alone a guessed original could be confirmed.

    Raises:
        Unreadable: it is no dialog.
        EnvironmentLacks: the recognizers of names and addresses are not installed.
    """
    shown, offered = _shown(seen)
    ran = [span for span in seen.spans if span.step == "tool" and isinstance(span.outputs, str)]
    answer = _answer(seen) if seen.status == 200 and seen.finish_reason else None
    messages = [*shown, *_calls(ran), answer or _FAILED]
    try:
        dialog, _ = redact(from_openai({"messages": messages}, "trace", "traces"), people=True, key=key)
    except (ValueError, ValidationError, RecursionError) as error:
        raise Unreadable(type(error).__name__) from None
    return _taken_apart(dialog, len(shown), ran, offered, answered=answer is not None, worded_by=_worded_by(seen))


def _shown(seen: Observation) -> tuple[list[Mapping[str, Any]], list[Any]]:
    """The messages that the model was shown, and the caller's own tools. The shop's prompt is known by the release."""
    first = next((span.inputs for span in seen.spans if span.step == "answer" and span.inputs), None)
    if first is None:
        return list(seen.asked), []
    if seen.mode == "model":
        return list(first["messages"]), list(first.get("tools") or ())
    return [message for message in first["messages"] if message["role"] != "system"], []


def _calls(ran: Sequence[Span]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for number, span in enumerate(ran):
        function = {"name": span.name, "arguments": json.dumps(span.inputs, ensure_ascii=False)}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": span.outputs})
    return messages


def _answer(seen: Observation) -> dict[str, Any]:
    """The answer without thinking in its text, where callers that ask for thinking get it."""
    told = seen.message
    content, thought = split(told.get("content") or "")
    answer: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning := told.get("reasoning_content") or thought:
        answer["reasoning_content"] = reasoning
    if calls := told.get("tool_calls"):
        answer["tool_calls"] = calls
    elif call := told.get("function_call"):
        answer["tool_calls"] = [{"id": "call_0", "type": "function", "function": call}]
    return answer


def _worded_by(seen: Observation) -> Literal["model", "faq", "server"]:
    """Who chose the words: a confirmation's outcome, say, must never be learned as something that a model says."""
    if seen.kefu.get("cache"):
        return "faq"
    if seen.mode == "model":
        return "model"
    said = next((span.outputs for span in reversed(seen.spans) if span.step == "answer"), None)
    content = split(seen.message.get("content") or "")[0]
    return "model" if isinstance(said, str) and without_markup(split(said)[0]) == content else "server"


def _taken_apart(
    dialog: Dialog, shown: int, ran: Sequence[Span], offered: list[Any], *, answered: bool, worded_by: Any
) -> TraceForm:
    request: dict[str, Any] = {"messages": wire(dialog.messages[:shown])}
    if offered:
        request["tools"] = offered
    between, last = dialog.messages[shown:-1], dialog.messages[-1]
    tools = tuple(
        (span, call.tool_calls[0].function.arguments, result.content)
        for span, call, result in zip(ran, between[::2], between[1::2], strict=True)
    )
    return TraceForm(request, _completion(last) if answered else None, tools, worded_by)


def _completion(message: Message) -> dict[str, Any]:
    told = wire([message])[0]
    if message.reasoning_content:
        told["reasoning_content"] = message.reasoning_content
    finish = "tool_calls" if message.tool_calls else "stop"
    return {"object": "chat.completion", "choices": [{"index": 0, "message": told, "finish_reason": finish}]}
