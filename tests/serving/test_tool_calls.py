"""Rounds of calls: reads at the same time, writes in order, deadlines that leave nothing behind."""

import asyncio
import dataclasses
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.schema import Function, ToolCall
from serving import wording
from serving.database import Database
from serving.gateway import create_app
from serving.lease import GivenUp, Lease, within
from serving.orders import CustomerOrders, ShopTables
from serving.proposals import Confirmation, Party, Proposals
from serving.tool import Tool
from serving.tool_calls import THREADS, ToolCalls
from serving.toolset import Toolset

DEMO = Party("demo", "c", "en")
MOVE = {"order_id": "123456", "new_addr": "88 Hill Road"}
WORDS = {"en": "x", "zh": "x"}


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(id=name, function=Function(name=name, arguments=arguments))


@pytest.fixture
def database(tmp_path: Path, shop: Any) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path}/shop.db", ShopTables)
    yield database
    database.close()


async def test_reads_run_at_the_same_time_and_answer_in_order(database: Database) -> None:
    together = threading.Barrier(3)  # passes only if all three are in it at once

    def first(orders: CustomerOrders) -> str:
        """Wait for the others."""
        together.wait(10)
        return "first"

    def second(orders: CustomerOrders) -> str:
        """Wait for the others."""
        together.wait(10)
        return "second"

    calls = ToolCalls(Toolset(database, Proposals(), [Tool(first), Tool(second)]))
    results = await calls.run([call("first"), call("second"), call("nothing"), call("first")], DEMO)
    assert [result.text for result in results if result.status == "ok"] == ["first", "second", "first"]
    assert results[2].status == "invalid"


async def test_writes_run_one_after_another_and_only_one_is_proposed(database: Database) -> None:
    running, most = [], []

    def slowly(orders: CustomerOrders, order_id: str) -> str:
        """Change, slowly."""
        running.append(order_id)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        orders.find(order_id)
        return "{}"

    calls = ToolCalls(Toolset(database, Proposals(), [Tool(slowly, asks=WORDS, done=WORDS)]))
    results = await calls.run([call("slowly", order_id=order) for order in ("1", "46823", "123456", "55821")], DEMO)
    assert [result.status for result in results] == ["refused", "refused", "proposed", "invalid"]
    assert most == [1, 1, 1]


async def test_a_read_that_takes_too_long_is_told(database: Database) -> None:
    done = threading.Event()

    def asleep(orders: CustomerOrders) -> str:
        """Sleep."""
        done.wait(10)
        return ""

    calls = ToolCalls(Toolset(database, Proposals(), [Tool(asleep, timeout_s=0.05)]))
    (result,) = await calls.run([call("asleep")], DEMO)
    done.set()
    assert (result.status, result.reason) == ("failed", "too_slow")


async def test_a_write_that_takes_too_long_is_never_proposed_nor_done(
    database: Database, shop: Any, orders: Any
) -> None:
    slow = threading.Event()

    def move(orders: CustomerOrders, order_id: str, new_addr: str) -> str:
        """Move, slowly."""
        orders.set_address(order_id, new_addr)
        slow.wait(10)
        return "{}"

    proposals = Proposals()
    hasty = ToolCalls(Toolset(database, proposals, [Tool(move, asks=WORDS, done=WORDS, timeout_s=0.1)]), 0.1)
    patient = ToolCalls(Toolset(database, proposals, [Tool(move, asks=WORDS, done=WORDS, timeout_s=60)]), 60)
    (result,) = await hasty.run([call("move", **MOVE)], DEMO)
    assert result.reason == "too_slow" and result.proposal is None and result.write
    slow.set()
    assert await patient.confirm(Confirmation(), DEMO) == (None, "gone")  # though its thread came to its end meanwhile
    (result,) = await patient.run([call("move", **MOVE)], DEMO)
    assert result.proposal is not None
    slow.clear()
    assert await hasty.confirm(Confirmation(id=result.proposal.id), DEMO) == (None, "too_slow")
    slow.set()
    again = await patient.confirm(Confirmation(id=result.proposal.id), DEMO)  # what timed out may be confirmed again
    assert again[1] == "done" and shop.all()["123456"].address == "88 Hill Road"


async def test_hanging_tools_keep_nobody_else_waiting_for_ever(database: Database) -> None:
    done = threading.Event()

    def hangs(orders: CustomerOrders) -> str:
        """Hang."""
        done.wait(10)
        return ""

    calls = ToolCalls(Toolset(database, Proposals(), [Tool(hangs, timeout_s=0.05)]))
    for _ in range(2):
        results = await calls.run([call("hangs") for _ in range(THREADS)], DEMO)
        assert {result.reason for result in results} == {"too_slow"}
    done.set()


async def test_a_lease_ends_one_way_only() -> None:
    lease = Lease()
    lease.settle()
    assert not lease.give_up()
    late = Lease()
    assert late.give_up()
    with pytest.raises(GivenUp):
        late.settle()


async def test_what_is_settled_is_waited_for_however_late() -> None:
    calls = ToolCalls(None)  # type: ignore[arg-type]

    def work(lease: Lease) -> str:
        lease.settle()
        time.sleep(0.1)
        return "committed"

    assert await within(0.02, calls._executor, work) == "committed"


async def test_a_question_that_nobody_was_shown_is_void(database: Database, shop: Any, orders: Any) -> None:
    """The caller hangs up while the write is being proposed: the next yes confirms nothing."""
    asked = threading.Event()

    def move(orders: CustomerOrders, order_id: str, new_addr: str) -> str:
        """Move."""
        asked.set()
        time.sleep(0.05)
        return "{}"

    toolset = Toolset(database, Proposals(), [Tool(move, asks=WORDS, done=WORDS)])
    calls = ToolCalls(toolset)
    running = asyncio.ensure_future(calls.run([call("move", **MOVE)], DEMO))
    await asyncio.to_thread(asked.wait, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.1)
    assert await calls.confirm(Confirmation(), DEMO) == (None, "gone")


async def test_an_answer_that_cannot_be_remembered_voids_its_question(
    settings: Any, engine: Any, shop: Any, h: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.say(h.message(None, tool_calls=[h.call("update_delivery_address", MOVE)]))
    app = create_app(dataclasses.replace(settings, predict_intent=False), transport=httpx.MockTransport(engine))
    body = {"model": "kefu", "messages": [{"role": "user", "content": "move it"}], "conversation_id": "c"}
    before = shop.all()

    def full(*_: Any) -> None:
        raise OSError("disk full")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as client:
        with monkeypatch.context() as patch:
            patch.setattr("serving.memory.Memory.append", full)
            assert (await client.post("/v1/chat/completions", json=body, headers=h.token("demo"))).status_code == 500
        engine.answer("Fine.")
        yes = {**body, "messages": [{"role": "user", "content": "yes"}]}
        assert (await client.post("/v1/chat/completions", json=yes, headers=h.token("demo"))).status_code == 200
    assert shop.all() == before


@pytest.mark.parametrize(
    ("name", "arguments"), [("query_order_status", {"order_id": "123456"}), ("update_delivery_address", MOVE)]
)
async def test_a_database_that_fails_is_told_honestly(
    settings: Any, engine: Any, shop: Any, h: Any, tmp_path: Path, name: str, arguments: Any
) -> None:
    """Reads and writes that fail are worded by the server, not by the model."""
    app = create_app(dataclasses.replace(settings, predict_intent=False), transport=httpx.MockTransport(engine))

    async def breaks(_: Any) -> Any:
        with sqlite3.connect(tmp_path / "shop.db") as connection:
            connection.execute("DROP TABLE orders")
        return h.message("I have done it.", tool_calls=[h.call(name, arguments)])

    engine.say(breaks)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
        body = {"model": "kefu", "messages": [{"role": "user", "content": "please"}]}
        answer = (await client.post("/v1/chat/completions", json=body, headers=h.token("demo"))).json()
    assert answer["choices"][0]["message"]["content"] == wording.reason("failed", "en")
    assert answer["kefu"]["tools"][0]["status"] == "failed"
