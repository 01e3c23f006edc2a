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
from typing import Any, Literal

import httpx

from serving.completion import Usage
from serving.errors import BadRequest, EngineTimeout, EngineUnavailable
from serving.observation import Span, Step, span
from serving.visit import seated, spent

CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 5.0
FRESH_S = 5.0  # for so long a sign of life holds
STALE_S = 1.0  # and its absence
_HEADERS = {"Content-Type": "application/json", "Accept": "*/*"}
_BUDGET = "thinking_token_budget"
_GAVE_UP = ("abort", "error")  # finish reasons of an engine that stops, or failed: what it said is no answer


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
        self._metrics = httpx.URL(f"{base_url.rstrip('/')}/metrics")

    async def complete(self, payload: Mapping[str, Any], step: Step = "answer") -> dict[str, Any]:
        """One chat completion, as the engine's JSON; `step`: what it is for.

        Raises:
            BadRequest, EngineUnavailable, EngineTimeout: as the engine answered, or did not.
        """
        await seated()
        with span(step, "engine", payload) as seen:
            async with self._service_errors(), asyncio.timeout(self._timeout_s), AsyncExitStack() as stack:
                response = await self._opened(payload, stack)
                if self._is_too_new(payload, await response.aread(), response.status_code):
                    response = await self._opened(payload, stack)
                _raise_for(response.status_code, await response.aread())
                body = json.loads(response.content)
            if not isinstance(body, dict):
                raise EngineUnavailable("the engine's answer is not a JSON object")
            self._saw(True)
            spent(_counted(body).total)
            body = _kept_up(body)
            _note(seen, body, "message")
        return body

    async def stream(self, payload: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a streamed chat completion, usage included; raises like `complete`, at any point."""
        await seated()
        tokens = 0
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        payload = {**payload, "stream": True, "stream_options": {"include_usage": True}}
        async with self._service_errors(), AsyncExitStack() as stack:
            seen = stack.enter_context(span("answer", "engine", payload))
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
                    known = _counted(chunk).total or tokens + 1  # one a chunk, until the engine says
                    spent(known - tokens)
                    tokens = known
                    _note(seen, chunk, "delta")
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

    async def metrics(self) -> str:
        """The engine's own metrics in Prometheus' text format; empty if it has none or does not answer."""
        timeout = httpx.Timeout(READY_TIMEOUT_S, connect=CONNECT_TIMEOUT_S).as_dict()
        request = httpx.Request("GET", self._metrics, headers=_HEADERS, extensions={"timeout": timeout})
        try:
            response = await self._transport.handle_async_request(request)
            await response.aread()
        except (httpx.HTTPError, ValueError):
            self._saw(False)
            return ""
        return response.text if response.status_code == httpx.codes.OK else ""

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


def _note(seen: Span, body: Mapping[str, Any], part: Literal["message", "delta"]) -> None:
    """Tells a span what an engine said, as far as it is text, and what it counted; a body of another form says nothing."""
    choices, usage = body.get("choices"), _counted(body)
    said = choices[0].get(part) if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else None
    content = said.get("content") if isinstance(said, Mapping) else None
    seen.outputs = (seen.outputs or "") + (content if isinstance(content, str) else "")
    seen.tokens = (usage.prompt or seen.tokens[0], usage.completion or seen.tokens[1])


def _counted(body: Mapping[str, Any]) -> Usage:
    """The tokens that a body tells; none where it tells them in another form, which is for its reader to refuse."""
    usage = body.get("usage")
    return Usage.of(usage if isinstance(usage, Mapping) else None)


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
