"""Server-sent events of a stream of chunks, with comments that keep the connection open while nothing is ready.

The chunks may be late as a whole: what makes them is awaited here, too. Closing the events, or being cancelled, ends the
work behind them. Not covered: what is in a chunk.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from serving.errors import ServiceError

KEEP_ALIVE = ": keep-alive\n\n"  # a comment: clients skip it
DONE = "data: [DONE]\n\n"
_AHEAD = 16  # chunks that may wait for a slow client; then the engine's stream waits, too
_END = object()

Chunks = AsyncIterator[dict[str, Any]]
OnError = Callable[[Exception], ServiceError]


async def events(chunks: Awaitable[Chunks], keep_alive_s: float, told: OnError) -> AsyncIterator[str]:
    """The events of a stream; an error in the middle is told in the stream, where OpenAI's clients look.

    `told` turns an error into what the caller may know, and is called for every error once.
    """
    queue: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
    pump = asyncio.ensure_future(_pump(chunks, queue))
    try:
        while (item := await _next(queue, keep_alive_s)) is not _END:
            if isinstance(item, Exception):
                yield event(told(item).body())
            else:
                yield KEEP_ALIVE if item is None else event(item)
        yield DONE
    finally:
        pump.cancel()
        # shielded: whoever cancels us may do so again and again, which would end the pump in the middle of closing the engine's
        # answer
        await asyncio.shield(asyncio.gather(pump, return_exceptions=True))


def event(value: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


async def _pump(late: Awaitable[Chunks], queue: "asyncio.Queue[Any]") -> None:
    """Moves chunks into the queue, in one task from the first to the last."""
    try:
        chunks = await late
        async with contextlib.aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                await queue.put(chunk)
    except Exception as error:
        await queue.put(error)
    await queue.put(_END)


async def _next(queue: "asyncio.Queue[Any]", keep_alive_s: float) -> Any:
    """The next chunk, error or end; None if nothing came in time."""
    if not queue.empty():
        return queue.get_nowait()
    try:
        async with asyncio.timeout(keep_alive_s):
            return await queue.get()
    except TimeoutError:
        return None
