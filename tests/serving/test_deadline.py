"""How long a request may take, and that nothing is held by one that is over."""

import asyncio
import dataclasses
import json
from typing import Any

import httpx
import pytest

from serving import door
from serving.gateway import create_app
from serving.settings import GatewaySettings
from tests.serving.doorway import CHAT, HI, TOOL, Gate, Open, post, told


@pytest.mark.parametrize("extra", [{}, {"stream": True}, {"tools": [TOOL]}, {"tools": [TOOL], "stream": True}])
async def test_a_request_has_a_deadline(opened: Open, engine: Any, h: Any, extra: dict[str, Any]) -> None:
    Gate(engine, h)
    async with opened(request_timeout_s=0.05) as client:
        assert told(await post(client, **extra)) == (504, "deadline_exceeded")
        assert "kefu_engine_seats_taken 0.0" in (await client.get("/metrics")).text


async def test_the_deadline_is_of_all_rounds_together(opened: Open, engine: Any, h: Any) -> None:
    async def slowly(_body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.2)
        return dict(h.message(tool_calls=[h.call("query_order_status", {"order_id": "123456"})]))

    engine.say(slowly)
    async with opened(request_timeout_s=0.5, demo=True) as client:  # each round is in time, four of them are not
        assert told(await post(client)) == (504, "deadline_exceeded")


async def test_a_deadline_in_the_middle_of_a_stream_is_told_in_the_stream(opened: Open, engine: Any, h: Any) -> None:
    async def endless() -> Any:
        while True:
            yield b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": null}]}\n\n'
            await asyncio.sleep(0.01)

    engine.say(httpx.Response(200, content=endless()))
    async with opened(request_timeout_s=0.4) as client:
        response = await post(client, tools=[TOOL], stream=True)
        events = h.events(response.text)
        assert response.status_code == 200 and events[0]["choices"][0]["delta"]["content"] == "x"
        assert events[-1]["error"]["code"] == "deadline_exceeded"
        assert 'kefu_requests_total{mode="model",status="504"} 1.0' in (await client.get("/metrics")).text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_does_not_read_is_let_go(
    settings: GatewaySettings, engine: Any, shop: Any, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(door, "LAST_S", 0.05)
    app = create_app(dataclasses.replace(settings, request_timeout_s=0.05), transport=httpx.MockTransport(engine))
    body = json.dumps(HI | {"stream": stream}).encode()
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        if sent or body_read:
            await asyncio.sleep(60)
        body_read.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    body_read: list[bool] = []
    headers = [(b"content-type", b"application/json"), (b"host", b"kefu")]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "raw_path": CHAT.encode(),
        "query_string": b"",
    }
    scope |= {"headers": headers, "scheme": "http", "server": ("kefu", 80), "asgi": {"spec_version": "2.3"}}
    async with asyncio.timeout(5):
        await app(scope, receive, send)  # type: ignore[arg-type]
    assert sent == ["http.response.start", "http.response.body"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
        assert "kefu_engine_seats_taken 0.0" in (await client.get("/metrics")).text
