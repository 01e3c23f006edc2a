"""One request between the door and its last byte: its seat before the engine, the tokens that it takes.

The engine's client finds the visit by its context, so that nothing in between hands it on. Outside of a request (checks,
scripts) there is none, and nothing is limited. Not covered: who may come in (`serving/door.py`).
"""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from serving.seats import Seats

_current: ContextVar["Visit | None"] = ContextVar("visit", default=None)


class Visit:
    """What one request holds and takes."""

    def __init__(self, seats: Seats) -> None:
        self.id, self.tokens = uuid.uuid4().hex, 0
        self._seats, self._seating = seats, asyncio.Lock()
        self._seated_at: float | None = None
        self._over = False

    async def seat(self) -> None:
        """Waits for a seat before the engine, once; raises `Overloaded`."""
        async with self._seating:  # two calls at a time need one seat
            if self._seated_at is None and not self._over:  # what outlives its request goes without
                self._seated_at = await self._seats.take()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The time of the visit; its seat is given back at the end, however that comes."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)
            self._over = True
            if self._seated_at is not None:
                self._seats.give(self._seated_at)


async def seated() -> None:
    """Waits until this request may call the engine.

    Raises:
        Overloaded: too many wait already.
    """
    visit = _current.get()
    if visit is not None:
        await visit.seat()


def spent(tokens: int) -> None:
    """Tells what a call of the engine took."""
    visit = _current.get()
    if visit is not None:
        visit.tokens += tokens
