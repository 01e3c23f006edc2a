"""What one request did: its id, its steps with their times, what it was answered. Logs, metrics and traces are made of it.

`Observed` puts one around each request; `span` adds a step from wherever it is taken, threads included. Everything stays in
memory until the request is over, and texts leave it only through `serving/trace_form.py`, redacted. Not covered: sending
anything anywhere.
"""

import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from loguru import logger
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import OUR_FAULT, ServiceError
from serving.logs import log_problem

Step = Literal[
    "answer", "intent", "faq", "tool"
]  # asking the engine for an answer or for a label, the FAQ, one tool call
REQUEST_ID = "x-request-id"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SPOKEN = ("content", "reasoning", "tool_calls", "function_call")


@dataclass
class Span:
    """One step of a request; times in nanoseconds since 1970."""

    step: Step
    name: str
    inputs: Any = None
    outputs: Any = None
    started_ns: int = field(default_factory=time.time_ns)
    ended_ns: int = 0
    error: str | None = None  # the class of what it ended with
    tokens: tuple[int, int] = (0, 0)  # prompt and completion

    @property
    def seconds(self) -> float:
        return (self.ended_ns - self.started_ns) / 1e9


@dataclass
class Observation:
    """One request."""

    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    method: str = ""
    route: str = "none"  # as it was declared: what a caller put into it is not part of it
    status: int = 0
    error: str | None = None
    mode: str = "none"
    stream: bool = False
    asked: Sequence[Mapping[str, Any]] = ()  # what the customer said in this request
    spans: list[Span] = field(default_factory=list)
    answer_id: str | None = None
    message: dict[str, Any] = field(default_factory=dict)  # what was answered, in OpenAI's shape, streams put together
    finish_reason: str | None = None
    cache: Mapping[str, str] | None = None  # the FAQ entry that answers, known before the first chunk
    kefu: Mapping[str, Any] = field(default_factory=dict)
    started_ns: int = field(default_factory=time.time_ns)
    ended_ns: int = 0
    first_token_ns: int = 0  # of a stream

    @property
    def seconds(self) -> float:
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def first_token_s(self) -> float | None:
        """Seconds from the request to the first thing that a stream said."""
        return (self.first_token_ns - self.started_ns) / 1e9 if self.first_token_ns else None

    @property
    def tokens(self) -> tuple[int, int]:
        """Prompt and completion tokens of all engine calls."""
        return sum(span.tokens[0] for span in self.spans), sum(span.tokens[1] for span in self.spans)

    def hear(self, body: Mapping[str, Any]) -> None:
        """Takes a whole answer, or the next chunk of one."""
        self.answer_id = body.get("id") or self.answer_id
        self.kefu = body.get("kefu") or self.kefu
        for choice in body.get("choices") or ():
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if "message" in choice:
                self.message = dict(choice["message"])
            elif delta := choice.get("delta"):
                self._add(delta)

    def _add(self, delta: Mapping[str, Any]) -> None:
        if not self.first_token_ns and any(delta.get(name) for name in _SPOKEN):
            self.first_token_ns = time.time_ns()
        for name, piece in delta.items():
            if name == "tool_calls":
                _join(self.message.setdefault("tool_calls", []), piece)
            elif isinstance(piece, str) and name != "role":
                self.message[name] = (self.message.get(name) or "") + piece
            elif piece is not None:
                self.message[name] = piece


_CURRENT: ContextVar[Observation | None] = ContextVar("kefu_observation", default=None)


def observation() -> Observation:
    """The request that is being served here; outside of any, one that nobody looks at."""
    return _CURRENT.get() or Observation()


@contextmanager
def span(step: Step, name: str, inputs: Any = None) -> Iterator[Span]:
    """A step of the current request, for as long as the block runs."""
    taken = Span(step, name, inputs)
    observation().spans.append(taken)
    try:
        yield taken
    except Exception as error:  # a client that leaves is no failure of the step
        taken.error = type(error).__name__
        raise
    finally:
        taken.ended_ns = time.time_ns()


async def heard(chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """A stream as it is, heard by the current request; closing it closes the stream."""
    seen = observation()
    try:
        async for chunk in chunks:
            seen.hear(chunk)
            yield chunk
    except ServiceError as error:
        seen.error = type(error).__name__
        raise
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]


class Observed:
    """ASGI middleware: an observation around each request, its id in and out, and `finished` told at its end."""

    def __init__(self, app: ASGIApp, started: Callable[[], None], finished: Callable[[Observation], None]) -> None:
        self._app, self._started, self._finished = app, started, finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = Observation(method=scope["method"], request_id=_request_id(scope))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = seen.status or message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = seen.request_id
            await send(message)

        token = _CURRENT.set(seen)
        self._started()
        try:
            with logger.contextualize(request_id=seen.request_id):
                await self._served(scope, receive, sending, seen)
        finally:
            _CURRENT.reset(token)
            seen.route = getattr(scope.get("route"), "path", "none")
            seen.ended_ns = time.time_ns()
            self._finished(seen)

    async def _served(self, scope: Scope, receive: Receive, send: Send, seen: Observation) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # a bug of ours, which the server outside of us sees, too
            if not seen.status:
                await JSONResponse(ServiceError(OUR_FAULT).body(), 500)(scope, receive, send)
            seen.status, seen.error = 500, type(error).__name__
            log_problem("a request failed", error)
            raise


def _request_id(scope: Scope) -> str:
    """The caller's id if it is one that may stand in a log, else a new one."""
    given = dict(scope["headers"]).get(REQUEST_ID.encode(), b"").decode("latin-1")
    return given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex


def _join(calls: list[dict[str, Any]], pieces: Sequence[Mapping[str, Any]]) -> None:
    """Adds the pieces of streamed calls to the calls that they belong to."""
    for piece in pieces:
        index = piece.get("index", 0)
        while len(calls) <= index:
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        function = piece.get("function") or {}
        calls[index]["id"] = piece.get("id") or calls[index]["id"]
        for name in ("name", "arguments"):
            calls[index]["function"][name] += function.get(name) or ""
