"""OpenAI's chat completions as we take and give them: the request with our own fields, the bodies of answers.

A field that is not known here is refused by name. Not covered: what a mode does with a request.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.schema import Message
from serving.errors import BadRequest
from serving.reasoning import clean, split

_SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed",
    "stop",
)  # fmt: skip
_MODEL_MODE_ONLY = ("response_format", "logprobs", "top_logprobs", "logit_bias")
Penalty = Annotated[float, Field(ge=-2, le=2)]
Limit = Annotated[int, Field(ge=1)]


class ChatMessage(BaseModel):
    """A message as callers send it; unknown keys are kept for the engine."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """The content as plain text.

        Raises:
            BadRequest: it has parts that are not text.
        """
        if self.content is None or isinstance(self.content, str):
            return clean(self.content or "")
        parts = [part.get("text") if part.get("type") == "text" else None for part in self.content]
        if not all(isinstance(part, str) for part in parts):
            raise BadRequest("only text content is supported", param="messages")
        return clean("".join(part for part in parts if isinstance(part, str)))


class StreamOptions(BaseModel):
    """What a stream carries beside the answer."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = False


class TemplateOptions(BaseModel):
    """The two switches where vLLM's clients put them."""

    model_config = ConfigDict(extra="forbid")

    enable_thinking: bool | None = None
    return_reasoning: bool | None = None


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions. Non-empty `tools` or `functions` mean model mode, else agent mode."""

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = 1
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: int | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    # taken and without effect here
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    # ours
    enable_thinking: bool | None = None
    return_reasoning: bool | None = None
    chat_template_kwargs: TemplateOptions | None = None
    conversation_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    confirmation_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _whole_characters(cls, body: Any) -> Any:
        try:
            json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("the body holds half of a surrogate pair") from error
        return body

    @property
    def mode(self) -> Literal["agent", "model"]:
        return "model" if self.tools or self.functions else "agent"

    @property
    def thinking(self) -> bool:
        """Whether the model may think first; off unless asked for."""
        nested = self.chat_template_kwargs.enable_thinking if self.chat_template_kwargs else None
        return bool(self.enable_thinking if self.enable_thinking is not None else nested)

    @property
    def with_reasoning(self) -> bool:
        """Whether the caller gets the reasoning."""
        nested = self.chat_template_kwargs.return_reasoning if self.chat_template_kwargs else None
        return bool(self.return_reasoning if self.return_reasoning is not None else nested)

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self) -> dict[str, Any]:
        """The sampling parameters that were given, under the engine's names."""
        given = {name: getattr(self, name) for name in _SAMPLING if getattr(self, name) is not None}
        limit = self.max_completion_tokens or self.max_tokens
        return {**given, "max_tokens": limit} if limit else given

    def check(self) -> None:
        """Refuses what the request's mode does not offer.

        Raises:
            BadRequest: naming the field.
        """
        if self.n not in (None, 1):
            raise BadRequest("only n=1 is supported", param="n")
        if self.mode == "model":
            if self.tools and self.functions:
                raise BadRequest("give tools or functions, not both", param="functions")
            return
        for name, needs in (("tool_choice", "tools"), ("function_call", "functions")):
            if getattr(self, name) is not None:
                raise BadRequest(f"{name} needs {needs}; without them the agent uses its own", param=name)
        for name in _MODEL_MODE_ONLY:
            if getattr(self, name) not in (None, False, {"type": "text"}):
                raise BadRequest(f"{name} is offered in model mode only (with tools or functions)", param=name)

    def agent_messages(self) -> tuple[tuple[Message, ...], str]:
        """The messages for agent mode, reasoning and calls stripped, and the caller's system text.

        Raises:
            BadRequest: a tool message, or no customer message at the end.
        """
        if any(message.role in ("tool", "function") for message in self.messages):
            raise BadRequest("tool messages need tools; in agent mode the server runs its own", param="messages")
        notes = [m.text for m in self.messages if m.role in ("system", "developer")]
        turns: list[Message] = []
        for message in self.messages:
            content = split(message.text)[0] if message.role == "assistant" else message.text
            if message.role in ("user", "assistant") and content.strip():
                role: Literal["user", "assistant"] = "user" if message.role == "user" else "assistant"
                turns.append(Message(role=role, content=content))
        if self.messages[-1].role == "assistant" or not turns or turns[-1].role != "user":
            raise BadRequest("the last message must be the customer's and not empty", param="messages")
        return tuple(turns), "\n\n".join(note for note in notes if note.strip())


class Kefu(BaseModel):
    """What the endpoint knows about an answer: the top-level `kefu` of every body and of a stream's last chunk."""

    conversation_id: str | None = Field(None, description="the conversation that remembers this turn; null: none does")
    release: str = Field(description="the digest of the release that answered")
    intent: str | None = Field(None, description="the customer's intent, where known")
    cache: dict[str, str] | None = Field(
        None, description="the FAQ entry that answered: kind (exact, semantic), id, and how probable a semantic one was"
    )
    tools: list[dict[str, Any]] = Field([], description="calls that the server handled: name, arguments, status")
    confirmation: dict[str, Any] | None = Field(
        None, description="a write that waits for the customer's yes: id, code, tool, arguments, expires_at"
    )


class ChatResponse(BaseModel):
    """An answer in OpenAI's shape; in a message, `reasoning` and `reasoning_content` appear only when asked for."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]
    kefu: Kefu


class Envelope:
    """What every chunk and body of one answer shares: id, time, model."""

    def __init__(self, model: str) -> None:
        self.id, self.created, self.model = f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), model

    def body(
        self,
        message: Mapping[str, Any],
        finish_reason: str,
        usage: Mapping[str, int],
        kefu: Mapping[str, Any],
        **choice: Any,
    ) -> dict[str, Any]:
        """A whole answer."""
        choices = [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason, **choice}]
        return {**self._head("chat.completion"), "choices": choices, "usage": dict(usage), "kefu": dict(kefu)}

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None, **choice: Any) -> dict[str, Any]:
        """A piece of a streamed answer."""
        choices = [{"index": 0, "delta": dict(delta), "finish_reason": finish_reason, **choice}]
        return {**self._head("chat.completion.chunk"), "choices": choices}

    def ending(
        self, finish_reason: str, usage: Mapping[str, int] | None, kefu: Mapping[str, Any]
    ) -> Sequence[dict[str, Any]]:
        """The last chunks of a stream; the very last one carries `kefu`."""
        finish = self.chunk({}, finish_reason)
        if usage is None:
            return [{**finish, "kefu": dict(kefu)}]
        last = {**self._head("chat.completion.chunk"), "choices": [], "usage": dict(usage), "kefu": dict(kefu)}
        return [finish, last]

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}
