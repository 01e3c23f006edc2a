"""How much one caller may ask for: requests and tokens a minute, and requests at once, by API key and by customer.

What is counted by the minute is a bucket that holds a minute's worth and fills steadily: whoever was quiet may use a
minute's worth at once. It is kept as one number, the moment when it will be full again (the generic cell rate algorithm).
Tokens are known only after the fact: a request needs one left, and what it took may leave the bucket in debt.

Not the library `limits`: it walks over all counters on each hit, cannot go into debt, counts nothing that ends (requests
at once), and asks Redis once for each limit. Not covered: counting in Redis (`serving/shared_limits.py`).
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from serving.errors import RateLimited
from serving.memory import Owner

MINUTE_S = 60.0
AGAIN_S = 1.0  # nobody knows when a request ends that runs
_ROUNDING = 1e-6  # who waits as long as told must not be turned away by the last bit of a float

Kind = Literal["requests", "tokens", "concurrency"]


@dataclass(frozen=True)
class Allowance:
    """What one API key, or one customer, may use; None: without bound."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None  # prompt and completion
    concurrency: int | None = None  # requests at once


NO_LIMIT = Allowance()


@dataclass(frozen=True)
class Limit:
    """One thing that is counted for one caller, under a name that tells nobody who that is."""

    kind: Kind
    per: Literal["key", "customer"]
    name: str
    amount: int

    @property
    def interval_s(self) -> float:
        """The seconds in which one more comes in."""
        return MINUTE_S / self.amount


@dataclass(frozen=True)
class Level:
    """How a limit stands: what is left, and the seconds until all of it is there again."""

    limit: Limit
    remaining: int
    reset_s: float


@dataclass(frozen=True)
class Verdict:
    """Whether a request may come in (`refused` is None), else which limit says no and for how long."""

    levels: tuple[Level, ...] = ()
    refused: Limit | None = None
    retry_after_s: float = 0.0

    def headers(self) -> dict[str, str]:
        """OpenAI's `x-ratelimit-*` of requests and tokens; where key and customer are both limited, the tighter one."""
        found: dict[str, str] = {}
        for kind in ("requests", "tokens"):
            levels = [level for level in self.levels if level.limit.kind == kind]
            if levels:
                level = min(levels, key=lambda level: level.remaining)
                found[f"x-ratelimit-limit-{kind}"] = str(level.limit.amount)
                found[f"x-ratelimit-remaining-{kind}"] = str(level.remaining)
                found[f"x-ratelimit-reset-{kind}"] = duration(level.reset_s)
        return found

    def error(self) -> RateLimited:
        """What a refused caller is told."""
        limit = self.refused
        assert limit is not None
        who = f"this {'API key' if limit.per == 'key' else 'customer'}"
        if limit.kind == "concurrency":
            told = f"{who} has {limit.amount} requests open, as many as it may; wait for one to end"
            code = "concurrency_limit_exceeded"
            return RateLimited(told, type="requests", code=code, retry_after_s=self.retry_after_s)
        told = f"{who} is over its limit of {limit.amount} {limit.kind} a minute; try again in "
        told += duration(self.retry_after_s)
        return RateLimited(told, type=limit.kind, retry_after_s=self.retry_after_s)


class Counts(Protocol):
    """Where limits are counted. A visit is one request, by a name of its own."""

    async def enter(self, limits: Sequence[Limit], visit: str) -> Verdict:
        """Counts a request if every limit lets it in, else nothing."""
        ...

    async def leave(self, limits: Sequence[Limit], visit: str, tokens: int) -> None:
        """Ends a visit that came in, and counts the tokens that it took."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...


class LocalCounts:
    """Limits counted in this process. Nothing waits inside, so that no other request comes between."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}  # by limit; who is not in it has a full bucket
        self._names: deque[str] = deque()  # those of _full_at, in the order in which they are looked at
        self._inside: dict[str, set[str]] = {}  # visits by limit

    async def enter(self, limits: Sequence[Limit], visit: str) -> Verdict:
        """Counts a request if every limit lets it in, else nothing."""
        now = self._clock()
        waits = [(self._wait_s(limit, now), limit) for limit in limits]
        wait_s, tightest = max(waits, key=lambda wait: wait[0], default=(0.0, None))
        if wait_s > 0:
            return Verdict(tuple(self._levels(limits, now)), tightest, wait_s)
        for limit in limits:
            if limit.kind == "requests":
                self._take(limit, 1, now)
            elif limit.kind == "concurrency":
                self._inside.setdefault(limit.name, set()).add(visit)
        return Verdict(tuple(self._levels(limits, now)))

    async def leave(self, limits: Sequence[Limit], visit: str, tokens: int) -> None:
        """Ends a visit, and counts its tokens; one that never came in here ends too."""
        now = self._clock()
        for limit in limits:
            if limit.kind == "tokens" and tokens:
                self._take(limit, tokens, now)
            elif limit.kind == "concurrency" and limit.name in self._inside:
                self._inside[limit.name].discard(visit)
                if not self._inside[limit.name]:
                    del self._inside[limit.name]

    async def close(self) -> None:
        """There is nothing to close."""

    def __len__(self) -> int:
        """How many counters are kept."""
        return len(self._full_at) + len(self._inside)

    def _wait_s(self, limit: Limit, now: float) -> float:
        if limit.kind == "concurrency":
            return 0.0 if len(self._inside.get(limit.name, ())) < limit.amount else AGAIN_S
        missing = 1 - self._left(limit, now)
        return missing * limit.interval_s if missing > _ROUNDING else 0.0

    def _left(self, limit: Limit, now: float) -> float:
        """What a bucket holds; below zero: its debt."""
        return limit.amount - max(0.0, self._full_at.get(limit.name, now) - now) / limit.interval_s

    def _take(self, limit: Limit, amount: int, now: float) -> None:
        if limit.name not in self._full_at:
            self._names.append(limit.name)
        self._full_at[limit.name] = max(now, self._full_at.get(limit.name, now)) + amount * limit.interval_s
        for _ in range(2):  # full buckets are forgotten faster than new ones come, without ever looking at all
            name = self._names.popleft()
            if self._full_at[name] > now:
                self._names.append(name)
            else:
                del self._full_at[name]
            if not self._names:
                break

    def _levels(self, limits: Iterable[Limit], now: float) -> Iterator[Level]:
        for limit in limits:
            if limit.kind != "concurrency":
                left = max(0, int(self._left(limit, now) + _ROUNDING))
                yield Level(limit, left, max(0.0, self._full_at.get(limit.name, now) - now))


def limits_of(owner: Owner, key: Allowance, customer: Allowance) -> tuple[Limit, ...]:
    """Everything that is counted for a caller; whom nothing is known of, nothing is counted for."""
    return (*_limits("key", owner.api_key, key), *_limits("customer", owner.customer, customer))


def _limits(per: Literal["key", "customer"], who: str | None, allowance: Allowance) -> Iterator[Limit]:
    if who is None:
        return
    party = hashlib.sha256(who.encode()).hexdigest()[:32]
    amounts: tuple[tuple[Kind, int | None], ...] = (
        ("requests", allowance.requests_per_minute),
        ("tokens", allowance.tokens_per_minute),
        ("concurrency", allowance.concurrency),
    )
    for kind, amount in amounts:
        if amount is not None:
            yield Limit(kind, per, f"{per}:{party}:{kind}", amount)


def duration(seconds: float) -> str:
    """A span of time as OpenAI's headers have it: 0s, 17ms, 1.5s, 6m0s, 1h2m3s."""
    milliseconds = -int(-seconds * 1000 // 1)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    rest, milliseconds = divmod(milliseconds, 1000)
    minutes, rest = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    said = f"{rest + milliseconds / 1000:g}s"
    if hours or minutes:
        said = f"{minutes}m{said}"
    return f"{hours}h{said}" if hours else said
