"""Conversations: kept in the database, owned by whom they were opened by, bounded, and forgotten in time or on request.

A conversation that is too long loses its oldest exchanges, but not what is settled in them (`serving/window.py`). One that
was not used for the retention time is gone, whether or not the sweep has come to it. Not covered: what of a conversation the
model is shown, and whose turn it is (`serving/turns.py`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Float, ForeignKey, Integer, String, Text, delete, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from data.schema import Message
from serving.database import Database
from serving.errors import NotFound
from serving.window import Exchange, Facts, settled

CountTokens = Callable[[str], int]


class ConversationTables(DeclarativeBase):
    """The tables of the agent's memory."""

    revisions = "conversations"  # below serving/migrations


class ConversationRow(ConversationTables):
    """One conversation and its owner."""

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    customer: Mapped[str] = mapped_column(String(128))  # empty: not signed in
    api_key: Mapped[str] = mapped_column(String(64))  # a fingerprint; empty: keys are off
    created_at: Mapped[float] = mapped_column(Float)
    used_at: Mapped[float] = mapped_column(Float, index=True)
    turns: Mapped[int] = mapped_column(Integer, default=0)  # messages ever, and so the position of the next
    kept: Mapped[int] = mapped_column(Integer, default=0)  # messages that are still there
    size: Mapped[int] = mapped_column(Integer, default=0)  # bytes of these


class TurnRow(ConversationTables):
    """One message of a conversation, in its place."""

    __tablename__ = "turns"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    exchange: Mapped[int] = mapped_column(Integer)  # the position of the first message of its exchange
    message: Mapped[str] = mapped_column(Text)
    order_id: Mapped[str | None] = mapped_column(Text)  # what its exchange settled, at its last message
    address: Mapped[str | None] = mapped_column(Text)


@dataclass(frozen=True)
class Owner:
    """Whose a conversation is. Another customer or another API key is another owner."""

    customer: str | None
    api_key: str | None = None


@dataclass(frozen=True)
class Bounds:
    """How much of a conversation is kept, and how long after its last use."""

    messages: int = 200
    size: int = 256 * 1024  # bytes of the messages as they are stored
    retention_s: float = 30 * 86_400.0


@dataclass(frozen=True)
class Conversation:
    """A conversation as its owner may read it."""

    id: str
    created_at: float
    exchanges: tuple[Exchange, ...]


class Memory:
    """The conversations of one endpoint."""

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.time, bounds: Bounds | None = None
    ) -> None:
        self._database, self._clock, self._bounds = database, clock, bounds or Bounds()

    def check(self, session: Session, conversation_id: str, owner: Owner) -> None:
        """Raises `NotFound` if a conversation is somebody else's."""
        self._mine(session, conversation_id, owner)

    def open(self, session: Session, conversation_id: str, owner: Owner) -> tuple[Exchange, ...]:
        """The exchanges so far; an unknown id opens a new conversation for this owner.

        Raises:
            NotFound: it belongs to somebody else.
            IntegrityError: somebody opened it in this very moment; undo the transaction and open it again.
        """
        if self._mine(session, conversation_id, owner) is not None:
            return _exchanges(_turns(session, conversation_id))
        if session.get(ConversationRow, conversation_id) is not None:  # its time is over: it is nobody's any more
            _forget(session, [conversation_id])
        customer, key, now = owner.customer or "", owner.api_key or "", self._clock()
        values = {"id": conversation_id, "customer": customer, "api_key": key, "created_at": now, "used_at": now}
        session.execute(insert(ConversationRow).values(**values))
        return ()

    def append(
        self, session: Session, conversation_id: str, owner: Owner, messages: Sequence[Message], facts: Facts
    ) -> None:
        """Adds an exchange; nothing if the conversation was deleted meanwhile.

        Raises:
            NotFound: it belongs to somebody else.
        """
        row = self._mine(session, conversation_id, owner, to_change=True)
        if row is None:
            return
        texts = [message.model_dump_json(exclude_defaults=True) for message in messages]
        rows = [
            {"conversation_id": conversation_id, "position": position, "exchange": row.turns, "message": text}
            for position, text in enumerate(texts, row.turns)
        ]
        rows[-1] |= {"order_id": facts.order_id, "address": facts.address}
        session.execute(insert(TurnRow), [{"order_id": None, "address": None, **values} for values in rows])
        row.used_at, row.turns = self._clock(), row.turns + len(rows)
        row.kept, row.size = row.kept + len(rows), row.size + sum(_size(text) for text in texts)
        if row.kept > self._bounds.messages or row.size > self._bounds.size:
            self._shorten(session, row)

    def read(self, conversation_id: str, owner: Owner) -> Conversation:
        """A conversation.

        Raises:
            NotFound: there is none, or it belongs to somebody else.
        """
        with self._database.read() as session:
            row = self._mine(session, conversation_id, owner)
            if row is None:
                raise _not_found()
            return Conversation(row.id, row.created_at, _exchanges(_turns(session, conversation_id)))

    def forget(self, conversation_id: str, owner: Owner) -> None:
        """Deletes a conversation and all that was said in it.

        Raises:
            NotFound: there is none, or it belongs to somebody else.
        """
        with self._database.write() as session:
            if self._mine(session, conversation_id, owner, to_change=True) is None:
                raise _not_found()
            _forget(session, [conversation_id])

    def sweep(self, most: int) -> int:
        """Deletes at most so many conversations whose time is over, the longest unused first; returns how many."""
        with self._database.write() as session:
            over = select(ConversationRow.id).where(ConversationRow.used_at < self._oldest())
            ids = list(
                session.scalars(over.order_by(ConversationRow.used_at).limit(most).with_for_update(skip_locked=True))
            )
            _forget(session, ids)
            return len(ids)

    def _mine(
        self, session: Session, conversation_id: str, owner: Owner, *, to_change: bool = False
    ) -> ConversationRow | None:
        """The row of this owner's conversation; None if there is none, or none any more."""
        row = session.get(ConversationRow, conversation_id, with_for_update=to_change or None)
        if row is None or row.used_at < self._oldest():
            return None
        if (row.customer, row.api_key) != (owner.customer or "", owner.api_key or ""):
            raise _not_found()
        return row

    def _oldest(self) -> float:
        return self._clock() - self._bounds.retention_s

    def _shorten(self, session: Session, row: ConversationRow) -> None:
        """Deletes the oldest exchanges of what is too much; the latest stays, and so does what the others settled."""
        turns = _turns(session, row.id)
        exchanges = _exchanges(turns)
        costs = [(len(exchange), sum(_size(turn.message) for turn in exchange)) for exchange in turns]
        cut, kept, size = len(turns), 0, 0
        for count, length in reversed(costs):
            kept, size = kept + count, size + length
            if cut < len(turns) and (kept > self._bounds.messages or size > self._bounds.size):
                break
            cut -= 1
        pinned = settled(exchanges[:cut], exchanges[cut:])
        gone = [i for i in range(cut) if not any(exchanges[i] is one for one in pinned)]
        numbers = [turns[i][0].exchange for i in gone]
        session.execute(delete(TurnRow).where(TurnRow.conversation_id == row.id, TurnRow.exchange.in_(numbers)))
        row.kept -= sum(costs[i][0] for i in gone)
        row.size -= sum(costs[i][1] for i in gone)


def _not_found() -> NotFound:
    return NotFound("no such conversation", param="conversation_id", code="conversation_not_found")


def _forget(session: Session, ids: Sequence[str]) -> None:
    session.execute(delete(TurnRow).where(TurnRow.conversation_id.in_(ids)))
    session.execute(delete(ConversationRow).where(ConversationRow.id.in_(ids)))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _turns(session: Session, conversation_id: str) -> list[list[Any]]:
    """The rows of a conversation, exchange by exchange."""
    columns = TurnRow.exchange, TurnRow.message, TurnRow.order_id, TurnRow.address
    mine = select(*columns).where(TurnRow.conversation_id == conversation_id).order_by(TurnRow.position)
    return [list(rows) for _, rows in groupby(session.execute(mine), key=lambda row: row.exchange)]


def _exchanges(turns: Sequence[Sequence[Any]]) -> tuple[Exchange, ...]:
    return tuple(
        Exchange(
            tuple(Message.model_validate_json(row.message) for row in exchange),
            Facts(exchange[-1].order_id, exchange[-1].address),
        )
        for exchange in turns
    )
