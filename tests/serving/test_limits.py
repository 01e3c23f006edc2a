"""Limits: what a bucket lets through in any stretch of time, debts, requests at once, OpenAI's headers."""

import asyncio
import re
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.limits import Allowance, Level, Limit, LocalCounts, Verdict, duration, limits_of
from serving.memory import Owner

T = TypeVar("T")
REQUESTS = Limit("requests", "key", "r", 60)
TOKENS = Limit("tokens", "customer", "t", 6000)
TWO_AT_ONCE = Limit("concurrency", "key", "c", 2)
GAPS = st.floats(0, 30, allow_nan=False)


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def now(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waited")


def let_in(counts: LocalCounts, limits: Sequence[Limit], visit: str = "v") -> Verdict:
    return now(counts.enter(limits, visit))


@settings(max_examples=60, deadline=None)
@given(amount=st.integers(1, 200), gaps=st.lists(GAPS, max_size=60))
def test_no_stretch_of_time_lets_more_through_than_a_bucket_and_its_inflow(amount: int, gaps: list[float]) -> None:
    clock, limit = Clock(), Limit("requests", "key", "r", amount)
    counts, came = LocalCounts(clock), []
    for gap in gaps:
        clock.now += gap
        came += [clock.now] * sum(let_in(counts, [limit]).refused is None for _ in range(10))
    for first, start in enumerate(came):
        for last in range(first, len(came)):
            assert last - first + 1 <= amount + (came[last] - start) * amount / 60 + 1e-6


@settings(max_examples=60, deadline=None)
@given(amount=st.integers(1, 200), before=st.lists(st.integers(0, 9), max_size=20), spent=st.integers(0, 5000))
def test_who_waits_as_told_comes_in_and_who_does_not_does_not(amount: int, before: list[int], spent: int) -> None:
    clock, counts = Clock(), LocalCounts()
    counts._clock = clock
    limits = [Limit("requests", "key", "r", amount), Limit("tokens", "key", "t", 10 * amount)]
    for seconds in before:
        clock.now += seconds
        let_in(counts, limits)
    now(counts.leave(limits, "v", spent))
    while (verdict := let_in(counts, limits)).refused is None:
        pass
    assert verdict.retry_after_s > 0
    clock.now += verdict.retry_after_s * 0.999
    assert let_in(counts, limits).refused
    clock.now += verdict.retry_after_s * 0.001
    assert let_in(counts, limits).refused is None


def test_a_refused_request_counts_nowhere() -> None:
    clock = Clock()
    counts = LocalCounts(clock)
    other = Limit("requests", "customer", "r2", 1)
    assert let_in(counts, [REQUESTS, other, TWO_AT_ONCE], "a").refused is None
    for _ in range(5):
        assert let_in(counts, [REQUESTS, other, TWO_AT_ONCE], "b").refused == other
    assert let_in(counts, [REQUESTS]).levels[0].remaining == 58
    assert let_in(counts, [TWO_AT_ONCE], "c").refused is None


def test_tokens_are_paid_afterwards_out_of_the_minutes_to_come() -> None:
    clock = Clock()
    counts = LocalCounts(clock)
    assert let_in(counts, [TOKENS]).levels == (Level(TOKENS, 6000, 0.0),)
    now(counts.leave([TOKENS], "v", 9000))
    refused = let_in(counts, [TOKENS])
    assert refused.refused == TOKENS and refused.levels[0].remaining == 0 and refused.levels[0].reset_s == 90
    assert refused.retry_after_s == pytest.approx(30.01)
    clock.now += 45
    assert let_in(counts, [TOKENS]).levels[0].remaining == 1500


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_never_more_at_once_and_nothing_is_left_behind(steps: list[tuple[bool, int]]) -> None:
    counts = LocalCounts(Clock())
    inside: set[int] = set()
    for comes, visit in steps:
        if comes and visit not in inside:
            fits = let_in(counts, [TWO_AT_ONCE], str(visit)).refused is None
            assert fits == (len(inside) < 2)
            inside |= {visit} if fits else set()
        elif not comes:
            now(counts.leave([TWO_AT_ONCE], str(visit), 0))
            inside.discard(visit)
    for visit in inside:
        now(counts.leave([TWO_AT_ONCE], str(visit), 0))
    assert len(counts) == 0


def test_full_buckets_are_forgotten() -> None:
    clock = Clock()
    counts = LocalCounts(clock)
    for number in range(20_000):
        clock.now += 0.01
        let_in(counts, [Limit("requests", "customer", str(number), 600)])  # full again after 0.1 s
    assert len(counts) < 100


def test_everybody_counts_alone_and_nobody_by_name() -> None:
    allowance = Allowance(1, 2, 3)
    both = limits_of(Owner("mei", "f" * 64), allowance, Allowance(requests_per_minute=4))
    assert [(limit.per, limit.kind, limit.amount) for limit in both] == [
        ("key", "requests", 1),
        ("key", "tokens", 2),
        ("key", "concurrency", 3),
        ("customer", "requests", 4),
    ]
    assert not any("mei" in limit.name or "f" * 64 in limit.name for limit in both)
    assert limits_of(Owner(None), allowance, allowance) == ()
    ana, mei = (limits_of(Owner(name), Allowance(), allowance)[0].name for name in ("ana", "mei"))
    assert ana != mei and both[3].name == mei


def test_headers_tell_the_tighter_limit_as_openai_does() -> None:
    wide, tight = REQUESTS, Limit("requests", "customer", "r2", 5)
    verdict = Verdict((Level(wide, 50, 10.0), Level(tight, 3, 24.0), Level(TOKENS, 10, 59.9)))
    assert verdict.headers() == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "24s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "59.9s",
    }


def test_who_is_refused_is_told_by_what_and_until_when() -> None:
    error = Verdict((), TOKENS, 12.2).error()
    assert error.status == 429 and error.headers == {"Retry-After": "13"}
    assert error.body()["error"] == {
        "message": "this customer is over its limit of 6000 tokens a minute; try again in 12.2s",
        "type": "tokens",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    at_once = Verdict((), TWO_AT_ONCE, 1.0).error()
    assert at_once.code == "concurrency_limit_exceeded" and "this API key has 2 requests open" in at_once.message


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (0.0171, "18ms"), (1, "1s"), (1.5, "1.5s"), (59.9999, "1m0s"), (360, "6m0s"), (3723, "1h2m3s")],
)
def test_durations_as_openai_writes_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@settings(deadline=None)
@given(st.floats(0, 1e6))
def test_a_duration_is_never_shorter_than_the_time(seconds: float) -> None:
    said = duration(seconds)
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    parts = re.findall(r"([\d.]+)(ms|h|m|s)", said)
    total = sum(float(number) * units[unit] for number, unit in parts)
    assert "".join(number + unit for number, unit in parts) == said
    assert seconds - 1e-6 <= total <= seconds + 0.0011


def test_counting_waits_for_nothing() -> None:
    async def together() -> list[Verdict]:
        counts = LocalCounts()
        return await asyncio.gather(*(counts.enter([TWO_AT_ONCE], str(number)) for number in range(9)))

    assert sum(verdict.refused is None for verdict in asyncio.run(together())) == 2
