"""Who is served next in a conversation: each request draws a ticket, and the lowest that is still good is served.

A ticket must be renewed while its request lives, so that a process that dies holds nobody up for longer than a ticket is good
for. Every method runs within the caller's transaction. Not covered: waiting (`serving/turns.py`).
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Float, Integer, String, delete, func, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from serving.memory import ConversationTables

GOOD_FOR_S = 20.0


class TicketRow(ConversationTables):
    """A request that waits for its turn, or has it. Two that draw at once want one number, and one of them has to draw again:
    so numbers follow the order in which tickets can be seen."""

    __tablename__ = "turn_tickets"

    conversation_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    holder: Mapped[str] = mapped_column(String(32), unique=True)
    good_until: Mapped[float] = mapped_column(Float)


@dataclass(frozen=True)
class Ticket:
    """A place in a conversation's queue."""

    conversation_id: str
    number: int
    holder: str
    first: bool  # nobody was before it when it was drawn


class Tickets:
    """The queues of all conversations."""

    def __init__(self, clock: Callable[[], float] = time.time, good_for_s: float = GOOD_FOR_S) -> None:
        self._clock, self.good_for_s = clock, good_for_s

    def draw(self, session: Session, conversation_id: str) -> Ticket:
        """The next ticket of a conversation.

        Raises:
            IntegrityError: somebody drew it in this very moment; undo the transaction and draw again.
        """
        mine, now = TicketRow.conversation_id == conversation_id, self._clock()
        last = session.scalar(select(func.max(TicketRow.number)).where(mine)) or 0
        if last:
            session.execute(delete(TicketRow).where(mine, TicketRow.good_until < now))
        ticket = Ticket(conversation_id, last + 1, secrets.token_hex(16), first=not last)
        values = {"number": ticket.number, "holder": ticket.holder, "good_until": now + self.good_for_s}
        session.execute(insert(TicketRow).values(conversation_id=conversation_id, **values))
        return ticket

    def is_first(self, session: Session, ticket: Ticket) -> bool:
        """Whether it is this ticket's turn."""
        before = select(TicketRow.number).where(
            TicketRow.conversation_id == ticket.conversation_id,
            TicketRow.number < ticket.number,
            TicketRow.good_until >= self._clock(),
        )
        return session.scalar(before.limit(1)) is None

    def renew(self, session: Session, ticket: Ticket) -> None:
        """Makes a ticket good for the whole time again."""
        longer = update(TicketRow).where(TicketRow.holder == ticket.holder)
        session.execute(longer.values(good_until=self._clock() + self.good_for_s))

    def give_back(self, session: Session, ticket: Ticket) -> None:
        """Ends a turn, or gives up waiting for it."""
        session.execute(delete(TicketRow).where(TicketRow.holder == ticket.holder))
