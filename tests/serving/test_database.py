"""Databases: what cannot be opened says why; on PostgreSQL writes happen once and in order, however many come at a time."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from data.errors import BadInput, EnvironmentLacks
from data.schema import Message
from serving.customer_visit import CustomerVisit
from serving.database import Database
from serving.demo_shop import seed_demo_shop
from serving.engine import free_port
from serving.memory import Bounds, ConversationTables, Memory, Owner
from serving.orders import CustomerOrders, OrderRow, OrderStore, Refused, ShopTables, read_orders
from serving.proposals import Confirmation, Party, Proposals
from serving.ratings import Ratings
from serving.tickets import Tickets
from serving.toolset import Toolset
from serving.turns import Turns
from serving.window import Facts
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
            CustomerOrders(CustomerVisit(session, "demo", "en")).set_address("123456", "88 Hill Road")
            changing.set()
            assert waits.wait(10)
            time.sleep(0.2)
            assert not shipped.done()
        shipped.result(10)
    with shop_database.write() as session, pytest.raises(Refused, match="too_late"):
        CustomerOrders(CustomerVisit(session, "demo", "en")).set_address("123456", "9 Late Street")


@pytest.mark.services
def test_turns_that_are_wanted_at_once_come_one_after_another(postgresql: str) -> None:
    opened = [Database.open(postgresql, ConversationTables) for _ in range(2)]
    turns = [Turns(database, Memory(database)) for database in opened]
    said = [[Message(role="user", content=f"{i}"), Message(role="assistant", content=f"{i}")] for i in range(AT_ONCE)]

    async def request(number: int) -> int:
        async with turns[number % 2].turn("c", Owner("demo")) as held:
            held.add(said[number], Facts())
            return len(held.exchanges)

    async def requests() -> list[int]:
        return await asyncio.gather(*map(request, range(AT_ONCE)))

    assert sorted(asyncio.run(requests())) == list(range(AT_ONCE))
    kept = Memory(opened[0]).read("c", Owner("demo")).exchanges
    assert sorted(exchange.messages[0].content for exchange in kept) == [str(i) for i in range(AT_ONCE)]
    assert all(exchange.messages[0].content == exchange.messages[1].content for exchange in kept)


@pytest.mark.services
def test_tickets_that_are_drawn_at_once_follow_each_other(postgresql: str) -> None:
    database, tickets = Database.open(postgresql, ConversationTables), Tickets()
    turns = Turns(database, Memory(database), tickets)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        drawn = [ticket for ticket, _ in pool.map(lambda _: turns._enter("q", Owner("demo")), range(4 * AT_ONCE))]

    assert sorted(ticket.number for ticket in drawn) == list(range(1, 4 * AT_ONCE + 1))
    with database.read() as session:
        assert [ticket.number for ticket in drawn if tickets.is_first(session, ticket)] == [1]


@pytest.mark.services
def test_what_is_over_is_swept_on_postgresql_too(postgresql: str) -> None:
    database = Database.open(postgresql, ConversationTables)
    memory = Memory(database, bounds=Bounds(retention_s=-1))
    for _ in range(2):  # what is over is opened anew
        with database.write() as session:
            assert memory.open(session, "swept", Owner("demo")) == ()
    assert memory.sweep(1) == 1
    ratings = Ratings(database, "digest", retention_s=-1)
    for rating in ("up", "down"):
        ratings.rate("answer", rating, None)
    assert ratings.sweep(5) == 1


def test_a_url_of_no_database_is_bad_input() -> None:
    for url in ("shop.db", "postgres//x", "nosuch://x/y"):
        with pytest.raises(BadInput, match="expected sqlite:///FILE or postgresql"):
            Database.open(url, ShopTables)


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    url = f"postgresql+psycopg://kefu:secret@127.0.0.1:{free_port()}/shop"
    with pytest.raises(EnvironmentLacks, match="does not answer") as caught:
        Database.open(url, ShopTables)
    assert "secret" not in str(caught.value)
