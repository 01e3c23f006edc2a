"""An agent over a demo shop whose model is an attacker and whose power may fail, for `test_attacker.py`.

`effect` says once more, apart from the code that does it, what a confirmed write may change.
"""

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from serving.agent import Agent
from serving.client import EngineClient
from serving.database import Database
from serving.demo_shop import seed_demo_shop
from serving.faq_cache import FaqCache
from serving.faq_tally import Tally
from serving.memory import ConversationTables, Memory
from serving.orders import ShopTables
from serving.proposals import Proposal, Proposals
from serving.release import Release
from serving.telemetry import Telemetry
from serving.tokenizer import ServedTokenizer
from serving.toolset import TOOLS, Toolset
from serving.turns import Turns
from serving.window import Window

NOW = 1_790_000_000.0
TABLES = ("orders", "payments", "deliveries", "refunds", "returns", "invoices", "hand_overs")
Script = list[tuple[str, list[tuple[str, str]]]]
Rows = dict[tuple[Any, ...], dict[str, Any]]


class PowerCut(BaseException):
    """Nothing runs on after this."""


class Shop:
    """One agent over one shop, for all sequences; the shop is as new at the beginning of each."""

    def __init__(self, release: Release) -> None:
        room = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="kefu-attacker-", dir=room if room.is_dir() else None))
        self.url, self.now, self.power, self.commits = f"sqlite:///{self.folder}/shop.db", NOW, "", 0
        seed_demo_shop(self.url, NOW)
        self.database = Database.open(self.url, ShopTables)
        self.talks = Database.open(f"sqlite:///{self.folder}/talks.db", ConversationTables)
        self._commit_as_power_allows()
        self.raw = sqlite3.connect(self.folder / "shop.db", isolation_level=None)
        self.new = sqlite3.connect(":memory:")
        self.raw.backup(self.new)
        self.loop = asyncio.new_event_loop()
        self.script: Script = []
        self.seen = ""
        engine = EngineClient("http://engine", "kefu", 10, httpx.MockTransport(self.reply))
        toolset = Toolset(self.database, Proposals(lambda: self.now), TOOLS)
        turns, serve = Turns(self.talks, Memory(self.talks)), release.recipe.serve
        window = Window(ServedTokenizer.of(release), serve.history, serve.context, release.tools)
        self.agent = Agent(release, engine, toolset, turns, FaqCache(()), Tally(), Telemetry(), len, window)
        self.pool = ThreadPoolExecutor(4)
        self.figures: Counter[str] = Counter()

    def close(self) -> None:
        self.loop.run_until_complete(self.agent.engine.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.pool.shutdown()
        self.raw.close()
        self.database.close()
        self.talks.close()
        shutil.rmtree(self.folder)

    def reset(self) -> None:
        self.now, self.power = NOW, ""
        self.new.backup(self.raw)
        with self.talks.write() as session:
            for table in reversed(ConversationTables.metadata.sorted_tables):
                session.execute(table.delete())

    async def reply(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        self.seen += json.dumps(body["messages"], ensure_ascii=False)
        content, calls = self.script.pop(0) if self.script else ("Anything else?", [])
        made = [
            {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": text}}
            for n, (name, text) in enumerate(calls)
        ]
        message = {"role": "assistant", "content": content, "tool_calls": made}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def rows(self) -> dict[str, Rows]:
        """Everything that a write could change."""
        found: dict[str, Rows] = {}
        for table in TABLES:
            cursor = self.raw.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            keys = [row[1] for row in self.raw.execute(f"PRAGMA table_info({table})") if row[5]]
            dicts = [dict(zip(names, row, strict=True)) for row in cursor]
            found[table] = {tuple(row[key] for key in keys): row for row in dicts}
        return found

    def _commit_as_power_allows(self) -> None:
        dialect = self.database._engine.dialect
        commit = dialect.do_commit

        def do_commit(connection: Any) -> None:
            self.commits -= 1
            power = self.power if self.commits < 0 or self.power == "cut" else ""
            if power in ("cut", "cut before", "error before"):
                self.power = "cut" if power.startswith("cut") else ""
                raise PowerCut if power.startswith("cut") else sqlite3.OperationalError("disk I/O error")
            commit(connection)
            if power:
                self.power = "cut" if power == "cut after" else ""
                raise PowerCut if power == "cut after" else sqlite3.OperationalError("disk I/O error")

        dialect.do_commit = do_commit  # type: ignore[method-assign]


def effect(
    before: dict[str, Rows], after: dict[str, Rows], proposal: Proposal, who: str, now: float
) -> dict[str, Rows]:
    """The shop after a confirmed write of this customer, by the words of the question alone."""
    rows = {table: dict(found) for table, found in before.items()}
    arguments = proposal.arguments
    key = (arguments.get("order_id"),)
    if proposal.tool == "transfer_to_human":
        (new,) = after["hand_overs"].keys() - before["hand_overs"].keys()
        added = {"conversation_id": after["hand_overs"][new]["conversation_id"], "opened_at": now, "id": new[0]}
        told = {"customer_id": who, "summary": arguments["summary"], "state": "waiting", "proposal_id": proposal.id}
        rows["hand_overs"][new] = {**added, **told}
        return rows
    order = rows["orders"][key]
    assert order["customer_id"] == who
    paid = rows["payments"].get(key, {"amount_fen": 0, "method": ""})
    common = {"order_id": key[0], "requested_at": now, "proposal_id": proposal.id}
    if proposal.tool == "update_delivery_address":
        assert order["status"] in ("paid", "packed")
        rows["orders"][key] = {**order, "address": arguments["new_addr"]}
    elif proposal.tool == "cancel_order":
        assert order["status"] in ("paid", "packed")
        rows["orders"][key] = {**order, "status": "cancelled"}
        refund = {
            "cause": "cancelled",
            "amount_fen": paid["amount_fen"],
            "method": paid["method"],
            "state": "requested",
        }
        day = after["refunds"][(*key, "cancelled")]["expected_on"]
        rows["refunds"][(*key, "cancelled")] = {**common, **refund, "expected_on": day}
    elif proposal.tool == "create_return":
        assert order["status"] == "delivered" and key not in before["returns"]
        rows["returns"][key] = {**common, "reason": arguments["reason"], "state": "open"}
    else:
        assert proposal.tool == "request_invoice" and key not in before["invoices"]
        invoice = {"title": arguments["title"], "amount_fen": paid["amount_fen"], "state": "requested"}
        rows["invoices"][key] = {**common, **invoice}
    return rows
