"""The bodies that leave, as the OpenAPI page shows them: answers, chunks of a stream, errors, the model list.

They document; what is sent is put together in `serving/protocol.py` and `serving/errors.py`, and held against these by test.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from serving.protocol import Kefu

Finish = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class SaidFunction(BaseModel):
    """A call of a function; `arguments` is the text of a JSON object."""

    name: str
    arguments: str


class SaidCall(BaseModel):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: SaidFunction


class SaidMessage(BaseModel):
    """What the assistant says; `reasoning` and `reasoning_content` appear only where they were asked for."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[SaidCall] | None = None
    function_call: SaidFunction | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class Choice(BaseModel):
    """The one choice of an answer."""

    index: Literal[0]
    message: SaidMessage
    finish_reason: Finish
    logprobs: dict[str, Any] | None


class TokenDetails(BaseModel):
    """Of which thinking, or read from the engine's cache."""

    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class TokenUsage(BaseModel):
    """Tokens of all engine calls that an answer took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None


class ChatResponse(BaseModel):
    """An answer in OpenAI's shape, and what the endpoint knows about it."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str = Field(description="the release that answered")
    choices: list[Choice] = Field(min_length=1, max_length=1)
    usage: TokenUsage
    kefu: Kefu


class ChunkCall(BaseModel):
    """A call in a stream: always whole, in one chunk, with its place among the calls."""

    index: int
    id: str
    type: Literal["function"]
    function: SaidFunction


class Delta(BaseModel):
    """What a chunk adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[ChunkCall] | None = None
    function_call: SaidFunction | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class ChunkChoice(BaseModel):
    """The one choice of a chunk."""

    index: Literal[0]
    delta: Delta
    finish_reason: Finish | None
    logprobs: dict[str, Any] | None = None


class ChatChunk(BaseModel):
    """One server-sent event of a stream. The last before `[DONE]` carries `kefu`, and `usage` where it was asked for."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice] = Field(max_length=1)
    usage: TokenUsage | None = None
    kefu: Kefu | None = None


class Error(BaseModel):
    """What went wrong: for people, and by name."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """An error in OpenAI's shape; in a stream that has begun, an event with it comes before `[DONE]`."""

    error: Error


class ModelCard(BaseModel):
    """A name that the endpoint answers to."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"]
    data: list[ModelCard]


class Alive(BaseModel):
    """The process lives."""

    alive: Literal[True]


class Ready(BaseModel):
    """Whether a request would be served now, and from which release."""

    ready: bool
    engine: bool
    release: str
    stale: bool = Field(description="served from the last verified copy, because the registry was away")
