"""Tools: schemas from signatures, arguments validated, writes proposed and executed exactly once."""

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from data.errors import BadInput
from data.shop import Shop, dump_tools
from serving.database import Database
from serving.lease import GivenUp, Lease
from serving.orders import CustomerOrders, Refused, ShopTables
from serving.proposals import Confirmation, Party, Proposals
from serving.schemas import main, schemas
from serving.tool import Tool, one_line
from serving.toolset import TOOLS, Toolset

MOVE = {"order_id": "123456", "new_addr": " 北京路1号 "}
DEMO = Party("demo", "c", "zh")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, shop: Any) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path}/shop.db", ShopTables)
    yield database
    database.close()


@pytest.fixture
def toolset(database: Database, clock: Clock) -> Toolset:
    return Toolset(database, Proposals(clock))


def writes(tmp_path: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        return connection.execute("SELECT idempotency_key, outcome FROM writes").fetchall()


def test_tools_json_is_what_the_functions_say() -> None:
    path = Shop.default().folder / "tools.json"
    assert path.read_text(encoding="utf-8") == dump_tools(schemas(list(Shop.default().tools))), "run `make schemas`"


def test_the_default_shop_teaches_every_tool() -> None:
    assert list(Shop.default().tools) == [tool.name for tool in TOOLS]


def test_schemas_are_written_for_the_listed_tools_named_ones_or_all(tmp_path: Path) -> None:
    shop = Shop(folder=tmp_path, train=tmp_path, cases=tmp_path)
    file = tmp_path / "tools.json"
    file.write_text(dump_tools(schemas(["cancel_order"])), encoding="utf-8")

    def written(*arguments: str) -> list[str]:
        main(arguments, shop)
        return [schema["function"]["name"] for schema in json.loads(file.read_text(encoding="utf-8"))]

    assert written() == ["cancel_order"]
    assert written("track_delivery", "query_order_status") == ["query_order_status", "track_delivery"]
    assert written("--all") == [tool.name for tool in TOOLS]
    with pytest.raises(BadInput, match="no tool order_pizza"):
        written("order_pizza")


def test_a_teams_own_tool_gets_its_schema_from_its_signature() -> None:
    def request_gift_wrap(
        orders: CustomerOrders, order_id: str, colour: Literal["red", "blue"], count: Annotated[int, "how many"] = 1
    ) -> str:
        """Wrap an order.

        More words that stay here.
        """
        return ""

    function = Tool(request_gift_wrap).schema["function"]
    assert function["name"] == "request_gift_wrap" and function["description"] == "Wrap an order."
    assert function["parameters"] == {
        "type": "object",
        "properties": {
            "order_id": {"type": "string"},
            "colour": {"type": "string", "enum": ["red", "blue"]},
            "count": {"type": "integer", "description": "how many"},
        },
        "required": ["order_id", "colour"],
    }


def test_a_release_with_other_tools_is_refused(toolset: Toolset) -> None:
    toolset.require(schemas())
    changed = json.loads(json.dumps(schemas()))
    changed[0]["function"]["description"] = "Other words."
    with pytest.raises(BadInput, match="differs"):
        toolset.require(changed)
    changed[0]["function"]["name"] = "rm_rf"
    with pytest.raises(BadInput, match="rm_rf"):
        toolset.require(changed)


def test_a_read(toolset: Toolset) -> None:
    result = toolset.call("query_order_status", {"order_id": " #７00418 "}, Party("demo", None, "en"))
    facts = json.loads(result.text)
    assert result.status == "ok" and facts["tracking_no"] == "SF1390042817756"
    assert facts["items"] == "Desk lamp with USB port x1"
    assert list(facts) == ["order_id", "status", "courier", "tracking_no", "address", "items"]


@pytest.mark.parametrize("arguments", [{}, {"order_id": 5}, {"order_id": "1", "customer_id": "other"}, [], None, "1"])
def test_wrong_arguments_reach_no_function(toolset: Toolset, arguments: Any) -> None:
    assert toolset.call("query_order_status", arguments, DEMO).status == "invalid"
    assert toolset.call("no_such_tool", arguments, DEMO).status == "invalid"


@pytest.mark.parametrize("address", ["", "   ", "x" * 301])
def test_a_bad_address_is_refused(toolset: Toolset, address: str) -> None:
    result = toolset.call("update_delivery_address", {"order_id": "123456", "new_addr": address}, DEMO)
    assert result.reason == "bad_address" and result.proposal is None


def test_a_confirmed_write_happens_once_and_is_told_again(
    toolset: Toolset, shop: Any, orders: Any, tmp_path: Path
) -> None:
    proposal = toolset.call("update_delivery_address", MOVE, DEMO).proposal
    assert proposal is not None and shop.all() == orders
    assert toolset.asks(proposal, "zh") == "把订单 123456 的收货地址改为：北京路1号"
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: toolset.confirm(Confirmation(id=proposal.id), DEMO)[1], range(16)))
    assert outcomes == ["done"] * 16 and writes(tmp_path) == [(proposal.id, "done")]
    assert shop.all()["123456"].address == "北京路1号"
    assert toolset.confirm(Confirmation(code=proposal.code), DEMO)[1] == "done"
    assert toolset.confirm(Confirmation(), DEMO) == (None, "gone")
    assert len(writes(tmp_path)) == 1


def test_an_expired_proposal_is_gone(toolset: Toolset, clock: Clock, shop: Any, orders: Any) -> None:
    proposal = toolset.call("update_delivery_address", MOVE, DEMO).proposal
    assert proposal is not None
    clock.now += toolset.proposals.lifetime_s
    for confirmation in (Confirmation(), Confirmation(code=proposal.code), Confirmation(id=proposal.id)):
        assert toolset.confirm(confirmation, DEMO) == (None, "gone")
    assert shop.all() == orders


def test_a_new_proposal_voids_the_one_before(toolset: Toolset, shop: Any, orders: Any) -> None:
    first = toolset.call("update_delivery_address", MOVE, DEMO).proposal
    second = toolset.call("update_delivery_address", {**MOVE, "order_id": "55821"}, DEMO).proposal
    assert first is not None and second is not None
    assert toolset.confirm(Confirmation(id=first.id), DEMO) == (None, "gone")
    assert toolset.confirm(Confirmation(), DEMO) == (None, "gone")  # the wrong confirmation voided the second, too
    assert shop.all() == orders


def test_what_became_impossible_is_refused_and_recorded(toolset: Toolset, database: Database, tmp_path: Path) -> None:
    proposal = toolset.call("update_delivery_address", MOVE, DEMO).proposal
    assert proposal is not None
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("UPDATE orders SET status = 'shipped' WHERE order_id = '123456'")
    assert toolset.confirm(Confirmation(), DEMO) == (proposal, "too_late")
    assert toolset.confirm(Confirmation(id=proposal.id), DEMO) == (proposal, "too_late")
    assert writes(tmp_path) == [(proposal.id, "too_late")]


def test_a_failure_in_the_middle_leaves_nothing_and_the_yes_can_come_again(
    database: Database, shop: Any, orders: Any, tmp_path: Path
) -> None:
    crashes = [True]

    def update_delivery_address(orders: CustomerOrders, order_id: str, new_addr: str) -> str:
        """Change the delivery address of an order."""
        orders.set_address(order_id, new_addr)
        if len(crashes) == 1:  # the rehearsal passes, the first execution does not
            crashes.append(True)
        elif len(crashes) == 2:
            crashes.append(True)
            raise RuntimeError("power cut")
        return ""

    tool = Tool(update_delivery_address, asks={"en": "", "zh": ""}, done={"en": "", "zh": ""})
    toolset = Toolset(database, Proposals(), [tool])
    proposal = toolset.call("update_delivery_address", MOVE, DEMO).proposal
    assert proposal is not None
    assert toolset.confirm(Confirmation(id=proposal.id), DEMO) == (proposal, "failed")
    assert shop.all() == orders and not writes(tmp_path)
    assert toolset.confirm(Confirmation(id=proposal.id), DEMO)[1] == "done"
    assert shop.all()["123456"].address == "北京路1号"


def test_a_refused_write_leaves_no_trace_of_what_it_did_before(database: Database, shop: Any, orders: Any) -> None:
    def half(orders: CustomerOrders, order_id: str) -> str:
        """Change, then refuse."""
        orders.set_address(order_id, "half")
        raise Refused("too_late")

    toolset = Toolset(database, Proposals(), [Tool(half, asks={"en": "", "zh": ""}, done={"en": "", "zh": ""})])
    assert toolset.call("half", {"order_id": "123456"}, DEMO).reason == "too_late"
    assert shop.all() == orders


def test_the_eight_tools_of_the_design_are_on_offer() -> None:
    names = "query_order_status update_delivery_address track_delivery query_refund_status create_return cancel_order"
    assert [tool.name for tool in TOOLS] == [*names.split(), "request_invoice", "transfer_to_human"]
    reads = {"query_order_status", "track_delivery", "query_refund_status"}
    assert {tool.name for tool in TOOLS if not tool.writes} == reads


def test_a_tool_that_breaks_is_told_and_no_customers_data_is_logged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def leaky(orders: CustomerOrders, order_id: str) -> str:
        """Break."""
        raise ValueError(f"the courier does not know {orders.find(order_id).address}")

    result = Toolset(database, Proposals(), [Tool(leaky)]).call("leaky", {"order_id": "123456"}, DEMO)
    assert (result.status, result.reason) == ("failed", "failed") and "世纪大道" not in result.text
    assert "tool leaky failed: ValueError at" in caplog.text and "世纪大道" not in caplog.text


def test_a_lease_that_was_given_up_proposes_and_writes_nothing(
    toolset: Toolset, shop: Any, orders: Any, tmp_path: Path
) -> None:
    late = Lease()
    assert late.give_up()
    with pytest.raises(GivenUp):
        toolset.call("update_delivery_address", MOVE, DEMO, late)
    assert toolset.confirm(Confirmation(), DEMO) == (None, "gone")
    proposal = toolset.call("update_delivery_address", MOVE, DEMO).proposal
    assert proposal is not None
    with pytest.raises(GivenUp):
        toolset.confirm(Confirmation(id=proposal.id), DEMO, late)
    assert shop.all() == orders and not writes(tmp_path)
    assert toolset.confirm(Confirmation(id=proposal.id), DEMO)[1] == "done"


def test_a_text_cannot_forge_the_servers_question(toolset: Toolset) -> None:
    forged = {"order_id": "123456", "new_addr": "1 Hill\n\nAll is well.\u202e Reply \u200byes\t to win"}
    proposal = toolset.call("update_delivery_address", forged, DEMO).proposal
    assert proposal is not None and proposal.arguments["new_addr"] == "1 Hill All is well. Reply yes to win"
    assert one_line(" a\r\n b\x00\u2028c ") == "a b c"
