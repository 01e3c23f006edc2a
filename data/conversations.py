"""Dialogs in the forms of others, as ours: OpenAI's fine-tuning files and ShareGPT's.

A row that does not fit raises ValueError with what is wrong; whoever reads the file adds the line. Not covered: pictures,
sound and files in messages.
"""

import json
from collections.abc import Mapping
from typing import Any

from data.chat import language_of
from data.schema import Dialog, Language

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def from_openai(row: Mapping[str, Any], id: str, source: str, language: Language | None = None) -> Dialog:
    """A row of OpenAI's fine-tuning form: `messages`, and `tools` (or the older `functions`).

    Arguments come as JSON strings, `content` may be null or a list of text parts, `weight: 0` marks a turn not to learn,
    and the older `function_call` and role `function` are read as a call and its result.
    """
    messages = [_openai_message(dict(message), index) for index, message in enumerate(_listed(row, "messages"))]
    tools = list(row.get("tools") or [])
    tools += [{"type": "function", "function": function} for function in row.get("functions") or []]
    return _dialog(messages, tools, id, source, language)


def from_sharegpt(row: Mapping[str, Any], id: str, source: str, language: Language | None = None) -> Dialog:
    """A row of ShareGPT's form: `conversations` of `from` (human, gpt, system, function_call, observation) and `value`.

    `tools` may be a list or its JSON, and so may be a call's `arguments`; `system` beside the conversation is its first turn.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for index, turn in enumerate(_listed(row, "conversations")):
        said, text = str(turn.get("from")), turn.get("value") or ""
        if said == "function_call":
            calls = _json(text, f"turn {index}: the function call")
            messages.append({"role": "assistant", "tool_calls": _calls(calls if isinstance(calls, list) else [calls])})
        elif said in ("observation", "tool"):
            messages.append({"role": "tool", "content": text})
        elif said in _ROLES:
            messages.append({"role": _ROLES[said], "content": text})
        else:
            known = ", ".join([*_ROLES, "function_call", "observation"])
            raise ValueError(f"turn {index}: from {said!r}; expected one of {known}")
    tools = row.get("tools") or []
    tools = _json(tools, "tools") if isinstance(tools, str) else tools
    wrapped = [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
    return _dialog(messages, wrapped, id, source, language)


def _dialog(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]], id: str, source: str, language: Language | None
) -> Dialog:
    asked = " ".join(message.get("content") or "" for message in messages if message["role"] == "user")
    return Dialog.model_validate(
        {
            "id": id,
            "messages": messages,
            "tools": tools,
            "language": language or language_of(asked),
            "source": source,
            "thinking": any(message.get("reasoning_content") for message in messages),
        }
    )


def _openai_message(message: dict[str, Any], index: int) -> dict[str, Any]:
    role = message.get("role")
    role = {"developer": "system", "function": "tool"}.get(str(role), role)
    turn: dict[str, Any] = {"role": role, "content": _text(message.get("content"), index)}
    if message.get("reasoning_content"):
        turn["reasoning_content"] = message["reasoning_content"]
    if message.get("function_call"):
        turn["tool_calls"] = _calls([message["function_call"]])
    elif message.get("tool_calls"):
        calls = message["tool_calls"]
        turn["tool_calls"] = [
            call | {"id": given.get("id")}
            for call, given in zip(_calls([given.get("function") for given in calls]), calls, strict=True)
        ]
    if message.get("tool_call_id"):
        turn["tool_call_id"] = message["tool_call_id"]
    if message.get("weight") == 0:
        turn["trained"] = False
    return turn


def _text(content: Any, index: int) -> str:
    if isinstance(content, list):
        if other := {str(part.get("type")) for part in content} - {"text"}:
            raise ValueError(f"turn {index}: parts of type {', '.join(sorted(other))}; only text can be learned")
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _calls(calls: list[Any]) -> list[dict[str, Any]]:
    found = []
    for call in calls:
        if not isinstance(call, Mapping) or "name" not in call:
            raise ValueError(f"a call without a name: {call!r}")
        arguments = call.get("arguments", {})
        if isinstance(arguments, str):
            arguments = _json(arguments or "{}", f"the arguments of {call['name']}")
        found.append({"function": {"name": call["name"], "arguments": arguments}})
    return found


def _listed(row: Mapping[str, Any], key: str) -> list[Any]:
    listed = row.get(key)
    if not isinstance(listed, list) or not all(isinstance(turn, Mapping) for turn in listed):
        raise ValueError(f"{key}: expected a list of turns, found {type(listed).__name__}")
    return listed


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{what}: not JSON ({error})") from error
