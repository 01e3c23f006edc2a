"""A stream of chunks and the headers that go before it; what is told of the FAQ cache in a header.

Not covered: the body's `kefu.cache`, which says the same (`serving/protocol.py`).
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

CACHE = "X-Kefu-Cache"


class Told(AsyncIterator[dict[str, Any]]):
    """Chunks with headers; closing it closes what makes them."""

    def __init__(self, chunks: AsyncIterator[dict[str, Any]], headers: Mapping[str, str]) -> None:
        self._chunks, self.headers = chunks, headers

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Ends the work behind it."""
        await self._chunks.aclose()  # type: ignore[attr-defined]


def cache_headers(cache: Mapping[str, str] | None) -> dict[str, str]:
    """`X-Kefu-Cache: exact; id=return-start` where an FAQ entry answered, else `none`."""
    return {CACHE: f"{cache['kind']}; id={_plain(cache['id'])}" if cache else "none"}


def _plain(text: str) -> str:
    """A text as a header may hold it."""
    return "".join(mark if mark.isascii() and mark.isprintable() and mark not in ";," else "_" for mark in text)
