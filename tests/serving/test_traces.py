"""Traces: what the endpoint sends to a real MLflow comes back as dialogs, without personal data, and costs nobody anything."""

import asyncio
import dataclasses
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from data.chat import dialog_rows
from data.schema import Dialog
from data.shop import Shop
from data.traces import TracesSource
from serving import traces
from serving.gateway import create_app
from serving.observation import Observation, Span
from serving.trace_form import Unreadable, trace_form
from serving.trace_store import EXPERIMENT, Thumbs
from serving.traces import Traces

QUERY = ("query_order_status", {"order_id": "123456"})
MOVE = ("update_delivery_address", {"order_id": "123456", "new_addr": "杭州市西湖区文三路 12 号"})
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
PERSONAL = ("123456", "13800138000", "世纪大道", "文三路", "zofia@example.org", "Kowalska")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'm.db'}"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "REST", 0.0)
    monkeypatch.setattr(traces, "WAIT_S", 0.02)
    monkeypatch.setattr(traces, "AGAIN_S", 0.05)
    monkeypatch.setattr(traces, "CLOSE_S", 60.0)


@pytest.fixture
def traced(settings: Any, engine: Any, shop: Any, store: str) -> FastAPI:
    everything = dataclasses.replace(settings, traces_uri=store, trace_share=1.0)
    return create_app(everything, transport=httpx.MockTransport(engine))


async def test_what_is_sent_comes_back_as_dialogs(
    traced: FastAPI, engine: Any, h: Any, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with traced.router.lifespan_context(traced), _client(traced) as client:

        async def ask(text: str, **more: Any) -> dict[str, Any]:
            body = {"model": "kefu", "messages": [{"role": "user", "content": text}], **more}
            response = await client.post("/v1/chat/completions", json=body, headers=h.token("demo"))
            if more.get("stream"):
                chunk: dict[str, Any] = h.events(response.text)[0]
                return chunk
            answered: dict[str, Any] = response.json()
            return answered

        engine.say(h.message(None, tool_calls=[h.call(*QUERY)]), h.message("Order 123456 is packed."))
        good = await ask("I am Zofia Kowalska, zofia@example.org. Where is order 123456?", conversation_id="zofia")
        engine.answer("Call 13800138000, please.")
        await ask("And the phone number, again?", conversation_id="zofia", stream=True)
        await ask("How do I return an item?")
        engine.say(h.message(None, tool_calls=[h.call(*MOVE)]))
        asked = await ask("把订单 123456 的地址改成杭州市西湖区文三路 12 号", conversation_id="c")
        await ask(f"确认 {asked['kefu']['confirmation']['code']}", conversation_id="c")
        engine.say(h.message(None, tool_calls=[h.call("look_up", {"phone": "13800138000"})]))
        bad = await ask("Look up 13800138000", tools=[TOOL], stream=True)
        engine.say(httpx.ReadTimeout("slow"))
        await ask("Are you there, Zofia Kowalska?")
        for id, rating, comment in ((good["id"], "up", "Thanks, Zofia Kowalska"), (bad["id"], "down", None)):
            body = {"id": id, "rating": rating, "comment": comment}
            assert (await client.post("/v1/feedback", json=body, headers=h.token("demo"))).status_code == 204
    told = (await _metrics(traced)).splitlines()
    assert 'kefu_traces_total{result="sent"} 7.0' in told and 'kefu_traces_total{result="judged"} 2.0' in told

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    shop = Shop.default()
    first, second, faq, model = _dialogs(shop, feedback="any")
    assert [message.role for message in first.messages] == ["user", "assistant", "tool", "assistant"]
    (call,) = first.messages[1].tool_calls
    number = call.function.arguments["order_id"]
    # one surrogate from the question to the call, its result and the answer
    assert number != "123456" and all(
        number in message.content for message in (*first.messages[::2], first.messages[3])
    )
    learned = [row.completion for row in dialog_rows(first, shop.prompts, shop.tools)]
    assert number in learned[0] and learned[1:] == [first.messages[-1].content]
    assert [message.role for message in second.messages] == [*[m.role for m in first.messages], "user", "assistant"]
    assert faq.messages[-1].content == next(entry.answer for entry in shop.faq if entry.id == "return-start")
    assert model.tools == (TOOL,) and model.messages[-1].tool_calls[0].function.name == "look_up"
    assert [len(_dialogs(shop, feedback=wanted)) for wanted in ("not_bad", "good")] == [3, 1]
    _is_clean(store)
    _has_its_spans(store, good["id"])


async def test_a_request_that_is_no_dialog_is_withheld() -> None:
    seen = Observation(mode="agent", status=200, finish_reason="stop", asked=[{"role": "user", "content": ""}])
    with pytest.raises(Unreadable):
        trace_form(seen, "key")


def test_who_worded_an_answer_is_told() -> None:
    def worded(said: str, answered: str, **kefu: Any) -> str:
        step = Span("answer", "engine", {"messages": [{"role": "user", "content": "hi"}]}, said)
        message = {"role": "assistant", "content": answered}
        seen = Observation(mode="agent", status=200, finish_reason="stop", message=message, spans=[step], kefu=kefu)
        return trace_form(seen, "key").worded_by

    assert worded("Hello.", "Hello.") == "model"
    assert worded("<think>hm</think>Hello.", "<think>\nhm\n</think>\n\nHello.") == "model"
    assert worded("", "Please confirm: ...") == "server"
    assert worded("I have updated your address.", "I have not changed anything in this reply.") == "server"
    assert worded("", "Open My orders.", cache={"kind": "exact", "id": "x"}) == "faq"


async def test_mlflow_down_costs_nothing(settings: Any, engine: Any, shop: Any, h: Any, tmp_path: Path) -> None:
    (tmp_path / "not-a-folder").write_text("")
    away = dataclasses.replace(settings, traces_uri=f"sqlite:///{tmp_path}/not-a-folder/m.db", trace_share=1.0)
    app = create_app(away, transport=httpx.MockTransport(engine))
    async with app.router.lifespan_context(app), _client(app) as client:
        deadline = time.monotonic() + 60
        while 'result="unready"' not in await _metrics(app) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for _ in range(5):
            body = {"model": "kefu", "messages": [{"role": "user", "content": "hello there"}]}
            answer = await client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200
            rating = {"id": answer.json()["id"], "rating": "up"}
            assert (await client.post("/v1/feedback", json=rating)).status_code == 204
    told = await _metrics(app)
    assert 'kefu_traces_total{result="dropped"} 10.0' in told and 'result="sent"' not in told


def test_the_queue_is_bounded_and_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "QUEUE", 2)
    counted: list[str] = []
    sender = Traces("sqlite:///never-opened.db", 1.0, b"key", counted.append)  # its thread is not started
    for _ in range(5):
        sender.offer(Observation(mode="agent", status=200))
    assert counted == ["dropped"] * 3
    sender.close()
    assert not any(thread.name == "traces" for thread in threading.enumerate())


def test_the_sample_is_a_share_of_the_requests_that_were_served() -> None:
    counted: list[str] = []
    sender = Traces("sqlite:///never-opened.db", 0.25, b"key", counted.append)
    ids = [f"chatcmpl-{os.urandom(16).hex()}" for _ in range(2000)]
    assert 400 < sum(map(sender.drawn, ids)) < 600
    everything = Traces("sqlite:///never-opened.db", 1.0, b"key", counted.append)
    for seen in (Observation(), Observation(mode="agent", status=404)):  # no chat; refused
        everything.offer(seen)
    everything.feedback(Thumbs(ids[0], True))
    assert everything._queue.qsize() == 1


def _dialogs(shop: Shop, **options: Any) -> list[Dialog]:
    found = list(TracesSource.model_validate({"name": "traces", **options}).rows(shop))
    assert all(one.row is not None for one in found), [one.problem for one in found]
    return [one.row for one in found if one.row is not None]


def _is_clean(store: str) -> None:
    """Not in any column of any table is anything personal."""
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        dump = "\n".join(database.iterdump())
    for personal in (*PERSONAL, "zofia"):
        assert personal not in dump, personal
        assert personal.encode("unicode_escape").decode() not in dump, personal


def _has_its_spans(store: str, answer_id: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = {
        trace.info.client_request_id: trace for trace in client.search_traces(locations=[experiment.experiment_id])
    }
    assert len(found) == 7
    trace = found[answer_id]
    root, *steps = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    assert (root.name, root.span_type, root.parent_id) == ("chat", "CHAT_MODEL", None)
    kinds = [(step.name, step.span_type) for step in steps]
    assert kinds == [
        ("faq", "RETRIEVER"), ("engine", "CHAT_MODEL"), ("query_order_status", "TOOL"), ("engine", "CHAT_MODEL"),
        ("engine", "LLM"),
    ]  # fmt: skip
    assert all(step.parent_id == root.span_id and step.end_time_ns >= step.start_time_ns for step in steps)
    assert steps[1].outputs == {"prompt_tokens": 10, "completion_tokens": 5}
    assert trace.info.trace_metadata["mlflow.trace.session"] and trace.info.tags["kefu.worded_by"] == "model"
    thumbs = [one for one in trace.info.assessments if one.name == "thumbs"]
    assert [one.value for one in thumbs] == [True] and "Kowalska" not in thumbs[0].rationale
    states = sorted(one.info.state.value for one in found.values())
    assert states == ["ERROR", *["OK"] * 6]


def _client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu")


async def _metrics(app: FastAPI) -> str:
    async with _client(app) as client:
        return (await client.get("/metrics")).text
