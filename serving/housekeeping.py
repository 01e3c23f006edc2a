"""What the endpoint does by itself: forgetting what is over, a bounded piece at a time, and looking after the engine.

Not covered: restarting an engine.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from serving.endpoint import Endpoint
from serving.logs import log_problem

SWEEP_EVERY_S, PIECE, PIECES, BETWEEN_S = 300.0, 100, 50, 0.2
LOOK_EVERY_S = 5.0
_STATES = {"running": "vllm:num_requests_running", "waiting": "vllm:num_requests_waiting"}
_CACHE = "vllm:kv_cache_usage_perc"


@contextlib.asynccontextmanager
async def housekeeping(endpoint: Endpoint) -> AsyncIterator[None]:
    """Keeps house while the block runs."""
    if endpoint.traces is not None:
        endpoint.traces.start()
    jobs = [
        asyncio.ensure_future(_repeat(lambda: sweep(endpoint), SWEEP_EVERY_S)),
        asyncio.ensure_future(_repeat(lambda: look(endpoint), LOOK_EVERY_S)),
    ]
    try:
        yield
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if endpoint.traces is not None:
            await asyncio.to_thread(endpoint.traces.close)


async def sweep(endpoint: Endpoint) -> int:
    """Deletes conversations and feedback whose time is over, piece by piece; returns how many conversations."""
    total = 0
    for _ in range(PIECES):
        gone = await asyncio.to_thread(endpoint.memory.sweep, PIECE)
        gone += (rated := await asyncio.to_thread(endpoint.ratings.sweep, PIECE))
        total += gone - rated
        if not gone:
            break
        await asyncio.sleep(BETWEEN_S)  # between two pieces others get at the database
    endpoint.telemetry.swept.inc(total)
    return total


async def look(endpoint: Endpoint) -> None:
    """Notes whether the engine is up and what it does; an engine that tells nothing but that it is up is as good."""
    telemetry, told = endpoint.telemetry, await endpoint.engine.metrics()
    telemetry.engine_up.set(await endpoint.engine.ready())
    for state, name in _STATES.items():
        if (value := _sum(told, name)) is not None:
            telemetry.engine_requests.labels(state).set(value)
    if (share := _sum(told, _CACHE)) is not None:
        telemetry.engine_cache.set(share)


def _sum(told: str, name: str) -> float | None:
    values = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+-]+)$", told, re.MULTILINE)
    return sum(map(float, values)) if values else None


async def _repeat(work: Callable[[], Awaitable[object]], every_s: float) -> None:
    while True:
        try:
            await work()
        except Exception as problem:  # the next time may go well
            log_problem("housekeeping failed", problem)
        await asyncio.sleep(every_s)
