"""The queue in front of the engine: so many requests are with it at a time, so many wait, the next one is told to come later.

A request takes a seat at its first call of the engine and keeps it to its end, so that it is turned away before anything was
done for it or never; what needs no engine (an FAQ answer, a confirmation) needs no seat. First come, first served. Not
covered: the queue inside the engine, which stays short, and several gateways before one engine, which do not know of each
other.
"""

import asyncio
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from serving.errors import Overloaded

_WEIGHT = 0.1  # of the latest request in the mean of how long one stays
_RETRY_AT_MOST_S = 60.0


class Seats:
    """The seats of one engine."""

    def __init__(self, seats: int, queue: int, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`patience_s`: a request that would wait longer is not let wait at all."""
        self._free, self._seats, self._queue = asyncio.Semaphore(seats), seats, queue
        self._patience_s, self._clock = patience_s, clock
        self.waiting = 0
        self.taken = 0
        self._mean_s = 0.0  # of how long a seat is held

    async def take(self) -> float:
        """Waits for a seat; gives the moment when it was taken, which `give` wants back.

        Raises:
            Overloaded: the queue is full, or so long that the request would be late.
        """
        if self._free.locked():
            wait_s = self.wait_s()
            if self.waiting >= self._queue or wait_s > self._patience_s:
                raise Overloaded(
                    f"{self.waiting} requests wait already; try again in a moment",
                    code="overloaded",
                    retry_after_s=min(wait_s, _RETRY_AT_MOST_S),
                )
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.taken += 1
        return self._clock()

    def give(self, taken_at: float) -> None:
        """Gives a seat back; whoever waited longest has it next."""
        held_s = self._clock() - taken_at
        self._mean_s = held_s if not self._mean_s else self._mean_s + _WEIGHT * (held_s - self._mean_s)
        self.taken -= 1
        self._free.release()

    def wait_s(self) -> float:
        """How long a request that came now would wait, as the latest ones went."""
        return (self.waiting + 1) * self._mean_s / self._seats if self._free.locked() else 0.0

    def register(self, registry: CollectorRegistry) -> None:
        """Shows the queue in the metrics."""
        for name, about, read in (
            ("kefu_engine_seats_taken", "Requests that are with the engine", lambda: self.taken),
            ("kefu_engine_queue", "Requests that wait for the engine", lambda: self.waiting),
        ):
            Gauge(name, about, registry=registry).set_function(read)
