"""The engine as the gateway sees it: OpenAI's chat completions over HTTP, with deadlines.

The transport is the seam for tests. Closing a response, or being cancelled, closes the connection, on which the
engine drops the work. Not covered: retries.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from serving.errors import BadRequest, EngineTimeout, EngineUnavailable
from serving.observation import Span, Step, span
from serving.speech import Call, Speech

CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 2.0
_CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Usage:
    """Tokens of one or of several completions."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.prompt + other.prompt, self.completion + other.completion)

    @classmethod
    def of(cls, usage: Mapping[str, Any] | None) -> "Usage":
        """From OpenAI's shape; missing is zero."""
        usage = usage or {}
        return cls(usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)

    def public(self) -> dict[str, int]:
        """In OpenAI's shape."""
        total = self.prompt + self.completion
        return {"prompt_tokens": self.prompt, "completion_tokens": self.completion, "total_tokens": total}


@dataclass(frozen=True)
class Completion:
    """One answer of the engine, its reasoning apart."""

    content: str
    reasoning: str
    calls: tuple[Call, ...]
    finish_reason: str
    usage: Usage

    @classmethod
    def of(cls, body: Mapping[str, Any], *, calls: bool = True) -> "Completion":
        """Reads the engine's JSON; calls that its parser left in the text are found there if they are wanted.

        Raises:
            EngineUnavailable: it is not a chat completion.
        """
        try:
            choice = body["choices"][0]
            message = choice["message"]
            speech = Speech(calls=calls)
            said = [*speech.feed({**message, "tool_calls": None}), *speech.end()]
            content = "".join(part[1] for part in said if part[0] == "content")
            reasoning = "".join(part[1] for part in said if part[0] == "reasoning")
            written = [part[1] for part in said if part[0] == "call"]
            parsed = [
                Call(call.get("id") or "", call["function"]["name"] or "", call["function"]["arguments"] or "")
                for call in message.get("tool_calls") or ()
            ]
            finish = choice.get("finish_reason") or "stop"
            return cls(content, reasoning, (*parsed, *written), finish, Usage.of(body.get("usage")))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EngineUnavailable("the engine's answer is not a chat completion") from error


class EngineClient:
    """A client of one engine."""

    def __init__(
        self, base_url: str, model: str, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`base_url` without /v1; `timeout_s` is the deadline of a whole call, streams included."""
        self._model, self._timeout_s = model, timeout_s
        self._http = httpx.AsyncClient(
            base_url=base_url,
            transport=transport,
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,
        )

    async def complete(self, payload: Mapping[str, Any], step: Step = "answer") -> dict[str, Any]:
        """One chat completion, as the engine's JSON; `step`: what it is for.

        Raises:
            BadRequest, EngineUnavailable, EngineTimeout: as the engine answered, or did not.
        """
        with span(step, "engine", payload) as seen:
            async with _service_errors(), asyncio.timeout(self._timeout_s):
                response = await self._http.post(_CHAT, json={**payload, "model": self._model})
                _raise_for(response.status_code, response.content)
                body = response.json()
            if not isinstance(body, dict):
                raise EngineUnavailable("the engine's answer is not a JSON object")
            _note(seen, body, "message")
        return body

    async def stream(self, payload: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a streamed chat completion, usage included; raises like `complete`, at any point."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        body = {**payload, "model": self._model, "stream": True, "stream_options": {"include_usage": True}}
        async with _service_errors(), AsyncExitStack() as stack:
            seen = stack.enter_context(span("answer", "engine", payload))
            async with asyncio.timeout_at(deadline):
                response = await stack.enter_async_context(self._http.stream("POST", _CHAT, json=body))
                if response.status_code != httpx.codes.OK:
                    _raise_for(response.status_code, await response.aread())
            async for line in _before(deadline, response.aiter_lines()):
                data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                if data == "[DONE]":
                    return
                if data:
                    chunk = _chunk(data)
                    _note(seen, chunk, "delta")
                    yield chunk

    async def ready(self) -> bool:
        """Whether the engine answers now."""
        try:
            response = await self._http.get("/v1/models", timeout=READY_TIMEOUT_S)
        except httpx.HTTPError:
            return False
        return response.status_code == httpx.codes.OK

    async def metrics(self) -> str:
        """The engine's own metrics in Prometheus' text format; empty if it has none or does not answer."""
        try:
            response = await self._http.get("/metrics", timeout=READY_TIMEOUT_S)
        except (httpx.HTTPError, ValueError):
            return ""
        return response.text if response.status_code == httpx.codes.OK else ""

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


@asynccontextmanager
async def _service_errors() -> AsyncIterator[None]:
    """Tells transport errors as service errors."""
    try:
        yield
    except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
        raise EngineTimeout("the engine did not answer in time; try again, or ask for fewer tokens") from error
    except (httpx.HTTPError, httpx.StreamError, ValueError) as error:
        raise EngineUnavailable(
            f"the engine cannot be reached ({type(error).__name__}); try again in a moment"
        ) from error


async def _before(deadline: float, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                line = await anext(lines)
        except StopAsyncIteration:
            return
        yield line


def _note(seen: Span, body: Mapping[str, Any], part: Literal["message", "delta"]) -> None:
    """Tells a span what an engine said, as far as it is text, and what it counted; a body of another form says nothing."""
    choices, counted = body.get("choices"), body.get("usage")
    usage = Usage.of(counted if isinstance(counted, Mapping) else None)
    said = choices[0].get(part) if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else None
    content = said.get("content") if isinstance(said, Mapping) else None
    seen.outputs = (seen.outputs or "") + (content if isinstance(content, str) else "")
    seen.tokens = (usage.prompt or seen.tokens[0], usage.completion or seen.tokens[1])


def _chunk(data: str) -> dict[str, Any]:
    chunk = json.loads(data)
    if not isinstance(chunk, dict) or "error" in chunk:
        raise EngineUnavailable("the engine failed in the middle of its answer")
    return chunk


def _raise_for(status: int, content: bytes) -> None:
    if status == httpx.codes.OK:
        return
    message = _message(content)
    if status in (400, 413, 422):
        raise BadRequest(f"the engine refused the request: {message}", code="engine_refused")
    raise EngineUnavailable(f"the engine answered {status}; try again in a moment")


def _message(content: bytes) -> str:
    try:
        body = json.loads(content)
        found = body.get("error", body)
        return str(found.get("message", "no reason given"))[:500]
    except (ValueError, AttributeError):
        return "no reason given"
