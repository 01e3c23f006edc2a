"""A conversation between people, told turn by turn, as the dialog that an agent can learn from.

People write several messages in a row, begin before they are asked and end with thanks; an agent answers once, after the
customer. So what one side says in a row becomes one turn, and what comes before the customer's first and after the agent's
last turn is left out. Not covered: dialogs that already have an agent's turns (`data/conversations.py`).
"""

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from data.schema import Dialog, Language

_NO_RESULT = "{}"  # of a call that showed nothing


class Done(NamedTuple):
    """One call of a tool and what came of it."""

    tool: str
    arguments: dict[str, Any]
    result: str


class Transcript:
    """The turns so far, as messages."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._calls = 0

    def say(self, role: Literal["user", "assistant"], text: str) -> None:
        """Adds what one side says; an empty line says nothing."""
        if not text.strip():
            return
        last = self._messages[-1] if self._messages else {}
        if last.get("role") == role and not last.get("tool_calls"):
            last["content"] += f"\n{text}"
        else:
            self._messages.append({"role": role, "content": text})

    def act(self, done: Sequence[Done]) -> None:
        """Adds calls made at once, and their results. What the agent has just said goes with them."""
        ids = [f"call_{self._calls + index}" for index in range(len(done))]
        self._calls += len(done)
        calls = [
            {"id": id, "function": {"name": one.tool, "arguments": one.arguments}}
            for id, one in zip(ids, done, strict=True)
        ]
        if self._messages and self._messages[-1]["role"] == "assistant":
            self._messages[-1]["tool_calls"] = calls
        else:
            self._messages.append({"role": "assistant", "tool_calls": calls})
        self._messages += [
            {"role": "tool", "content": one.result if one.result.strip() else _NO_RESULT, "tool_call_id": id}
            for id, one in zip(ids, done, strict=True)
        ]

    def dialog(
        self, id: str, source: str, language: Language, tools: Sequence[dict[str, Any]] = (), intent: str | None = None
    ) -> Dialog:
        """The dialog.

        Raises:
            ValueError: customer and agent do not both speak.
        """
        roles = [message["role"] for message in self._messages]
        if "user" not in roles or "assistant" not in roles[roles.index("user") :]:
            raise ValueError("no turn of an agent after one of a customer")
        end = len(roles) - roles[::-1].index("assistant")
        messages = self._messages[roles.index("user") : end]
        body = {
            "id": id,
            "messages": messages,
            "tools": tools,
            "intent": intent,
            "language": language,
            "source": source,
        }
        return Dialog.model_validate(body)


def as_json(result: Any) -> str:
    """A tool's result as the text that a model reads."""
    return json.dumps(result, ensure_ascii=False)


def schema(name: str, description: str, properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A tool in OpenAI's shape, none of whose arguments is required."""
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
