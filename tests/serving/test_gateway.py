"""The protocol's edges: statuses, OpenAI's error shape, models, health, keys, limits, streams, disconnects."""

import asyncio
import contextlib
import dataclasses
import json
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from data.errors import BadInput
from serving.gateway import create_app
from serving.settings import GatewaySettings
from tests.serving.conftest import listening

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


async def test_answer_has_openai_shape_and_kefu(chat: Any, engine: Any, settings: GatewaySettings) -> None:
    body = await chat("Where are you located on the moon?")
    assert body["object"] == "chat.completion"
    assert body["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hello! How can I help?", "refusal": None},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert body["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert body["kefu"] == {
        "conversation_id": None,
        "release": settings.release.digest,
        "intent": "order_status",
        "cache": None,
        "tools": [],
        "confirmation": None,
        "thinking": None,
    }
    assert engine.requests[0]["model"] == "kefu"


async def test_stream_equals_whole_and_ends_with_kefu(chat: Any, engine: Any, h: Any) -> None:
    engine.answer("One. Two! 三。四")
    response = await chat.post("hm", stream=True, stream_options={"include_usage": True})
    chunks = h.events(response.text)
    content = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert content == "One. Two! 三。四"
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 15 and chunks[-1]["kefu"]["intent"] == "order_status"
    assert not any("kefu" in chunk for chunk in chunks[:-1])
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_models_and_unknown_model(client: httpx.AsyncClient, chat: Any) -> None:
    listed = (await client.get("/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == ["kefu", "Qwen3-1.7B", "smollm2-135m", "kefu-1"]
    refused = await client.post(CHAT, json={"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]})
    assert refused.status_code == 404 and refused.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"function_call": "auto"}, "function_call"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": "x" * 5000}]}, "messages"),
        ({"messages": [{"role": "system", "content": "x" * 1001}, {"role": "user", "content": "a"}]}, "messages"),
        ({"temperature": 3}, "temperature"),
        ({"audio": {}}, "audio"),
        ({"conversation_id": "x" * 200}, "conversation_id"),
    ],
)
async def test_what_cannot_be_served_is_a_400_that_names_the_field(chat: Any, body: dict[str, Any], param: str) -> None:
    messages = body.pop("messages", [{"role": "user", "content": "hi"}])
    response = await chat.post(messages, **body)
    error = response.json()["error"]
    assert response.status_code == 400, response.text
    assert error["type"] == "invalid_request_error" and error["param"] == param and error["message"]


@pytest.mark.parametrize("raw", [b"not json", b"", b"[]", b'{"model": "kefu"}', b'"\xff"', b"\x00", b"[" * 100_000])
async def test_not_a_request_is_400(client: httpx.AsyncClient, raw: bytes) -> None:
    response = await client.post(CHAT, content=raw, headers={"content-type": "application/json"})
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


async def test_half_a_surrogate_pair_is_400(client: httpx.AsyncClient) -> None:
    raw = b'{"model": "kefu", "messages": [{"role": "user", "content": "\\ud800"}]}'
    response = await client.post(CHAT, content=raw, headers={"content-type": "application/json"})
    assert response.status_code == 400


@pytest.mark.parametrize("declared", [True, False])
async def test_too_long_a_body_is_413(client: httpx.AsyncClient, declared: bool) -> None:
    async def pieces() -> Any:
        for _ in range(3):
            yield b"x" * (1 << 19)

    response = await client.post(CHAT, content=b"x" * (1 << 21) if declared else pieces())
    assert response.status_code == 413 and response.json()["error"]["code"] == "body_too_large"


async def test_engine_down_is_503_with_retry_after_and_not_ready(
    client: httpx.AsyncClient, chat: Any, engine: Any
) -> None:
    assert (await client.get("/readyz")).status_code == 200
    engine.up = False
    for extra in ({}, {"stream": True}, {"tools": [TOOL]}, {"tools": [TOOL], "stream": True}):
        response = await chat.post("hi there", **extra)
        assert response.status_code == 503, extra
        assert response.headers["retry-after"] == "5" and response.json()["error"]["type"] == "server_error"
    ready = await client.get("/readyz")
    assert ready.status_code == 503 and ready.json()["ready"] is False
    assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (httpx.Response(500, text="boom"), 503),
        (httpx.Response(503, json={"error": {"message": "queue full"}}), 503),
        (httpx.Response(400, json={"error": {"message": "too long"}}), 400),
        (httpx.Response(200, text="<html>"), 503),
        (httpx.Response(200, json={"choices": []}), 503),
        (httpx.Response(200, json={"choices": [{"message": {"content": "x"}}], "usage": [1]}), 503),
        (httpx.ReadTimeout("slow"), 504),
    ],
)
async def test_engine_failures_keep_their_status(chat: Any, engine: Any, reply: Any, status: int) -> None:
    engine.say(reply)
    assert (await chat.post("hi there")).status_code == status


async def test_deadline_of_a_call(settings: GatewaySettings, engine: Any, shop: Any) -> None:
    async def never(_body: dict[str, Any]) -> None:
        await asyncio.sleep(60)

    engine.say(never)
    app = create_app(dataclasses.replace(settings, engine_timeout_s=0.05), transport=httpx.MockTransport(engine))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
        body = {"model": "kefu", "messages": [{"role": "user", "content": "hi there"}]}
        assert (await client.post(CHAT, json=body)).status_code == 504
        assert (await client.post(CHAT, json={**body, "tools": [TOOL], "stream": True})).status_code == 504


async def test_error_in_the_middle_of_a_stream_is_told_in_the_stream(chat: Any, engine: Any, h: Any) -> None:
    async def broken() -> Any:
        yield b'data: {"choices": [{"index": 0, "delta": {"content": "He"}, "finish_reason": null}]}\n\n'
        raise httpx.ReadError("gone")

    engine.say(httpx.Response(200, content=broken()))
    response = await chat.post("hi", tools=[TOOL], stream=True)
    events = h.events(response.text)
    assert events[0]["choices"][0]["delta"]["content"] == "He" and events[-1]["error"]["type"] == "server_error"


@pytest.mark.parametrize("tools", [None, [TOOL]])
async def test_an_engine_that_gives_up_has_not_answered(chat: Any, engine: Any, h: Any, tools: Any) -> None:
    engine.say(h.message("Your order is", finish_reason="abort"))  # as vLLM says it when it is stopped
    assert (await chat.post("hi there", tools=tools)).status_code == 503
    events = h.events((await chat.post("hi there", tools=[TOOL], stream=True)).text)
    assert events[-1]["error"]["type"] == "server_error"


async def test_api_keys(settings: GatewaySettings, engine: Any, shop: Any) -> None:
    guarded = dataclasses.replace(settings, host="0.0.0.0", api_keys=("sk-1", "sk-2"))
    app = create_app(guarded, transport=httpx.MockTransport(engine))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
        body = {"model": "kefu", "messages": [{"role": "user", "content": "hi there"}], "conversation_id": "c"}
        for header in ({}, {"Authorization": "Bearer no"}, {"Authorization": "sk-1"}):
            refused = await client.post(CHAT, json=body, headers=header)
            assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.post(CHAT, json=body, headers={"Authorization": "Bearer sk-1"})).status_code == 200
        other = await client.post(CHAT, json=body, headers={"Authorization": "Bearer sk-2"})
        assert other.status_code == 404 and other.json()["error"]["code"] == "conversation_not_found"


def test_settings_that_would_open_the_shop_are_refused(settings: GatewaySettings) -> None:
    with pytest.raises(BadInput, match="API key"):
        dataclasses.replace(settings, host="0.0.0.0")
    with pytest.raises(BadInput, match="loopback"):
        dataclasses.replace(settings, host="example.org", demo=True, api_keys=("k",))
    assert "k" * 64 not in repr(settings)


async def test_metrics(client: httpx.AsyncClient, chat: Any) -> None:
    await chat("hello there")
    await chat.post("hi", n=3)
    text = (await client.get("/metrics")).text
    assert 'kefu_requests_total{mode="agent",status="200"} 1.0' in text
    assert 'kefu_requests_total{mode="agent",status="400"} 1.0' in text
    assert 'kefu_faq_lookups_total{result="miss"} 1.0' in text
    assert 'kefu_tokens_total{kind="prompt"} 20.0' in text  # the answer and the intent
    assert 'kefu_request_seconds_count{mode="agent"}' in text


async def test_unknown_path_and_method(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v1/nothing")
    assert missing.status_code == 404 and "error" in missing.json()
    assert (await client.get(CHAT)).status_code == 405


async def test_a_bug_of_ours_is_a_500_that_tells_nothing(
    chat: Any, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("serving.protocol.ChatRequest.check", broken)
    response = await chat.post("hi")
    assert response.status_code == 500 and "secret" not in response.text and "error" in response.json()


@pytest.mark.parametrize("name", ["shop", "conversations"])
async def test_a_database_that_is_away_is_a_503(chat: Any, engine: Any, h: Any, tmp_path: Path, name: str) -> None:
    engine.answer("Fine.")
    (kept,) = tmp_path.glob(f"{name}.db")
    with contextlib.closing(sqlite3.connect(kept)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            database.execute(f"ALTER TABLE {table} RENAME TO gone_{table}")
    response = await chat.post("hi", h.token("demo"), conversation_id="c")
    assert response.status_code == 503 and "database" in response.json()["error"]["message"]
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tools", [None, [TOOL]])
@pytest.mark.parametrize("keep_alive_s", [15, 0.05])  # the stream has not begun; it has, and keeps alive
def test_a_client_that_goes_away_stops_the_engine(
    settings: GatewaySettings, engine: Any, shop: Any, stream: bool, tools: Any, keep_alive_s: float
) -> None:
    stopped: list[float] = []

    async def slow(_body: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            stopped.append(time.monotonic())
            raise

    engine.say(slow)
    body = {"model": "kefu", "messages": [{"role": "user", "content": "hi there"}], "stream": stream, "tools": tools}
    app = create_app(dataclasses.replace(settings, keep_alive_s=keep_alive_s), transport=httpx.MockTransport(engine))
    with listening(app) as url:
        left = leave(url, body)
        while not stopped and time.monotonic() < left + 2:
            time.sleep(0.02)
    assert stopped and stopped[0] - left < 1


def leave(url: str, body: dict[str, Any]) -> float:
    """Asks, reads nothing, and goes away a moment later; gives when."""
    address, raw = httpx.URL(url), json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: kefu\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}"
    with socket.create_connection((address.host, address.port or 80)) as client:
        client.sendall(f"{head}\r\n\r\n".encode() + raw)
        time.sleep(0.25)
    return time.monotonic()


def test_a_client_that_leaves_in_the_middle_of_a_stream_stops_the_engine(served: str, engine: Any) -> None:
    closed: list[float] = []

    async def endless() -> Any:
        try:
            while True:
                yield b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": null}]}\n\n'
                await asyncio.sleep(0.01)
        finally:
            closed.append(time.monotonic())

    engine.say(httpx.Response(200, content=endless()))
    body = {"model": "kefu", "messages": [{"role": "user", "content": "hi"}], "stream": True, "tools": [TOOL]}
    with httpx.stream("POST", f"{served}{CHAT}", json=body) as response:
        next(response.iter_lines())
    left = time.monotonic()
    while not closed and time.monotonic() < left + 2:
        time.sleep(0.02)
    assert closed and closed[0] - left < 1
