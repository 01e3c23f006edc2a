"""The turns of conversations: requests to one are served one after another, in the order in which they came, whichever
process of this database serves them.

A turn costs two transactions: one draws a ticket and reads what was said, one adds what is said and gives the ticket back.
Within a process a lock comes first, so that those who wait here do not ask the database. Not covered: what is kept of a
conversation (`serving/memory.py`).
"""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from data.schema import Message
from serving.database import Database
from serving.memory import Memory, Owner
from serving.tickets import Ticket, Tickets
from serving.window import Exchange, Facts

_RENEWED_EVERY = 4  # times before a ticket would run out
_FIRST_LOOK_S, _LONGEST_PAUSE_S = 0.005, 0.1
_TRIES = 100
T = TypeVar("T")


@dataclass
class HeldTurn:
    """A turn that somebody has: what was said before, and what they add to it. Without a conversation it is nothing."""

    exchanges: tuple[Exchange, ...] = ()
    _added: tuple[Sequence[Message], Facts] | None = None

    def add(self, messages: Sequence[Message], facts: Facts) -> None:
        """Keeps an exchange when the turn ends, all of it or nothing."""
        self._added = messages, facts

    def keep(self, memory: Memory, session: Session, conversation_id: str, owner: Owner) -> None:
        """Writes what was added."""
        if self._added is not None:
            memory.append(session, conversation_id, owner, *self._added)


class Turns:
    """The turns of one endpoint's conversations."""

    def __init__(self, database: Database, memory: Memory, tickets: Tickets | None = None) -> None:
        self._database, self._memory, self._tickets = database, memory, tickets or Tickets()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def turn(self, conversation_id: str | None, owner: Owner) -> AsyncIterator[HeldTurn]:
        """Waits until it is this request's turn, which it has until the block ends; a new id opens a conversation.

        What was added is kept unless the block raises.

        Raises:
            NotFound: the conversation is somebody else's.
        """
        if conversation_id is None:
            yield HeldTurn()
            return
        lock = self._locks.get(conversation_id)
        if lock is None:
            self._locks[conversation_id] = lock = asyncio.Lock()
        async with lock, self._ticket(conversation_id, owner) as (ticket, held):
            yield held
            await asyncio.to_thread(self._end, ticket, owner, held)

    @contextlib.asynccontextmanager
    async def _ticket(self, conversation_id: str, owner: Owner) -> AsyncIterator[tuple[Ticket, HeldTurn]]:
        """A ticket whose turn has come; it is given back whatever happens."""
        entering = asyncio.ensure_future(asyncio.to_thread(self._enter, conversation_id, owner))
        renewing: asyncio.Future[None] | None = None
        ended = False
        try:
            ticket, exchanges = await asyncio.shield(entering)  # else a cancelled request would leave a ticket behind
            renewing = asyncio.ensure_future(self._renew(ticket))
            if exchanges is None:
                exchanges = await self._wait(ticket, owner)
            yield ticket, HeldTurn(exchanges)
            ended = True  # and the ticket went with it
        finally:
            if renewing is not None:
                renewing.cancel()
            await asyncio.wait({entering})
            if not ended and entering.exception() is None:
                await asyncio.to_thread(self._give_back, entering.result()[0])

    async def _wait(self, ticket: Ticket, owner: Owner) -> tuple[Exchange, ...]:
        pause = _FIRST_LOOK_S
        while True:
            await asyncio.sleep(pause)
            exchanges = await asyncio.to_thread(self._look, ticket, owner)
            if exchanges is not None:
                return exchanges
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _renew(self, ticket: Ticket) -> None:
        while True:
            await asyncio.sleep(self._tickets.good_for_s / _RENEWED_EVERY)
            with contextlib.suppress(SQLAlchemyError):  # the next time is early enough
                await asyncio.to_thread(self._extend, ticket)

    def _enter(self, conversation_id: str, owner: Owner) -> tuple[Ticket, tuple[Exchange, ...] | None]:
        """A ticket, and what was said if nobody is before it."""

        def enter(session: Session) -> tuple[Ticket, tuple[Exchange, ...] | None]:
            ticket = self._tickets.draw(session, conversation_id)
            if ticket.first:
                return ticket, self._memory.open(session, conversation_id, owner)
            self._memory.check(session, conversation_id, owner)
            return ticket, None

        return self._retried(enter)

    def _look(self, ticket: Ticket, owner: Owner) -> tuple[Exchange, ...] | None:
        """What was said, if it is this ticket's turn."""
        with self._database.read() as session:
            if not self._tickets.is_first(session, ticket):
                return None
        return self._retried(lambda session: self._memory.open(session, ticket.conversation_id, owner))

    def _end(self, ticket: Ticket, owner: Owner, held: HeldTurn) -> None:
        with self._database.write() as session:
            held.keep(self._memory, session, ticket.conversation_id, owner)
            self._tickets.give_back(session, ticket)

    def _extend(self, ticket: Ticket) -> None:
        with self._database.write() as session:
            self._tickets.renew(session, ticket)

    def _give_back(self, ticket: Ticket) -> None:
        with self._database.write() as session:
            self._tickets.give_back(session, ticket)

    def _retried(self, work: Callable[[Session], T]) -> T:
        """One transaction, again from the start where another one was first with the same row."""
        for _ in range(_TRIES):
            with contextlib.suppress(IntegrityError), self._database.write() as session:
                return work(session)
        raise RuntimeError(f"others were first {_TRIES} times")
