"""Our dialogs in the forms of others, for tools that train or look at them: OpenAI's and ShareGPT's. What
`data/conversations.py` reads back is the same dialog.

What these forms have no place for (id, language, source, intent, whether thinking is on) stands under `kefu`, and what their
turns have none for beside the turn; most trainers ignore keys that they do not know. Not covered: utterances, which are a table
rather than a conversation.
"""

import json
from collections.abc import Mapping
from typing import Any

from data.conversations import OWN
from data.errors import BadInput
from data.schema import Dialog, Message, ToolCall

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def to_openai(dialog: Dialog, known: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The dialog as a row of OpenAI's fine-tuning form, names of tools replaced by the schemas that `known` has of them, and
    calls numbered where they have no id.

    Raises:
        BadInput: a tool is unknown.
    """
    row: dict[str, Any] = {"messages": [_openai_message(message) for message in with_call_ids(dialog).messages]}
    if tools := _tools(dialog, known):
        row["tools"] = tools
    return row | {"kefu": _own(dialog)}


def to_sharegpt(dialog: Dialog, known: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The dialog as a row of ShareGPT's form; calls are a JSON list.

    Raises:
        BadInput: a tool is unknown.
    """
    row: dict[str, Any] = {"conversations": [_sharegpt_turn(message) for message in dialog.messages]}
    if tools := _tools(dialog, known):
        row["tools"] = json.dumps(tools, ensure_ascii=False)
    return row | {"kefu": _own(dialog)}


def with_call_ids(dialog: Dialog) -> Dialog:
    """The dialog with an id at each call and its result where there is none; a call and its result are linked by order."""
    messages: list[Message] = []
    waiting: list[str] = []
    for turn, message in enumerate(dialog.messages):
        if message.role == "tool":
            id = waiting.pop(0)
            message = message.model_copy(update={"tool_call_id": message.tool_call_id or id})
        elif message.tool_calls:
            calls = tuple(
                call.model_copy(update={"id": call.id or f"call_{turn}_{index}"})
                for index, call in enumerate(message.tool_calls)
            )
            waiting = [str(call.id) for call in calls]
            message = message.model_copy(update={"tool_calls": calls})
        messages.append(message)
    return dialog.model_copy(update={"messages": tuple(messages)})


def _openai_message(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["content"] = message.content or None
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": _arguments(call)}}
            for call in message.tool_calls
        ]
    return turn | _rest(message)


def _sharegpt_turn(message: Message) -> dict[str, Any]:
    if not message.tool_calls:
        return {"from": _SPEAKERS[message.role], "value": message.content} | _rest(message)
    calls = [
        {"name": call.function.name, "arguments": call.function.arguments} | ({"id": call.id} if call.id else {})
        for call in message.tool_calls
    ]
    said = {"content": message.content} if message.content else {}
    return {"from": "function_call", "value": json.dumps(calls, ensure_ascii=False)} | said | _rest(message)


def _rest(message: Message) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    if message.reasoning_content is not None:
        rest["reasoning_content"] = message.reasoning_content
    if message.tool_call_id is not None:
        rest["tool_call_id"] = message.tool_call_id
    if not message.trained:
        rest["weight"] = 0
    return rest


def _tools(dialog: Dialog, known: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    if unknown := [tool for tool in dialog.tools if isinstance(tool, str) and tool not in known]:
        raise BadInput(f"dialog {dialog.id}: unknown tool(s) {', '.join(unknown)}; the shop has {', '.join(known)}")
    return [known[tool] if isinstance(tool, str) else tool for tool in dialog.tools]


def _own(dialog: Dialog) -> dict[str, Any]:
    return {name: value for name in OWN if (value := getattr(dialog, name)) is not None}


def _arguments(call: ToolCall) -> str:
    return json.dumps(call.function.arguments, ensure_ascii=False)
