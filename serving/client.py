"""The engine as the gateway sees it: OpenAI's chat completions over HTTP, with deadlines.

The transport is the seam for tests. Closing a response, or being cancelled, closes the connection, on which the
engine drops the work. Not covered: retries.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from serving.errors import BadRequest, EngineTimeout, EngineUnavailable
from serving.speech import Call, Speech
from serving.visit import seated, spent

CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 5.0
FRESH_S = 5.0  # for so long a sign of life holds
STALE_S = 1.0  # and its absence
_HEADERS = {"Content-Type": "application/json", "Accept": "*/*"}
_BUDGET = "thinking_token_budget"
_GAVE_UP = ("abort", "error")  # finish reasons of an engine that stops, or failed: what it said is no answer


@dataclass(frozen=True)
class Usage:
    """Tokens of one or of several completions."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0  # of the completion's
    cached: int = 0  # of the prompt's

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.reasoning + other.reasoning,
            self.cached + other.cached,
        )

    @classmethod
    def of(cls, usage: Mapping[str, Any] | None) -> "Usage":
        """From OpenAI's shape; missing is zero."""
        usage = usage or {}
        read, wrote = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
        return cls(
            usage.get("prompt_tokens") or 0,
            usage.get("completion_tokens") or 0,
            wrote.get("reasoning_tokens") or 0,
            read.get("cached_tokens") or 0,
        )

    @property
    def total(self) -> int:
        """All of them."""
        return self.prompt + self.completion

    def public(self) -> dict[str, Any]:
        """In OpenAI's shape; details only where there are any."""
        total = self.prompt + self.completion
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": total,
        }
        if self.reasoning:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning}
        if self.cached:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
        return usage


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
        self._sign = (-math.inf, False)  # when the engine was last seen, and whether it completed a prompt
        self._probing = asyncio.Lock()
        self._budgets = True  # whether the engine takes a budget of thinking; one without a reasoning parser does not
        # httpx's transport alone: its client's cookies, redirects and merging of addresses cost more than the rest of a call
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._transport = transport or httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
        self._chat, self._completions = (httpx.URL(f"{base_url.rstrip('/')}/v1/{p}completions") for p in ("chat/", ""))

    async def complete(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """One chat completion, as the engine's JSON.

        Raises:
            BadRequest, EngineUnavailable, EngineTimeout: as the engine answered, or did not.
        """
        await seated()
        async with self._service_errors(), asyncio.timeout(self._timeout_s), AsyncExitStack() as stack:
            response = await self._opened(payload, stack)
            if self._is_too_new(payload, await response.aread(), response.status_code):
                response = await self._opened(payload, stack)
            _raise_for(response.status_code, await response.aread())
            body = json.loads(response.content)
        if not isinstance(body, dict):
            raise EngineUnavailable("the engine's answer is not a JSON object")
        self._saw(True)
        spent(Usage.of(body.get("usage")).total)
        return _kept_up(body)

    async def stream(self, payload: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a streamed chat completion, usage included; raises like `complete`, at any point."""
        await seated()
        tokens = 0
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        payload = {**payload, "stream": True, "stream_options": {"include_usage": True}}
        async with self._service_errors(), AsyncExitStack() as stack:
            async with asyncio.timeout_at(deadline):
                response = await self._opened(payload, stack)
                if self._is_too_new(payload, await _refusal(response), response.status_code):
                    response = await self._opened(payload, stack)
                _raise_for(response.status_code, await _refusal(response))
            async for line in _before(deadline, response.aiter_lines()):
                data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                if data == "[DONE]":
                    return
                if data:
                    self._saw(True)
                    chunk = _chunk(data)
                    known = Usage.of(chunk.get("usage")).total or tokens + 1  # one a chunk, until the engine says
                    spent(known - tokens)
                    tokens = known
                    yield chunk

    async def _opened(self, payload: Mapping[str, Any], stack: AsyncExitStack) -> httpx.Response:
        """The head of an answer, which is closed with the stack."""
        response = await self._post(self._chat, self._body(payload), self._timeout_s)
        stack.push_async_callback(response.aclose)
        return response

    async def _post(self, url: httpx.URL, body: Mapping[str, Any], timeout_s: float) -> httpx.Response:
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S).as_dict()
        request = httpx.Request("POST", url, headers=_HEADERS, content=content, extensions={"timeout": timeout})
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response

    def _body(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        body = {**payload, "model": self._model}
        return body if self._budgets else {name: value for name, value in body.items() if name != _BUDGET}

    def _is_too_new(self, payload: Mapping[str, Any], refusal: bytes, status: int) -> bool:
        """Whether the engine refused a payload for its budget of thinking, which then is not sent again."""
        refused = (
            self._budgets and status == httpx.codes.BAD_REQUEST and _BUDGET in payload and _BUDGET.encode() in refusal
        )
        self._budgets = self._budgets and not refused
        return refused

    async def ready(self) -> bool:
        """Whether the engine completes a prompt: seen in the last seconds, or tried now, once for all who ask."""
        async with self._probing:
            seen, well = self._sign
            if time.monotonic() - seen > (FRESH_S if well else STALE_S):
                question = {"model": self._model, "prompt": "ready", "max_tokens": 1, "temperature": 0}
                try:
                    async with asyncio.timeout(READY_TIMEOUT_S):
                        answer = await self._post(self._completions, question, READY_TIMEOUT_S)
                        await answer.aread()
                    self._saw(answer.status_code == httpx.codes.OK)
                except (httpx.HTTPError, TimeoutError):
                    self._saw(False)
            return self._sign[1]

    def _saw(self, well: bool) -> None:
        self._sign = (time.monotonic(), well)

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    @asynccontextmanager
    async def _service_errors(self) -> AsyncIterator[None]:
        """Tells transport errors as service errors."""
        try:
            yield
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise EngineTimeout("the engine did not answer in time; try again, or ask for fewer tokens") from error
        except (httpx.HTTPError, httpx.StreamError, ValueError) as error:
            self._saw(False)
            raise EngineUnavailable(
                f"the engine cannot be reached ({type(error).__name__}); try again in a moment"
            ) from error


async def _refusal(response: httpx.Response) -> bytes:
    """The body of an answer that is no stream."""
    return b"" if response.status_code == httpx.codes.OK else await response.aread()


async def _before(deadline: float, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                line = await anext(lines)
        except StopAsyncIteration:
            return
        yield line


def _chunk(data: str) -> dict[str, Any]:
    chunk = json.loads(data)
    if not isinstance(chunk, dict) or "error" in chunk:
        raise EngineUnavailable("the engine failed in the middle of its answer")
    return _kept_up(chunk)


def _kept_up(body: dict[str, Any]) -> dict[str, Any]:
    """The body or chunk, if the engine did not give up with it."""
    choices = body.get("choices")
    if isinstance(choices, list) and any(isinstance(c, dict) and c.get("finish_reason") in _GAVE_UP for c in choices):
        raise EngineUnavailable("the engine gave up in the middle of its answer; try again in a moment")
    return body


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
