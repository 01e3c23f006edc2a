"""Work in a thread that may take only so long, and that never both times out and happens.

Who waits and who works share a lease: the worker settles it right before its transaction commits, the one who waits gives
it up at the deadline, and whoever comes first wins. Not covered: stopping a thread; what gave up is undone when it ends.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


class GivenUp(Exception):
    """Nobody waits for this any more: the transaction must not commit."""


class Lease:
    """Decides between a commit and a deadline."""

    def __init__(self) -> None:
        self._lock, self._ending = threading.Lock(), ""

    def settle(self) -> None:
        """Called by the worker: from here on the result counts, however late.

        Raises:
            GivenUp: the one who waits was first.
        """
        if not self._end("settled"):
            raise GivenUp

    def give_up(self) -> bool:
        """Called by the one who waits; False if the work is settled and its result is about to come."""
        return self._end("given up")

    def _end(self, ending: str) -> bool:
        with self._lock:
            self._ending = self._ending or ending
            return self._ending == ending


async def within(seconds: float, executor: Executor, work: Callable[[Lease], T]) -> T:
    """The result of `work` in a thread. A caller that is cancelled gives the lease up, too.

    Raises:
        TimeoutError: it took longer than `seconds`, and nothing of it was or will be committed.
    """
    lease = Lease()
    running = asyncio.get_running_loop().run_in_executor(executor, work, lease)
    try:
        done, _ = await asyncio.wait({running}, timeout=seconds)
        if not done and lease.give_up():
            running.cancel()  # one that still waits for a thread needs none
            running.add_done_callback(_heard)
            raise TimeoutError
        return await running
    except asyncio.CancelledError:
        running.add_done_callback(_heard)
        if not lease.give_up():
            await asyncio.wait({running})  # it commits right now; who cleans up afterwards must see that
        raise


def _heard(future: "asyncio.Future[T]") -> None:
    """Nobody else asks for this outcome."""
    if not future.cancelled():
        future.exception()
