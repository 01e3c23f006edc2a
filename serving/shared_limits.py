"""Limits counted in Redis, so that several gateways keep one account of a caller; the rule is that of `serving/limits.py`.

One script and one round trip a request: all limits let it in, or nothing is counted. Redis's own clock counts. Without an
answer from Redis each process counts by itself for a while: limits are looser then, nobody is shut out. Not covered:
Redis Cluster with keys on several nodes; all keys share one hash slot.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from data.errors import BadInput
from serving.limits import AGAIN_S, Level, Limit, LocalCounts, Verdict

ANSWER_S = 0.25  # Redis answers within this, or is taken for away
AWAY_S = 5.0  # for which it is not asked again
_PREFIX = "{kefu}:"

# A bucket is the moment when it is full; requests at once are a sorted set of visits by the moment when they lapse, in case
# that the process that let them in dies. KEYS: one a limit. ARGV: visit, lease in seconds, then kind and amount of each.
_ENTER = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local refused, wait, full = 0, 0, {}
for i, name in ipairs(KEYS) do
  local kind, amount = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  local missing = 0
  if kind == 'concurrency' then
    redis.call('ZREMRANGEBYSCORE', name, '-inf', now)
    if redis.call('ZCARD', name) >= amount then missing = tonumber(ARGV[3 + 2 * #KEYS]) end
  else
    full[i] = math.max(now, tonumber(redis.call('GET', name) or now))
    local left = amount - (full[i] - now) * amount / 60
    if 1 - left > 0.000001 then missing = (1 - left) * 60 / amount end
  end
  if missing > wait then refused, wait = i, missing end
end
local answer = {tostring(refused), string.format('%.6f', wait)}
for i, name in ipairs(KEYS) do
  local kind, amount = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  if refused == 0 and kind == 'requests' then
    full[i] = full[i] + 60 / amount
    redis.call('SET', name, string.format('%.6f', full[i]), 'PX', math.ceil((full[i] - now) * 1000))
  elseif refused == 0 and kind == 'concurrency' then
    redis.call('ZADD', name, now + tonumber(ARGV[2]), ARGV[1])
    redis.call('PEXPIRE', name, math.ceil(tonumber(ARGV[2]) * 1000))
  end
  answer[i + 2] = string.format('%.6f', full[i] and full[i] - now or 0)
end
return answer
"""
# ARGV: visit, tokens, then kind and amount of each.
_LEAVE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
for i, name in ipairs(KEYS) do
  local kind, amount = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  if kind == 'concurrency' then
    redis.call('ZREM', name, ARGV[1])
  elseif kind == 'tokens' and tonumber(ARGV[2]) > 0 then
    local full = math.max(now, tonumber(redis.call('GET', name) or now)) + tonumber(ARGV[2]) * 60 / amount
    redis.call('SET', name, string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
  end
end
"""


class SharedCounts:
    """Limits counted in one Redis for all gateways that know it."""

    def __init__(self, url: str, lease_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`lease_s` is how long a request lasts at most. Nothing is connected yet.

        Raises:
            BadInput: the URL is not one of Redis.
        """
        retry = Retry(NoBackoff(), 0)  # the next request asks again
        try:
            self._redis: Redis = Redis.from_url(
                url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=retry
            )
        except ValueError as error:
            raise BadInput(
                f"KEFU_REDIS_URL is not a URL of Redis; expected redis://HOST:6379/0 or rediss://..., {error}"
            ) from error
        self._enter, self._leave = self._redis.register_script(_ENTER), self._redis.register_script(_LEAVE)
        self._lease_s, self._clock = lease_s, clock
        self._local = LocalCounts(clock)
        self._away_until = float("-inf")

    async def enter(self, limits: Sequence[Limit], visit: str) -> Verdict:
        """Counts a request if every limit lets it in, else nothing."""
        counted = [part for limit in limits for part in (limit.kind, limit.amount)]
        answer = await self._asked(self._enter, limits, [visit, self._lease_s, *counted, AGAIN_S])
        if answer is None:
            return await self._local.enter(limits, visit)
        refused, wait_s, *resets = (float(part) for part in answer)
        levels = [
            Level(limit, max(0, int(limit.amount - reset / limit.interval_s + 1e-4)), reset)
            for limit, reset in zip(limits, resets, strict=True)
            if limit.kind != "concurrency"
        ]
        return Verdict(tuple(levels), limits[int(refused) - 1] if refused else None, wait_s)

    async def leave(self, limits: Sequence[Limit], visit: str, tokens: int) -> None:
        """Ends a visit that came in, wherever it was counted, and counts the tokens that it took."""
        counted = [part for limit in limits for part in (limit.kind, limit.amount)]
        answer = await self._asked(self._leave, limits, [visit, tokens, *counted])
        await self._local.leave(limits, visit, tokens if answer is None else 0)

    async def close(self) -> None:
        """Closes connections."""
        await self._redis.aclose()

    async def _asked(self, script: Any, limits: Sequence[Limit], arguments: Sequence[Any]) -> list[Any] | None:
        """What Redis answers (nothing is an empty list); None: it is away, and is left alone for a while."""
        if self._clock() < self._away_until:
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                return await script([_PREFIX + limit.name for limit in limits], arguments) or []
        except (RedisError, OSError, TimeoutError) as error:
            self._away_until = self._clock() + AWAY_S
            logging.getLogger(__name__).warning(
                "Redis does not answer (%s); this process counts limits by itself and asks again in %.0f s",
                type(error).__name__,
                AWAY_S,
            )
            return None
