"""The time that a request as a whole may take, a stream up to its last chunk. Not covered: deadlines of single engine calls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from serving.errors import DeadlineExceeded

T = TypeVar("T")
_END = object()


class Deadline:
    """A moment, some seconds from when it is made."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._at = seconds, asyncio.get_running_loop().time() + seconds

    async def keep(self, work: Awaitable[T]) -> T:
        """The result of `work`, which is cancelled when the moment comes.

        Raises:
            DeadlineExceeded: it came first.
        """
        try:
            async with asyncio.timeout_at(self._at) as time_left:
                return await work
        except TimeoutError as error:
            if not time_left.expired():
                raise
            raise DeadlineExceeded(
                f"the answer took longer than {self._seconds:g} s; try again, or ask for fewer tokens",
                code="deadline_exceeded",
            ) from error

    async def over(self, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The chunks that come in time; raises like `keep`, at any point. Closing it closes `chunks`."""
        try:
            while (chunk := await self.keep(anext(chunks, _END))) is not _END:
                yield chunk
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]
