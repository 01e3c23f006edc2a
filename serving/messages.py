"""The messages of a request: as callers send them, as the engine takes them in model mode, as turns in agent mode.

Every field of OpenAI's messages is taken, or refused by name; what else an SDK adds is left out. Not covered: which mode a
request is in, and the server's own prompt.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from data.schema import Message
from serving.body import Body
from serving.errors import BadRequest
from serving.reasoning import clean, split

_LIKE_SYSTEM = ("system", "developer")  # the template knows the first alone


class TextPart(Body):
    """A piece of text."""

    type: Literal["text"]
    text: str


class RefusalPart(Body):
    """What an assistant refused to answer; read as text."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class CalledFunction(Body):
    """The function that an assistant called; `arguments` is JSON text."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1)
    arguments: str = "{}"

    @field_validator("arguments")
    @classmethod
    def _an_object(cls, text: str) -> str:
        try:
            value = json.loads(text or "{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ValueError("expected the text of a JSON object")
        return text or "{}"


class CalledTool(Body):
    """One entry of an assistant's `tool_calls`; what SDKs add to it, such as `index`, is left out."""

    model_config = ConfigDict(extra="ignore")

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(Body):
    """A message as callers send it."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = Field(
        None, description="text, whole or in parts; images, audio and files are refused"
    )
    name: str | None = None
    tool_calls: list[CalledTool] | None = Field(None, description="of an assistant")
    tool_call_id: str | None = Field(None, description="of a tool's message: the call that it answers")
    function_call: CalledFunction | None = Field(None, description="of an assistant; the older form of tool_calls")
    refusal: str | None = Field(None, description="of an assistant; read as its text where there is no content")
    audio: None = Field(None, description="not offered: answers are text")

    @property
    def text(self) -> str:
        """The content as plain text."""
        if isinstance(self.content, list):
            parts = (part.text if isinstance(part, TextPart) else part.refusal for part in self.content)
            return clean("".join(parts))
        return clean(self.content or self.refusal or "")


def for_engine(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """A caller's messages as the engine takes them: verbatim, but without reasoning that an earlier answer carried, and with
    `function_call` and function messages as `tool_calls` and tool messages, which is what the template knows.

    Raises:
        BadRequest: a message lacks what its role needs.
    """
    sent: list[dict[str, Any]] = []
    functions = 0
    for place, message in enumerate(messages):
        turn = message.model_dump(exclude_unset=True, exclude_none=True, exclude={"refusal", "function_call"})
        turn["content"] = _content(message)
        if message.role in _LIKE_SYSTEM:
            turn["role"] = "system"
        if message.function_call is not None:
            functions += 1
            call = {"id": f"call_{functions}", "type": "function", "function": message.function_call.model_dump()}
            turn["tool_calls"] = [call]
        elif message.role == "function":
            if not functions:
                raise BadRequest("a function message without a function_call before it", param="messages")
            turn |= {"role": "tool", "tool_call_id": f"call_{functions}"}
        if missing := _missing(turn):
            raise BadRequest(f"messages.{place}: a message of the {message.role} needs {missing}", param="messages")
        sent.append(turn)
    return sent


def for_agent(messages: Sequence[ChatMessage]) -> tuple[tuple[Message, ...], str]:
    """The messages for agent mode, reasoning and calls stripped, and the caller's system text.

    Raises:
        BadRequest: a tool message, or no customer message at the end.
    """
    if any(message.role in ("tool", "function") for message in messages):
        raise BadRequest("tool messages need tools; in agent mode the server runs its own", param="messages")
    notes = [message.text for message in messages if message.role in _LIKE_SYSTEM]
    turns: list[Message] = []
    for message in messages:
        content = split(message.text)[0] if message.role == "assistant" else message.text
        if message.role in ("user", "assistant") and content.strip():
            role: Literal["user", "assistant"] = "user" if message.role == "user" else "assistant"
            turns.append(Message(role=role, content=content))
    if messages[-1].role == "assistant" or not turns or turns[-1].role != "user":
        raise BadRequest("the last message must be the customer's and not empty", param="messages")
    return tuple(turns), "\n\n".join(note for note in notes if note.strip())


def _content(message: ChatMessage) -> str | list[dict[str, Any]] | None:
    if message.role == "assistant":
        return split(message.text)[0] or ("" if message.text else None)
    if isinstance(message.content, list) and all(isinstance(part, TextPart) for part in message.content):
        return [part.model_dump() for part in message.content]
    return message.text if message.content is not None else None


def _missing(turn: dict[str, Any]) -> str | None:
    """What a message for the engine lacks."""
    if turn["role"] == "tool" and not turn.get("tool_call_id"):
        return "the tool_call_id of the call that it answers"
    if turn["content"] is None and not turn.get("tool_calls"):
        return "content"
    return None
