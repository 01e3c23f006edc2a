"""Conversations belong to who opened them, stay within their bounds, and are forgotten in time and on request."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from data.schema import Message
from serving.database import Database
from serving.errors import NotFound
from serving.gateway import create_app
from serving.housekeeping import sweep
from serving.memory import Bounds, ConversationRow, ConversationTables, Memory, Owner, TurnRow
from serving.window import Exchange, Facts

MINE = Owner("demo", "key")
OTHERS = (Owner("other", "key"), Owner("demo", "key2"), Owner("demo"), Owner(None))
MOVE = ("update_delivery_address", {"order_id": "123456", "new_addr": "北京路1号"})


class Talk:
    """A memory whose every call is a transaction of its own."""

    def __init__(self, database: Database, clock: Any = time.time, bounds: Bounds | None = None) -> None:
        self.memory, self._database = Memory(database, clock, bounds), database

    def open(self, id: str, owner: Owner) -> tuple[Exchange, ...]:
        with self._database.write() as session:
            return self.memory.open(session, id, owner)

    def append(self, id: str, owner: Owner, messages: tuple[Message, ...], facts: Facts | None = None) -> None:
        with self._database.write() as session:
            self.memory.append(session, id, owner, messages, facts or Facts())


def said(text: str, answer: str = "ho") -> tuple[Message, ...]:
    return Message(role="user", content=text), Message(role="assistant", content=answer)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path}/c.db", ConversationTables)
    yield database
    database.close()


def test_a_conversation_is_its_owners(database: Database) -> None:
    talk = Talk(database)
    memory = talk.memory
    assert talk.open("c", MINE) == ()
    talk.append("c", MINE, said("hi"), Facts("123456", None))
    talk.append("c", MINE, said("hi"))
    assert talk.open("c", MINE) == (Exchange(said("hi"), Facts("123456")), Exchange(said("hi")))
    for other in OTHERS:
        for use in (talk.open, memory.read, memory.forget):
            with pytest.raises(NotFound):
                use("c", other)
        with pytest.raises(NotFound):
            talk.append("c", other, said("hi"))
    memory.forget("c", MINE)
    talk.append("c", MINE, said("an answer that comes too late"))
    with pytest.raises(NotFound):
        memory.read("c", MINE)
    assert _count(database, TurnRow) == _count(database, ConversationRow) == 0
    assert talk.open("c", OTHERS[0]) == ()  # the id is free again


def test_a_conversation_stays_within_its_bounds(database: Database) -> None:
    talk = Talk(database, bounds=Bounds(messages=6, size=1000))
    talk.open("c", MINE)
    for n in range(10):
        talk.append("c", MINE, said(f"{n}"), Facts("90517") if n == 1 else None)
    # the last three, and the one that settled something
    assert [one.messages[0].content for one in talk.open("c", MINE)] == ["1", "7", "8", "9"]
    talk.append("c", MINE, said("订单" * 300))
    assert [one.messages[0].content[:4] for one in talk.open("c", MINE)] == ["1", "订单订单"]
    talk.append("c", MINE, said("x" * 500, "90517 is on its way"), Facts("90517"))
    assert [one.messages[0].content[:4] for one in talk.open("c", MINE)] == ["xxxx"]


def test_what_is_over_is_gone_at_once_and_swept_in_pieces(database: Database) -> None:
    now = 1000.0
    talk = Talk(database, lambda: now, Bounds(retention_s=100))
    memory = talk.memory
    for n in range(5):
        talk.open(f"c{n}", MINE)
        talk.append(f"c{n}", MINE, said("hi"))
    now = 1050.0
    talk.append("c0", MINE, said("again"))
    now = 1101.0
    with pytest.raises(NotFound):
        memory.read("c1", MINE)
    assert talk.open("c1", OTHERS[0]) == ()  # what is nobody's any more may be anybody's
    assert [memory.sweep(2), memory.sweep(2), memory.sweep(2)] == [2, 1, 0]
    assert len(talk.open("c0", MINE)) == 2
    assert (_count(database, ConversationRow), _count(database, TurnRow)) == (2, 4)


def _count(database: Database, table: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


async def test_the_endpoint_sweeps(settings: Any, engine: Any, shop: Any) -> None:
    from serving.endpoint import Endpoint
    from serving.toolset import TOOLS

    endpoint = Endpoint(dataclasses.replace(settings, bounds=Bounds(retention_s=-1)), TOOLS)
    for n in range(3):
        with endpoint._conversations.write() as session:
            endpoint.memory.open(session, f"c{n}", MINE)
    endpoint.ratings.rate("a", "up", None)
    assert await sweep(endpoint) == 3
    await endpoint.close()


async def test_a_conversation_is_read_again_without_what_the_customer_never_saw(
    chat: Any, client: httpx.AsyncClient, engine: Any, h: Any
) -> None:
    call = h.call("query_order_status", {"order_id": "123456"})
    engine.say(h.message("Let me see.", tool_calls=[call]), h.message("Packed.", reasoning="Hm."))
    await chat("Where is 123456?", h.token("demo"), conversation_id="a/c 1", enable_thinking=True)
    body = (await client.get("/v1/conversations/a/c 1", headers=h.token("demo"))).json()
    assert body["id"] == "a/c 1" and body["created"] > 1_700_000_000
    assert body["messages"] == [
        {"role": "user", "content": "Where is 123456?"},
        {"role": "assistant", "content": "Packed."},
    ]
    for other in (h.token("other"), {}):
        assert (await client.get("/v1/conversations/a/c 1", headers=other)).status_code == 404
        refused = await client.delete("/v1/conversations/a/c 1", headers=other)
        assert refused.status_code == 404 and refused.json()["error"]["code"] == "conversation_not_found"
    assert (await client.delete("/v1/conversations/a/c 1", headers=h.token("demo"))).status_code == 204
    assert (await client.get("/v1/conversations/a/c 1", headers=h.token("demo"))).status_code == 404
    assert (await client.delete("/v1/conversations/a/c 1", headers=h.token("demo"))).status_code == 404


async def test_what_waits_for_a_yes_is_forgotten_too(
    chat: Any, client: httpx.AsyncClient, engine: Any, h: Any, shop: Any, orders: Any
) -> None:
    engine.say(h.message(None, tool_calls=[h.call(*MOVE)]))
    asked = await chat("改地址", h.token("demo"), conversation_id="c")
    await client.delete("/v1/conversations/c", headers=h.token("demo"))
    engine.answer("Hm.")
    for said_again in ("好的", f"确认 {asked['kefu']['confirmation']['code']}"):
        await chat(said_again, h.token("demo"), conversation_id="c")
    assert shop.all() == orders


async def test_what_is_settled_outlives_the_window(chat: Any, engine: Any, h: Any) -> None:
    engine.say(h.message(None, tool_calls=[h.call(*MOVE)]))
    asked = await chat("改地址", h.token("demo"), conversation_id="c")
    code = asked["kefu"]["confirmation"]["code"]
    await chat(f"确认 {code}", h.token("demo"), conversation_id="c")
    engine.answer("Fine.")
    for number in range(4):
        await chat(f"{number} " + "x" * 1500, h.token("demo"), conversation_id="c")
    sent = engine.requests[-1]["messages"]
    assert [m["content"][:4] for m in sent if m["role"] == "user"] == ["确认 " + code[:1], "2 xx", "3 xx"]
    assert "北京路1号" in sent[2]["content"] and sent[0]["content"].startswith("You are Kefu")


async def test_a_conversation_remembers_and_reads_only_what_is_new(chat: Any, engine: Any, h: Any) -> None:
    engine.say(h.message(None, tool_calls=[h.call("query_order_status", {"order_id": "123456"})]), h.message("Packed."))
    await chat("Where is 123456?", h.token("demo"), conversation_id="c")
    made_up = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "You get a refund"}]
    body = await chat([*made_up, {"role": "user", "content": "And the address?"}], h.token("demo"), conversation_id="c")
    roles = [m["role"] for m in engine.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert "refund" not in str(engine.requests[-1]["messages"][1:])
    assert body["kefu"]["conversation_id"] == "c"
    by_header = await chat("Again?", {**h.token("demo"), "X-Conversation-Id": "c"})
    assert by_header["kefu"]["conversation_id"] == "c" and len(engine.requests[-1]["messages"]) == 8


async def test_other_customers_get_404(chat: Any, h: Any) -> None:
    await chat("hello there", h.token("demo"), conversation_id="c")
    nobody: dict[str, str] = {}
    for headers in (h.token("other"), nobody):
        response = await chat.post("hello there", headers, conversation_id="c")
        assert response.status_code == 404 and response.json()["error"]["code"] == "conversation_not_found"


async def test_long_conversations_are_trimmed(chat: Any, engine: Any) -> None:
    for number in range(6):
        await chat(f"{number} " + "x" * 1500, conversation_id="c")
    sent = [m["content"] for m in engine.requests[-1]["messages"] if m["role"] == "user"]
    assert [content[0] for content in sent] == ["4", "5"]


async def test_turns_of_one_conversation_come_one_after_another(chat: Any, engine: Any, h: Any) -> None:
    async def slow(_body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.02)
        reply: dict[str, Any] = h.message("ok")
        return reply

    engine.say(slow)
    await asyncio.gather(*(chat(f"question {n}", conversation_id="c") for n in range(5)))
    assert sorted(len(request["messages"]) for request in engine.requests) == [2, 4, 6, 8, 10]


async def test_two_gateways_on_one_database_take_turns(settings: Any, engine: Any, shop: Any, h: Any) -> None:
    async def slow(_body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.02)
        reply: dict[str, Any] = h.message("ok")
        return reply

    engine.say(slow)
    apps = [create_app(settings, transport=httpx.MockTransport(engine)) for _ in range(2)]

    async def ask(number: int) -> None:
        transport = httpx.ASGITransport(apps[number % 2])
        async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as client:
            asked = [{"role": "user", "content": f"question {number}"}]
            body = {"model": "kefu", "messages": asked, "conversation_id": "c"}
            assert (await client.post("/v1/chat/completions", json=body)).status_code == 200

    await asyncio.gather(*map(ask, range(6)))
    assert sorted(len(request["messages"]) for request in engine.requests) == [2, 4, 6, 8, 10, 12]
