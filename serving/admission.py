"""What is turned away for its size: bodies before they are parsed, prompts before the engine sees them.

Not covered: who may come in (`serving/door.py`), the length of one customer's message (`serving/agent.py`).
"""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import BadRequest, TooLarge
from serving.memory import CountTokens
from serving.protocol import ChatRequest


class BodyLimit:
    """ASGI middleware that answers 413 when a body is, or turns out to be, over `limit` bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            await self._refuse(scope, receive, send)
            return
        received, started = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise _Over
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _Over:
            if not started:
                await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = TooLarge(f"the body is larger than {self._limit} bytes", code="body_too_large")
        await JSONResponse(error.body(), error.status)(scope, receive, send)


class _Over(BaseException):
    """The body went over the limit while it was read; no handler in between may take it for an error of its own."""


async def require_context(request: ChatRequest, context: int, count: CountTokens) -> None:
    """Refuses a prompt that has more tokens than the engine's context, the template's own left aside.

    A token has a byte at least, so that nothing is counted where there are few bytes; the rest is counted in a thread.

    Raises:
        BadRequest: it is too long.
    """
    parts = [message.content if isinstance(message.content, str) else "" for message in request.messages]
    parts += [tool.model_dump_json(exclude_none=True) for tool in request.tools or request.functions or ()]
    if sum(len(part.encode()) for part in parts) <= context:
        return
    tokens = await asyncio.to_thread(lambda: sum(count(part) for part in parts))
    if tokens > context:
        raise BadRequest(
            f"the messages and tools have {tokens} tokens; this model reads at most {context}, the answer included",
            param="messages",
            code="context_length_exceeded",
        )
