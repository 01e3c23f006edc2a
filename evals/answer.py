"""An endpoint's answer as a client takes it, whole or from a stream; what breaks the protocol on the way is noted.

Not covered: whether it is the right answer (`evals/conformance.py`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from data.chat import THINK_OPEN

_CLOSED = "\n</think>\n\n"


class Answer(BaseModel):
    """`content` is without the thinking before it, which is in `opening`; `calls` are (name, arguments as text)."""

    content: str = ""
    opening: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = []
    finish: str | None = None
    handled: list[dict[str, Any]] = []  # the calls that an agent ran: name, arguments, status
    problems: list[str] = []


def whole(body: Mapping[str, Any]) -> Answer:
    """The answer of a body in OpenAI's shape."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        functions = [call["function"] for call in message.get("tool_calls") or ()]
        functions += [message["function_call"]] if message.get("function_call") else []
        answer = Answer(
            content=message.get("content") or "",
            reasoning=message.get("reasoning") or "",
            calls=[(function["name"], function["arguments"]) for function in functions],
            finish=choice["finish_reason"],
            handled=body["kefu"]["tools"],
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return Answer(problems=[f"not a chat completion ({type(error).__name__}): {str(body)[:200]}"])
    if not all(call.get("id") for call in message.get("tool_calls") or ()):
        answer.problems.append("a call without an id")
    return _opened(answer)


def streamed(text: str) -> Answer:
    """The answer of a stream of server-sent events."""
    events = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    answer = Answer()
    if not events or events.pop() != "[DONE]":
        answer.problems.append("the stream does not end in [DONE]")
    finishes: list[str] = []
    for event in events:
        try:
            chunk = json.loads(event)
            answer.handled = chunk.get("kefu", {}).get("tools", answer.handled)
            for choice in chunk["choices"]:
                _add(answer, choice["delta"])
                finishes += [choice["finish_reason"]] if choice.get("finish_reason") else []
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            answer.problems.append(f"not a chunk ({type(error).__name__}): {event[:200]}")
    if len(finishes) != 1:
        answer.problems.append(f"{len(finishes)} finish reasons in one stream")
    answer.finish = finishes[-1] if finishes else None
    return _opened(answer)


def _add(answer: Answer, delta: Mapping[str, Any]) -> None:
    answer.content += delta.get("content") or ""
    answer.reasoning += delta.get("reasoning") or ""
    for piece in delta.get("tool_calls") or ():
        _add_call(answer, piece)
    if function := delta.get("function_call"):
        _extend(answer.calls, 0, function)


def _add_call(answer: Answer, piece: Mapping[str, Any]) -> None:
    index = piece["index"]
    if index > len(answer.calls):
        answer.problems.append(f"call {index} begins before call {len(answer.calls)}")
    if index >= len(answer.calls) and not piece.get("id"):
        answer.problems.append("a call without an id")
    _extend(answer.calls, min(index, len(answer.calls)), piece["function"])


def _extend(calls: list[tuple[str, str]], index: int, function: Mapping[str, Any]) -> None:
    known: Sequence[str] = calls[index] if index < len(calls) else ("", "")
    name, arguments = known[0] + (function.get("name") or ""), known[1] + (function.get("arguments") or "")
    calls[index : index + 1] = [(name, arguments)]


def _opened(answer: Answer) -> Answer:
    if answer.content.startswith(f"{THINK_OPEN}\n") and _CLOSED in answer.content:
        opening, closed, answer.content = answer.content.partition(_CLOSED)
        answer.opening = opening + closed
    return answer
