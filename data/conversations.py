"""Dialogs in the forms of others, as ours: OpenAI's fine-tuning files and ShareGPT's; also those that `data/export.py` wrote.

A row that does not fit raises ValueError with what is wrong; whoever reads the file adds the line. Not covered: pictures,
sound and files in messages.
"""

from collections.abc import Mapping
from typing import Any

from data.chat import language_of
from data.jsontext import decoded, kind_of, shown
from data.schema import Dialog, Language

OWN = ("id", "language", "source", "intent", "thinking")  # of a dialog, under the key `kefu`
_THINKERS = ("assistant", "gpt", "function_call")
_OPENAI = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def from_openai(row: Mapping[str, Any], id: str, source: str, language: Language | None = None) -> Dialog:
    """A row of OpenAI's fine-tuning form: `messages`, and `tools` (or the older `functions`).

    Arguments come as JSON strings, `content` may be null or a list of text parts, `weight: 0` marks a turn not to learn,
    and the older `function_call` and role `function` are read as a call and its result.
    """
    messages = [_openai_message(message, index) for index, message in enumerate(_objects(row, "messages"))]
    tools = [dict(tool) for tool in _objects(row, "tools", optional=True)]
    functions = _objects(row, "functions", optional=True)
    tools += [{"type": "function", "function": function} for function in functions]
    return _dialog(messages, tools, id, source, language, row.get("kefu"))


def from_sharegpt(row: Mapping[str, Any], id: str, source: str, language: Language | None = None) -> Dialog:
    """A row of ShareGPT's form: `conversations` of `from` (human, gpt, system, function_call, observation) and `value`.

    `tools` may be a list or its JSON, and so may be a call's `arguments`; `system` beside the conversation is its first turn.
    """
    system = _text(row.get("system"), "system")
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for index, turn in enumerate(_objects(row, "conversations")):
        said, text = turn.get("from"), _text(turn.get("value"), f"turn {index}: value")
        if said == "function_call":
            calls = _json(text, f"turn {index}: the function call")
            calls = calls if isinstance(calls, list) else [calls]
            said_with_it = _text(turn.get("content"), f"turn {index}: content")
            made = {"role": "assistant", "content": said_with_it, "tool_calls": _calls(calls, index)}
            messages.append(made | _rest(turn))
        elif said in ("observation", "tool"):
            messages.append({"role": "tool", "content": text} | _rest(turn))
        else:
            role = _role("from", said, _SHAREGPT, index, "function_call", "observation")
            messages.append({"role": role, "content": text} | _rest(turn))
    if isinstance(row.get("tools"), str):
        row = {**row, "tools": _json(row["tools"], "tools")}
    tools = _objects(row, "tools", optional=True)
    wrapped = [dict(tool) if "function" in tool else {"type": "function", "function": tool} for tool in tools]
    return _dialog(messages, wrapped, id, source, language, row.get("kefu"))


def _dialog(
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
    id: str,
    source: str,
    language: Language | None,
    own: Any,  # what our own export knew of the dialog
) -> Dialog:
    asked = " ".join(message["content"] for message in messages if message["role"] == "user")
    fields = {
        "id": id,
        "messages": messages,
        "tools": tools,
        "language": language_of(asked),
        "source": source,
        "thinking": any(message.get("reasoning_content") for message in messages),
    }
    fields |= {key: own[key] for key in OWN if key in own} if isinstance(own, Mapping) else {}
    return Dialog.model_validate(fields | ({"language": language} if language else {}))


def _openai_message(message: Mapping[str, Any], index: int) -> dict[str, Any]:
    role = _role("role", message.get("role"), _OPENAI, index)
    turn: dict[str, Any] = {"role": role, "content": _text(message.get("content"), f"turn {index}: content")}
    if message.get("function_call"):
        turn["tool_calls"] = _calls([message["function_call"]], index)
    elif message.get("tool_calls"):
        given = _objects(message, "tool_calls", where=f"turn {index}: ")
        calls = _calls([one.get("function") for one in given], index)
        turn["tool_calls"] = [call | {"id": one.get("id")} for call, one in zip(calls, given, strict=True)]
    return turn | _rest(message)


def _rest(turn: Mapping[str, Any]) -> dict[str, Any]:
    """What both forms may say of a turn beside its text and its calls."""
    rest = {key: turn[key] for key in ("reasoning_content", "tool_call_id") if turn.get(key) is not None}
    if rest.get("reasoning_content") == "" and turn.get("role", turn.get("from")) not in _THINKERS:
        del rest["reasoning_content"]  # some exports write every field of every turn
    return rest | ({"trained": False} if turn.get("weight") == 0 else {})


def _role(key: str, said: Any, known: Mapping[str, str], index: int, *more: str) -> str:
    if not isinstance(said, str) or said not in known:
        found = repr(said) if isinstance(said, str) else shown(said)
        raise ValueError(f"turn {index}: {key} {found}; expected one of {', '.join([*known, *more])}")
    return known[said]


def _text(content: Any, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise ValueError(f"{where}: expected a text, found {kind_of(content)}")
    if other := {str(part.get("type")) for part in content} - {"text"}:
        raise ValueError(f"{where}: parts of type {', '.join(sorted(other))}; only text can be learned")
    return "".join(_text(part.get("text"), where) for part in content)


def _calls(calls: list[Any], index: int) -> list[dict[str, Any]]:
    found = []
    for call in calls:
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise ValueError(f"turn {index}: a call without a name: {shown(call)}")
        name, arguments = call["name"], call.get("arguments", {})
        if isinstance(arguments, str):
            arguments = _json(arguments or "{}", f"turn {index}: the arguments of {shown(name)[1:-1]}")
        if not isinstance(arguments, Mapping):
            kind = kind_of(arguments)
            raise ValueError(f"turn {index}: the arguments of {shown(name)[1:-1]}: expected an object, found {kind}")
        found.append({"id": call.get("id"), "function": {"name": name, "arguments": arguments}})
    return found


def _objects(row: Mapping[str, Any], key: str, where: str = "", optional: bool = False) -> list[Mapping[str, Any]]:
    """The list of objects under a key."""
    listed = row.get(key)
    if optional and listed is None:
        return []
    what = "a list of turns" if key in ("messages", "conversations") else "a list of objects"
    if not isinstance(listed, list):
        raise ValueError(f"{where}{key}: expected {what}, found {kind_of(listed) if key in row else 'nothing'}")
    for index, one in enumerate(listed):
        if not isinstance(one, Mapping):
            raise ValueError(f"{where}{key}: expected {what}, found {kind_of(one)} in place {index}")
    return listed


def _json(text: str, what: str) -> Any:
    try:
        return decoded(text)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
