"""Conversations that wait for a person: one at a time for a customer, with a summary that the customer has seen.

Not covered: the desk where people take them.
"""

from sqlalchemy import Float, ForeignKey, Index, Integer, String, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from serving.customer_visit import CustomerVisit
from serving.orders import Refused, ShopTables

MAX_SUMMARY = 500  # characters
_WAITING = text("state = 'waiting'")


class HandOverRow(ShopTables):
    """One hand-over to a person."""

    __tablename__ = "hand_overs"
    __table_args__ = (
        Index("one_waiting_hand_over", "customer_id", unique=True, sqlite_where=_WAITING, postgresql_where=_WAITING),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(128), index=True)
    conversation_id: Mapped[str | None] = mapped_column(String(128))
    summary: Mapped[str] = mapped_column(String(1000))
    state: Mapped[str] = mapped_column(String(16))  # waiting, taken, closed
    opened_at: Mapped[float] = mapped_column(Float)
    proposal_id: Mapped[str | None] = mapped_column(ForeignKey("proposals.id"), unique=True)


class CustomerHandOvers:
    """The hand-overs of one customer within one transaction."""

    def __init__(self, visit: CustomerVisit) -> None:
        self._visit = visit

    def open(self, summary: str) -> None:
        """Puts the conversation into the queue of people.

        Raises:
            Refused: the summary is missing or too long, or the customer waits already.
        """
        if not summary or len(summary) > MAX_SUMMARY:
            raise Refused("bad_summary")
        waiting = select(HandOverRow.id).where(
            HandOverRow.customer_id == self._visit.customer, HandOverRow.state == "waiting"
        )
        if self._visit.session.scalars(waiting).first() is not None:
            raise Refused("already_waiting")
        row = HandOverRow(
            customer_id=self._visit.customer,
            conversation_id=self._visit.conversation,
            summary=summary,
            state="waiting",
            opened_at=self._visit.now,
            proposal_id=self._visit.key,
        )
        self._visit.session.add(row)
        try:
            self._visit.session.flush()
        except IntegrityError as error:  # somebody else's transaction put this customer into the queue meanwhile
            raise Refused("already_waiting") from error
