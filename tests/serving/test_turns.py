"""Requests to one conversation are served one after another, also when two processes serve them and when one of them dies."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from data.schema import Message
from serving.database import Database
from serving.errors import NotFound
from serving.memory import ConversationTables, Memory, Owner
from serving.tickets import TicketRow, Tickets
from serving.turns import Turns
from serving.window import Exchange, Facts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """Two ways to one database, as two processes have them."""
    one, two = (Database.open(f"sqlite:///{tmp_path}/c.db", ConversationTables) for _ in range(2))
    yield one, two
    one.close()
    two.close()


def turns(database: Database, good_for_s: float = 20.0) -> Turns:
    return Turns(database, Memory(database), Tickets(good_for_s=good_for_s))


async def test_one_after_another_in_the_order_in_which_they_came(databases: tuple[Database, Database]) -> None:
    orders, log = [turns(database) for database in databases], []

    async def request(number: int) -> None:
        async with orders[number % 2].turn("c", Owner("x")):
            log.append(number)
            await asyncio.sleep(0.002)
            log.append(number)

    requests = []
    for number in range(6):
        requests.append(asyncio.ensure_future(request(number)))
        while _tickets(databases[0]) < min(number + 1, 2) and not requests[number].done():
            await asyncio.sleep(0.001)  # each draws before the next one comes, as far as it may
    async with asyncio.timeout(5), orders[0].turn("another", Owner("x")):
        pass  # others do not wait
    await asyncio.gather(*requests)
    assert log[::2] == log[1::2] and sorted(log[::2]) == list(range(6)) and log[:4] == [0, 0, 1, 1]
    assert _tickets(databases[0]) == 0


async def test_a_process_that_dies_holds_nobody_up_for_long(databases: tuple[Database, Database]) -> None:
    dead, alive = (turns(database, 0.3) for database in databases)
    dead._enter("c", Owner("x"))  # and nobody renews it
    began = time.monotonic()
    async with alive.turn("c", Owner("x")):
        assert 0.2 < time.monotonic() - began < 5


async def test_a_turn_that_takes_long_is_not_taken_away(databases: tuple[Database, Database]) -> None:
    slow, quick = (turns(database, 0.4) for database in databases)
    ended = []

    async def long() -> None:
        async with slow.turn("c", Owner("x")):
            await asyncio.sleep(1.2)
            ended.append("slow")

    request = asyncio.ensure_future(long())
    while not _tickets(databases[0]):
        await asyncio.sleep(0.005)
    async with quick.turn("c", Owner("x")):
        ended.append("quick")
    await request
    assert ended == ["slow", "quick"]


async def test_who_goes_away_gives_the_turn_back(databases: tuple[Database, Database]) -> None:
    order, other = (turns(database) for database in databases)

    async def forever() -> None:
        async with order.turn("c", Owner("x")):
            await asyncio.sleep(60)

    for wait_s in (0.0, 0.001, 0.02):  # before, while and after the ticket is drawn
        request = asyncio.ensure_future(forever())
        await asyncio.sleep(wait_s)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        assert _tickets(databases[0]) == 0
    async with asyncio.timeout(5), other.turn("c", Owner("x")):
        pass


async def test_what_is_added_is_kept_and_read_by_the_next(databases: tuple[Database, Database]) -> None:
    one, other = (turns(database) for database in databases)
    said = Message(role="user", content="hi"), Message(role="assistant", content="ho")
    async with one.turn("c", Owner("x")) as held:
        assert held.exchanges == ()
        held.add(said, Facts("1"))
    async with other.turn("c", Owner("x")) as held:
        assert held.exchanges == (Exchange(said, Facts("1")),)
    with pytest.raises(RuntimeError):
        async with one.turn("c", Owner("x")) as held:
            held.add(said, Facts())
            raise RuntimeError
    with pytest.raises(NotFound):
        async with one.turn("c", Owner("y")):
            pass
    async with one.turn(None, Owner("x")) as held:
        held.add(said, Facts())
    async with one.turn("c", Owner("x")) as held:
        assert len(held.exchanges) == 1
        with pytest.raises(NotFound):  # nor may others queue here
            other._enter("c", Owner("y"))
    assert _tickets(databases[0]) == 0


_PROCESS = """
import asyncio, pathlib, sys
from serving.database import Database
from serving.memory import ConversationTables, Memory, Owner
from serving.turns import Turns

async def main(url, log, name):
    database = Database.open(url, ConversationTables)
    order = Turns(database, Memory(database))
    async def request(number):
        async with order.turn("c", Owner("x")):
            with open(log, "a") as file: file.write(f"{name}{number}\\n")
            await asyncio.sleep(0.002)
            with open(log, "a") as file: file.write(f"{name}{number}\\n")
    pathlib.Path(log + name).touch()
    while not all(pathlib.Path(log + one).exists() for one in "ab"):
        await asyncio.sleep(0.001)
    await asyncio.gather(*map(request, range(20)))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
def test_two_processes_take_turns(tmp_path: Path) -> None:
    log = tmp_path / "log"
    Database.open(f"sqlite:///{tmp_path}/c.db", ConversationTables).close()
    command = [sys.executable, "-c", _PROCESS, f"sqlite:///{tmp_path}/c.db", str(log)]
    processes = [subprocess.Popen([*command, name], cwd=ROOT) for name in "ab"]
    assert [process.wait(120) for process in processes] == [0, 0]
    lines = log.read_text().split()
    assert lines[::2] == lines[1::2] and len(set(lines)) == 40
    changes = sum(one[0] != other[0] for one, other in zip(lines[::2], lines[2::2], strict=False))
    assert changes > 10  # in turn, not one process first


def _tickets(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(TicketRow)) or 0
