"""Limits in a real Redis: the same rule as in one process, shared by several, and none of it needed to answer."""

import asyncio
import dataclasses
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from redis import ConnectionError, Redis

from data.errors import BadInput
from serving import shared_limits
from serving.engine import free_port
from serving.gateway import create_app
from serving.limits import Allowance, Limit, LocalCounts, Verdict
from serving.settings import GatewaySettings
from serving.shared_limits import SharedCounts

LIMITS = (
    Limit("requests", "key", "k:r", 5),
    Limit("tokens", "key", "k:t", 100),
    Limit("requests", "customer", "c:r", 3),
    Limit("concurrency", "customer", "c:c", 2),
)
TWO_AT_ONCE = LIMITS[3:]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty Redis of our own."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    assert found, "the mark `services` needs Redis: apt-get install redis-server"
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = [found, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        url, deadline = f"redis://127.0.0.1:{port}/0", time.monotonic() + 10
        while not _answers(url):
            assert server.poll() is None and time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def _answers(url: str) -> bool:
    try:
        with Redis.from_url(url) as client:
            return bool(client.ping())
    except ConnectionError:
        return False


@pytest.fixture
async def counts(redis: str) -> AsyncIterator[SharedCounts]:
    """Counts in an emptied Redis."""
    Redis.from_url(redis).flushall()
    counts = SharedCounts(redis, lease_s=60)
    yield counts
    await counts.close()


def seen(verdict: Verdict) -> tuple[object, ...]:
    """What does not depend on how long the test took."""
    return (
        verdict.refused,
        round(verdict.retry_after_s, 1),
        [(level.limit, level.remaining, round(level.reset_s, 1)) for level in verdict.levels],
    )


@pytest.mark.services
async def test_it_counts_as_one_process_does(counts: SharedCounts) -> None:
    local = LocalCounts()
    for step in range(12):
        visit = str(step)
        here, there = await local.enter(LIMITS, visit), await counts.enter(LIMITS, visit)
        assert seen(here) == seen(there), step
        if here.refused is None and step % 2:
            for place in (local, counts):
                await place.leave(LIMITS, visit, 45 * step)
    assert here.refused is not None


@pytest.mark.services
async def test_gateways_share_one_account(redis: str, counts: SharedCounts) -> None:
    gateways = [SharedCounts(redis, lease_s=60) for _ in range(4)]
    verdicts = await asyncio.gather(
        *(gateways[number % 4].enter(LIMITS[:1], f"v{number}") for number in range(40)),
    )
    assert sum(verdict.refused is None for verdict in verdicts) == 5
    at_once = await asyncio.gather(*(gateways[n % 4].enter(TWO_AT_ONCE, f"w{n}") for n in range(40)))
    inside = [f"w{number}" for number, verdict in enumerate(at_once) if verdict.refused is None]
    assert len(inside) == 2
    await gateways[3].leave(TWO_AT_ONCE, inside[0], 0)
    assert (await gateways[2].enter(TWO_AT_ONCE, "x")).refused is None
    assert (await gateways[2].enter(TWO_AT_ONCE, "y")).refused == TWO_AT_ONCE[0]
    for gateway in gateways:
        await gateway.close()


@pytest.mark.services
async def test_what_a_dead_gateway_let_in_lapses_and_all_keys_expire(redis: str, counts: SharedCounts) -> None:
    dead = SharedCounts(redis, lease_s=0.05)
    for visit in "ab":
        assert (await dead.enter(TWO_AT_ONCE, visit)).refused is None
    assert (await counts.enter(TWO_AT_ONCE, "c")).refused
    await asyncio.sleep(0.06)
    assert (await counts.enter(LIMITS, "c")).refused is None
    await counts.leave(LIMITS[1:2], "c", 50)
    client = Redis.from_url(redis)
    keys = client.keys()
    assert len(keys) == 4 and all(0 < client.pttl(key) <= 60_000 for key in keys)
    await dead.close()


@pytest.mark.services
async def test_scripts_come_back_after_a_restart(redis: str, counts: SharedCounts) -> None:
    await counts.enter(LIMITS[:1], "a")
    Redis.from_url(redis).script_flush()
    assert (await counts.enter(LIMITS[:1], "b")).levels[0].remaining == 3


@pytest.mark.services
async def test_two_gateways_are_one_to_a_caller(
    redis: str, counts: SharedCounts, settings: GatewaySettings, engine: Any, shop: Any, h: Any
) -> None:
    limited = dataclasses.replace(
        settings, redis_url=redis, customer_allowance=Allowance(requests_per_minute=3, tokens_per_minute=10_000)
    )
    body = {"model": "kefu", "messages": [{"role": "user", "content": "hi there"}]}
    answers = []
    for _ in range(4):
        app = create_app(limited, transport=httpx.MockTransport(engine))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
            answers.append(await client.post("/v1/chat/completions", json=body, headers=h.token("mei")))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]
    assert 10_000 - 30 <= int(answers[1].headers["x-ratelimit-remaining-tokens"]) <= 10_000
    assert "mei" not in str(Redis.from_url(redis).keys())


async def test_without_redis_each_process_counts_and_asks_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], 0
    counts = SharedCounts(f"redis://:secret@127.0.0.1:{free_port()}/0", 60, clock=lambda: now[0])
    script = counts._enter

    async def counted(*arguments: object) -> object:
        nonlocal asked
        asked += 1
        return await script(*arguments)  # type: ignore[arg-type]

    counts._enter = counted  # type: ignore[assignment]
    for visit in ("a", "b", "c"):
        verdict = await counts.enter(TWO_AT_ONCE, visit)
    assert verdict.refused == TWO_AT_ONCE[0] and asked == 1
    await counts.leave(TWO_AT_ONCE, "a", 0)
    now[0] += shared_limits.AWAY_S
    assert (await counts.enter(TWO_AT_ONCE, "d")).refused is None and asked == 2
    await counts.close()


def test_a_url_that_is_none_is_bad_input_and_is_not_shown() -> None:
    with pytest.raises(BadInput, match="expected redis://") as refused:
        SharedCounts("http://:secret@somewhere", 60)
    assert "secret" not in str(refused.value)
