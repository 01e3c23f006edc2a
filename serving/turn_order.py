"""Whose turn it is: requests to one conversation are served one after another, in the order in which they came, whichever
process of this database serves them.

Each request draws a ticket; the lowest that is still good is served. A ticket is renewed while its request lives, so that a
process that dies holds nobody up for longer than a ticket is good for. Within a process a lock comes first, so that those who
wait here do not ask the database. Not covered: requests without a conversation.
"""

import asyncio
import contextlib
import secrets
import time
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from sqlalchemy import Float, Integer, String, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from serving.database import Database
from serving.memory import ConversationTables

GOOD_FOR_S = 20.0
_RENEWED_EVERY = 4  # times before it would run out
_FIRST_LOOK_S, _LONGEST_PAUSE_S = 0.005, 0.1
_DRAWS = 100


class TicketRow(ConversationTables):
    """A request that waits for its turn, or has it. Two that draw at once want one number, and one of them draws again: so
    numbers follow the order in which tickets can be seen."""

    __tablename__ = "turn_tickets"

    conversation_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    holder: Mapped[str] = mapped_column(String(32), unique=True)
    good_until: Mapped[float] = mapped_column(Float)


@dataclass(frozen=True)
class _Ticket:
    conversation_id: str
    number: int
    holder: str
    first: bool  # nobody was before it when it was drawn


class TurnOrder:
    """The queues of all conversations."""

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.time, good_for_s: float = GOOD_FOR_S
    ) -> None:
        self._database, self._clock, self._good_for_s = database, clock, good_for_s
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def turn(self, conversation_id: str) -> AsyncIterator[None]:
        """Waits until it is this request's turn, which it has until the block ends."""
        lock = self._locks.get(conversation_id)
        if lock is None:
            self._locks[conversation_id] = lock = asyncio.Lock()
        async with lock:
            drawing = asyncio.ensure_future(asyncio.to_thread(self._draw, conversation_id))
            renewing: asyncio.Future[None] | None = None
            try:
                ticket = await asyncio.shield(drawing)  # else a cancelled request would leave a ticket behind
                renewing = asyncio.ensure_future(self._renew(ticket))
                if not ticket.first:
                    await self._wait(ticket)
                yield
            finally:
                if renewing is not None:
                    renewing.cancel()
                await asyncio.wait({drawing})
                if drawing.exception() is None:
                    await asyncio.to_thread(self._give_back, drawing.result())

    async def _wait(self, ticket: _Ticket) -> None:
        pause = _FIRST_LOOK_S
        while await asyncio.to_thread(self._others_before, ticket):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _renew(self, ticket: _Ticket) -> None:
        while True:
            await asyncio.sleep(self._good_for_s / _RENEWED_EVERY)
            with contextlib.suppress(SQLAlchemyError):  # the next time is early enough
                await asyncio.to_thread(self._extend, ticket)

    def _draw(self, conversation_id: str) -> _Ticket:
        for _ in range(_DRAWS):
            with contextlib.suppress(IntegrityError), self._database.write() as session:
                mine, now = TicketRow.conversation_id == conversation_id, self._clock()
                last = session.scalar(select(func.max(TicketRow.number)).where(mine)) or 0
                ticket = _Ticket(conversation_id, last + 1, secrets.token_hex(16), first=not last)
                if last:
                    session.execute(delete(TicketRow).where(mine, TicketRow.good_until < now))
                values = {"number": ticket.number, "holder": ticket.holder, "good_until": now + self._good_for_s}
                session.execute(insert(TicketRow).values(conversation_id=conversation_id, **values))
                return ticket
        raise RuntimeError(f"no ticket was to be had in {_DRAWS} draws")

    def _others_before(self, ticket: _Ticket) -> bool:
        before = select(TicketRow.number).where(
            TicketRow.conversation_id == ticket.conversation_id,
            TicketRow.number < ticket.number,
            TicketRow.good_until >= self._clock(),
        )
        with self._database.read() as session:
            return session.scalar(before.limit(1)) is not None

    def _extend(self, ticket: _Ticket) -> None:
        longer = update(TicketRow).where(TicketRow.holder == ticket.holder)
        with self._database.write() as session:
            session.execute(longer.values(good_until=self._clock() + self._good_for_s))

    def _give_back(self, ticket: _Ticket) -> None:
        with self._database.write() as session:
            session.execute(delete(TicketRow).where(TicketRow.holder == ticket.holder))
