"""Streams say that they live while nothing is ready, tell errors, end in [DONE], and end the work when they are closed."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serving.errors import EngineTimeout, ServiceError
from serving.events import DONE, KEEP_ALIVE, events
from serving.gateway import create_app
from serving.settings import GatewaySettings

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def told(error: Exception) -> ServiceError:
    return error if isinstance(error, ServiceError) else ServiceError("ours")


async def late(chunks: AsyncIterator[dict[str, Any]], seconds: float = 0) -> AsyncIterator[dict[str, Any]]:
    await asyncio.sleep(seconds)
    return chunks


async def some(*items: Any) -> AsyncIterator[dict[str, Any]]:
    for item in items:
        if isinstance(item, Exception):
            raise item
        if isinstance(item, float):
            await asyncio.sleep(item)
        else:
            yield item


async def test_comments_fill_the_silence_before_and_between_chunks() -> None:
    stream = events(late(some({"a": "二"}, 0.05, {"b": 2}), 0.05), 0.02, told)
    said = [text async for text in stream]
    assert said[0] == KEEP_ALIVE and KEEP_ALIVE in said[said.index('data: {"a":"二"}\n\n') :]
    assert [text for text in said if text != KEEP_ALIVE] == ['data: {"a":"二"}\n\n', 'data: {"b":2}\n\n', DONE]


@pytest.mark.parametrize(("error", "kind"), [(EngineTimeout("slow"), "slow"), (RuntimeError("secret"), "ours")])
async def test_an_error_is_told_and_the_stream_ends(error: Exception, kind: str) -> None:
    said = [text async for text in events(late(some({"a": 1}, error)), 9, told)]
    assert json.loads(said[1].removeprefix("data: "))["error"]["message"] == kind and said[2] == DONE


async def test_a_slow_reader_makes_the_engine_wait_and_closing_ends_it() -> None:
    made, closed = 0, False

    async def endless() -> AsyncIterator[dict[str, Any]]:
        nonlocal made, closed
        try:
            while True:
                made += 1
                yield {"n": made}
        finally:
            closed = True

    stream = events(late(endless()), 9, told)
    await anext(stream)
    await asyncio.sleep(0.01)
    assert made < 20  # it does not run ahead of the reader
    await stream.aclose()
    assert closed


async def test_closing_ends_work_that_has_not_begun_to_answer() -> None:
    work = asyncio.ensure_future(late(some(), 60))
    stream = events(work, 0.01, told)
    assert await anext(stream) == KEEP_ALIVE
    await stream.aclose()
    assert work.cancelled()


@pytest.mark.parametrize("tools", [None, [TOOL]])
async def test_the_endpoint_keeps_a_slow_stream_alive(
    settings: GatewaySettings, engine: Any, shop: Any, h: Any, tools: Any
) -> None:
    async def slow(_body: dict[str, Any]) -> Any:
        await asyncio.sleep(0.5)
        return h.message("Here you are.") if slow_enough else httpx.ReadTimeout("slow")

    engine.say(slow)
    app = create_app(dataclasses.replace(settings, keep_alive_s=0.05), transport=httpx.MockTransport(engine))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
        body = {"model": "kefu", "messages": [{"role": "user", "content": "well?"}], "stream": True, "tools": tools}
        slow_enough = True
        response = await client.post("/v1/chat/completions", json=body)
        assert response.text.startswith(KEEP_ALIVE)
        assert (
            "".join(c["choices"][0]["delta"].get("content") or "" for c in h.events(response.text)) == "Here you are."
        )
        slow_enough = False
        failed = h.events((await client.post("/v1/chat/completions", json=body)).text)
        assert failed[-1]["error"]["type"] == "server_error"
        text = (await client.get("/metrics")).text
        assert 'status="200"' in text and 'status="504"' in text
