"""Conversations: kept in the database, owned by whom they were opened by, trimmed to a window of tokens.

The window is a run of whole exchanges (a customer's message and everything up to the next one), so that a tool call
is never parted from its result. Not covered: retention time, summaries of what fell out of the window.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Float, ForeignKey, Integer, String, Text, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from data.schema import Message
from serving.database import Database
from serving.errors import NotFound

CountTokens = Callable[[str], int]
TURN_OVERHEAD = 8  # tokens of the template around a turn: role, marks, line ends, tool tags


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


class TurnRow(ConversationTables):
    """One message of a conversation, in its place."""

    __tablename__ = "turns"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    message: Mapped[str] = mapped_column(Text)


@dataclass(frozen=True)
class Owner:
    """Whose a conversation is. Another customer or another API key is another owner."""

    customer: str | None
    api_key: str | None = None


class Memory:
    """The conversations of one endpoint."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    def open(self, conversation_id: str, owner: Owner) -> tuple[Message, ...]:
        """The messages so far; an unknown id opens a new conversation for this owner.

        Raises:
            NotFound: it belongs to somebody else.
        """
        with self._database.read() as session:
            if self._mine(session, conversation_id, owner):
                return self._messages(session, conversation_id)
        try:
            with self._database.write() as session:
                customer, key = owner.customer or "", owner.api_key or ""
                session.add(
                    ConversationRow(id=conversation_id, customer=customer, api_key=key, created_at=self._clock())
                )
        except IntegrityError:  # somebody opened it in this very moment
            with self._database.read() as session:
                self._mine(session, conversation_id, owner)
                return self._messages(session, conversation_id)
        return ()

    def append(self, conversation_id: str, owner: Owner, messages: Sequence[Message]) -> None:
        """Adds an exchange, all of it or nothing.

        Raises:
            NotFound: it belongs to somebody else.
        """
        with self._database.write() as session:
            self._mine(session, conversation_id, owner, to_change=True)
            last = session.scalars(
                select(TurnRow.position)
                .where(TurnRow.conversation_id == conversation_id)
                .order_by(TurnRow.position.desc())
                .limit(1)
            ).one_or_none()
            start = 0 if last is None else last + 1
            for position, message in enumerate(messages, start):
                text = message.model_dump_json(exclude_defaults=True)
                session.add(TurnRow(conversation_id=conversation_id, position=position, message=text))

    def _mine(self, session: Session, conversation_id: str, owner: Owner, *, to_change: bool = False) -> bool:
        row = session.get(ConversationRow, conversation_id, with_for_update=to_change or None)
        if row is None:
            return False
        if (row.customer, row.api_key) != (owner.customer or "", owner.api_key or ""):
            raise NotFound("no such conversation", param="conversation_id", code="conversation_not_found")
        return True

    def _messages(self, session: Session, conversation_id: str) -> tuple[Message, ...]:
        turns = select(TurnRow.message).where(TurnRow.conversation_id == conversation_id).order_by(TurnRow.position)
        return tuple(Message.model_validate_json(text) for text in session.scalars(turns))


def window(messages: Sequence[Message], budget: int, count: CountTokens) -> tuple[Message, ...]:
    """The longest run of latest exchanges whose tokens fit into `budget`; the latest exchange is always in it."""
    exchanges = _exchanges(messages)
    kept: list[Message] = []
    used = 0
    for exchange in reversed(exchanges):
        used += sum(message_tokens(message, count) for message in exchange)
        if kept and used > budget:
            break
        kept = [*exchange, *kept]
    return tuple(kept)


def message_tokens(message: Message, count: CountTokens) -> int:
    """What a message costs in the prompt, the template's own tokens included (an upper estimate)."""
    calls = "".join(json.dumps(call.function.model_dump(), ensure_ascii=False) for call in message.tool_calls)
    return count(message.content + calls) + TURN_OVERHEAD * (1 + len(message.tool_calls))


def _exchanges(messages: Sequence[Message]) -> list[list[Message]]:
    """Cuts before every customer's message that follows anything else; several in a row belong together."""
    exchanges: list[list[Message]] = []
    previous = None
    for message in messages:
        if not exchanges or (message.role == "user" and previous != "user"):
            exchanges.append([])
        exchanges[-1].append(message)
        previous = message.role
    return exchanges
