"""The door of the endpoint: who may come in, how often and how many at once, before a body is read.

Everything below /v1/ needs an API key where keys are on, and counts as one request of its key and customer. Every answer
there says how the limits stand, in OpenAI's headers. Not covered: what a key may do inside (`GatewaySettings.owner`), hosts
and browsers (`serving/web.py`), guessing of keys, which have 256 random bits.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import DeadlineExceeded, ServiceError
from serving.limits import Counts, Limit, LocalCounts, Verdict, limits_of
from serving.seats import Seats
from serving.settings import GatewaySettings
from serving.visit import Visit

GUARDED = "/v1/"
LAST_S = 5.0  # after the deadline, for a client that does not read its answer; then the connection is closed


@dataclass(frozen=True)
class House:
    """What all requests of one endpoint share at the door."""

    settings: GatewaySettings
    counts: Counts
    seats: Seats

    @classmethod
    def of(cls, settings: GatewaySettings) -> "House":
        """As the settings say.

        Raises:
            BadInput: the URL of Redis is none.
        """
        lease_s = settings.request_timeout_s + LAST_S
        counts: Counts = LocalCounts()
        if settings.redis_url:
            from serving.shared_limits import SharedCounts

            counts = SharedCounts(settings.redis_url, lease_s)
        seats = settings.engine_seats or 2 * settings.release.recipe.serve.engine.max_num_seqs
        queue = 4 * seats if settings.engine_queue is None else settings.engine_queue
        return cls(settings, counts, Seats(seats, queue, settings.request_timeout_s))

    async def limits(self, headers: Mapping[str, str]) -> tuple[Limit, ...]:
        """What is counted for the sender of a request.

        Raises:
            Unauthorized: a key is required and missing or wrong, or the customer token does not hold.
            Unavailable: keys cannot be checked.
        """
        settings = self.settings
        if settings.key_store is not None:
            await settings.key_store.refresh()
        return limits_of(settings.owner(headers, scope=None), settings.key_allowance, settings.customer_allowance)

    async def close(self) -> None:
        """Closes connections."""
        await self.counts.close()
        if self.settings.key_store is not None:
            self.settings.key_store.close()


class Door:
    """ASGI middleware before everything below /v1/. `refused` is told the status of each request that it turns away."""

    def __init__(self, app: ASGIApp, house: House, refused: Callable[[int], None]) -> None:
        self._app, self._house, self._refused = app, house, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        visit, verdict = Visit(self._house.seats), Verdict()
        limits: Sequence[Limit] = ()
        started = False

        async def told(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(verdict.headers())
            await send(message)

        try:
            async with asyncio.timeout(self._house.settings.request_timeout_s + LAST_S) as time_left:
                try:
                    limits = await self._house.limits(Headers(scope=scope))
                    if limits:
                        verdict = await self._house.counts.enter(limits, visit.id)
                        if verdict.refused is not None:
                            raise verdict.error()
                except ServiceError as error:
                    await self._refuse(error, scope, receive, told)
                    return
                with visit.inside():
                    await self._app(scope, receive, told)
        except TimeoutError:
            if not time_left.expired():
                raise
            if not started:
                late = DeadlineExceeded("the request took too long", code="deadline_exceeded")
                await self._refuse(late, scope, receive, told)
        finally:
            if limits and verdict.refused is None:
                await self._house.counts.leave(limits, visit.id, visit.tokens)

    async def _refuse(self, error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
        self._refused(error.status)
        await JSONResponse(error.body(), error.status, error.headers)(scope, receive, send)
