"""Metrics, request ids and logs: what is counted and written, and that not a word of anybody's is in it."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serving.endpoint import Endpoint
from serving.housekeeping import look
from serving.logs import logged_to
from serving.observation import Observation, observation
from serving.telemetry import Telemetry
from serving.toolset import TOOLS

CALL = ("query_order_status", {"order_id": "123456"})
MOVE = ("update_delivery_address", {"order_id": "123456", "new_addr": "北京路1号"})
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SECRETS = ("123456", "北京路", "Zofia", "13800138000", "zofia@example.org", "/v1/conversations/zofia")


async def metrics(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^([^#\s].*) ([0-9.e+-]+)$", text, re.MULTILINE)}


async def test_every_request_is_counted_once_under_labels_of_closed_sets(
    chat: Any, client: httpx.AsyncClient, engine: Any, h: Any
) -> None:
    engine.say(h.message(None, tool_calls=[h.call(*CALL), h.call("Zofia_invents", {})]), h.message("Packed."))
    await chat("I am Zofia, 13800138000. Where is 123456?", h.token("demo"))
    await chat("How do I return an item?")
    engine.answer("Hi there.")
    await chat.post("hello", stream=True)
    engine.say(h.message(None, tool_calls=[h.call("f", {"a": "Zofia"})]))
    await chat.post("hello", tools=[TOOL], stream=True)
    engine.say(httpx.ReadTimeout("slow"))
    await chat.post("hello")
    await client.get("/v1/conversations/zofia")
    found = await metrics(client)
    wanted = {
        'kefu_requests_total{mode="agent",status="200"}': 3,
        'kefu_requests_total{mode="agent",status="504"}': 1,
        'kefu_requests_total{mode="model",status="200"}': 1,
        'kefu_errors_total{error="EngineTimeout"}': 1,
        'kefu_errors_total{error="NotFound"}': 1,
        'kefu_cache_hits_total{kind="exact"}': 1,
        'kefu_tool_calls_total{status="ok",tool="query_order_status"}': 1,
        'kefu_tool_calls_total{status="invalid",tool="unknown"}': 1,
        'kefu_first_token_seconds_count{mode="agent"}': 1,
        'kefu_first_token_seconds_count{mode="model"}': 1,
        'kefu_step_seconds_count{step="faq"}': 4,
        'kefu_step_seconds_count{step="tool"}': 2,
        'kefu_step_seconds_count{step="answer"}': 5,
        'kefu_step_seconds_count{step="intent"}': 2,
        'kefu_step_errors_total{step="answer"}': 1,
        "kefu_requests_in_flight": 1,  # the one that asks
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert not any(secret in str(found) for secret in SECRETS)


def test_hand_overs_and_kinds_of_hits_are_counted() -> None:
    telemetry = Telemetry(["transfer_to_human"])
    for status in ("ok", "done", "refused"):
        kefu = {"tools": [{"name": "transfer_to_human", "arguments": {}, "status": status}], "cache": {"kind": "Zofia"}}
        telemetry.finished(Observation(kefu=kefu))
    text = telemetry.text().decode()
    assert "kefu_handovers_total 2.0" in text and 'kefu_cache_hits_total{kind="other"} 3.0' in text


async def test_the_engine_s_state_is_looked_at(settings: Any, shop: Any) -> None:
    told = (
        '# HELP x\nvllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting{engine="0"} 12\n'
        'vllm:num_requests_waiting_by_reason{reason="capacity"} 9.0\nvllm:kv_cache_usage_perc{engine="0"} 0.25\n'
    )
    up = True

    async def answer(request: httpx.Request) -> httpx.Response:
        if not up:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, text=told if request.url.path == "/metrics" else "{}")

    endpoint = Endpoint(settings, TOOLS, httpx.MockTransport(answer))
    await look(endpoint)
    text = endpoint.telemetry.text().decode()
    assert "kefu_engine_up 1.0" in text and "kefu_engine_cache_share 0.25" in text
    assert 'kefu_engine_requests{state="running"} 3.0' in text
    assert 'kefu_engine_requests{state="waiting"} 12.0' in text
    up = False
    await look(endpoint)
    assert "kefu_engine_up 0.0" in endpoint.telemetry.text().decode()
    await endpoint.close()


@pytest.mark.parametrize(("given", "kept"), [("abc-1.Z_", True), ("x" * 65, False), ("a b", False), ("Zofiä", False)])
async def test_a_request_has_an_id(client: httpx.AsyncClient, given: str, kept: bool) -> None:
    response = await client.get("/healthz", headers={b"X-Request-Id": given.encode("latin-1")})
    assert (response.headers["x-request-id"] == given) is kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", response.headers["x-request-id"])


async def test_requests_at_once_are_told_apart() -> None:
    async def of_its_own() -> Observation:
        await asyncio.sleep(0)
        return observation()

    assert await of_its_own() is not await of_its_own()  # outside of any request there is nothing to share


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "logs" / "gateway.jsonl"
    with logged_to(path):
        yield path


def lines(path: Path) -> list[dict[str, Any]]:
    from loguru import logger

    logger.complete()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def test_a_request_is_one_line_without_a_word_of_what_was_said(
    chat: Any, client: httpx.AsyncClient, engine: Any, h: Any, log: Path
) -> None:
    engine.say(h.message(None, tool_calls=[h.call(*MOVE), h.call("Zofia", {})]), h.message("Zofia, it is packed."))
    body = await chat(
        "I am Zofia (zofia@example.org, 13800138000): move 123456 to 北京路1号",
        {**h.token("demo"), "X-Request-Id": "r1"},
        conversation_id="zofia",
    )
    await client.get("/v1/conversations/zofia", headers={"X-Request-Id": "r2"})
    await client.get("/healthz")
    first, second = lines(log)
    assert not any(secret in log.read_text(encoding="utf-8") for secret in SECRETS)
    assert (first["event"], first["request_id"], first["status"], first["mode"]) == ("request", "r1", 200, "agent")
    assert first["route"] == "/v1/chat/completions" and first["answer_id"] == body["id"] and first["proposed"]
    assert first["tools"] == ["update_delivery_address:proposed", "unknown:invalid"]
    assert first["prompt_tokens"] == 20 and set(first["steps"]) == {"faq", "answer", "tool", "intent"}
    assert second["route"] == "/v1/conversations/{conversation_id:path}" and second["error"] == "NotFound"


async def test_a_bug_is_logged_by_its_place_alone(
    chat: Any, app: FastAPI, monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    def broken(_self: object) -> None:
        raise RuntimeError("Zofia, 13800138000")

    monkeypatch.setattr("serving.protocol.ChatRequest.check", broken)
    response = await chat.post("hi", {"X-Request-Id": "r3"})
    assert response.status_code == 500 and response.headers["x-request-id"] == "r3"
    assert response.json()["error"]["type"] == "server_error"
    problem, request = lines(log)
    assert problem["exception"] == "RuntimeError" and problem["request_id"] == "r3"
    assert problem["raised_at"][-1].endswith(":broken") and problem["raised_at"][-1].startswith("test_telemetry.py:")
    assert request["status"] == 500 and request["level"] == "ERROR" and request["error"] == "RuntimeError"
    assert "Zofia" not in log.read_text(encoding="utf-8")


def test_what_libraries_warn_of_comes_along_without_their_words(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)  # as `kefu serve` has it: with log_config=None
    logging.getLogger("some.library").warning("could not send to %s", "Zofia")
    logging.getLogger("uvicorn.error").error("Invalid HTTP request received.")
    one, other = lines(log)
    assert one["logger"] == "some.library" and "message" not in one and one["where"].startswith("test_telemetry.py:")
    assert other["message"] == "Invalid HTTP request received." and other["level"] == "ERROR"
