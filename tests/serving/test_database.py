"""Databases: what cannot be opened says why; on PostgreSQL writes happen once and in order, however many come at a time."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from data.errors import BadInput, EnvironmentLacks
from data.schema import Message
from serving.database import Database
from serving.demo_shop import seed_demo_shop
from serving.engine import free_port
from serving.memory import ConversationTables, Memory, Owner
from serving.orders import CustomerOrders, OrderRow, OrderStore, Refused, ShopTables, read_orders
from serving.proposals import Confirmation, Party, Proposals
from serving.toolset import Toolset
from serving.visit import Visit
from tests.serving.postgresql import postgresql

__all__ = ["postgresql"]  # a fixture
ROOT = Path(__file__).resolve().parents[2]
DEMO = Party("demo", "c", "en")
AT_ONCE = 8


@pytest.fixture
def shop_database(postgresql: str) -> Iterator[Database]:
    """The shop with its orders as seeded."""
    database = Database.open(postgresql, ShopTables)
    OrderStore(database).seed(read_orders(ROOT / "data" / "seed" / "orders.jsonl"))
    yield database
    with database.write() as session:
        for table in reversed(ShopTables.metadata.sorted_tables):
            session.execute(table.delete())
    database.close()


@pytest.mark.services
def test_one_of_many_confirmations_writes(shop_database: Database) -> None:
    toolset = Toolset(shop_database, Proposals())
    move = {"order_id": "123456", "new_addr": "88 Hill Road"}
    proposal = toolset.call("update_delivery_address", move, DEMO).proposal
    assert proposal is not None
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda _: toolset.confirm(Confirmation(id=proposal.id), DEMO), range(AT_ONCE)))

    assert {outcome for _, outcome in outcomes} == {"done"}  # a confirmation that comes twice hears the same
    assert OrderStore(shop_database).all()["123456"].address == "88 Hill Road"


@pytest.mark.services
@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("cancel_order", {"order_id": "123456"}, "already_cancelled"),
        ("create_return", {"order_id": "31870", "reason": "too small"}, "already_returned"),
        ("request_invoice", {"order_id": "55821", "title": "Hill Ltd"}, "already_invoiced"),
        ("transfer_to_human", {"summary": "The lamp flickers."}, "already_waiting"),
    ],
)
def test_of_many_conversations_that_confirm_the_same_write_one_does_it(
    shop_database: Database, postgresql: str, name: str, arguments: dict[str, str], reason: str
) -> None:
    seed_demo_shop(postgresql)
    toolset = Toolset(shop_database, Proposals())
    parties = [Party("demo", f"c{number}", "en") for number in range(AT_ONCE)]
    proposals = [toolset.call(name, arguments, party).proposal for party in parties]

    def confirm(number: int) -> str:
        proposal = proposals[number]
        assert proposal is not None
        return toolset.confirm(Confirmation(id=proposal.id), parties[number])[1]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(confirm, range(AT_ONCE)))
    assert sorted(outcomes) == sorted(["done", *[reason] * (AT_ONCE - 1)])


@pytest.mark.services
def test_an_order_is_not_shipped_while_its_address_changes(shop_database: Database) -> None:
    changing, waits = threading.Event(), threading.Event()

    def ship() -> None:
        changing.wait(10)
        with shop_database.write() as session:
            waits.set()
            session.scalars(
                select(OrderRow).where(OrderRow.order_id == "123456").with_for_update()
            ).one().status = "shipped"

    with ThreadPoolExecutor(1) as pool:
        shipped = pool.submit(ship)
        with shop_database.write() as session:
            CustomerOrders(Visit(session, "demo", "en")).set_address("123456", "88 Hill Road")
            changing.set()
            assert waits.wait(10)
            time.sleep(0.2)
            assert not shipped.done()
        shipped.result(10)
    with shop_database.write() as session, pytest.raises(Refused, match="too_late"):
        CustomerOrders(Visit(session, "demo", "en")).set_address("123456", "9 Late Street")


@pytest.mark.services
def test_exchanges_that_come_at_once_are_all_kept_whole(postgresql: str) -> None:
    memory, owner = Memory(Database.open(postgresql, ConversationTables)), Owner("demo")
    said = [[Message(role="user", content=f"{i}"), Message(role="assistant", content=f"{i}")] for i in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(lambda _: memory.open("c", owner), said)) == {()}
        list(pool.map(lambda exchange: memory.append("c", owner, exchange), said))

    kept = [message.content for message in memory.open("c", owner)]
    assert kept[::2] == kept[1::2] and sorted(kept[::2]) == [str(i) for i in range(AT_ONCE)]


def test_a_url_of_no_database_is_bad_input() -> None:
    for url in ("shop.db", "postgres//x", "nosuch://x/y"):
        with pytest.raises(BadInput, match="expected sqlite:///FILE or postgresql"):
            Database.open(url, ShopTables)


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    url = f"postgresql+psycopg://kefu:secret@127.0.0.1:{free_port()}/shop"
    with pytest.raises(EnvironmentLacks, match="does not answer") as caught:
        Database.open(url, ShopTables)
    assert "secret" not in str(caught.value)
