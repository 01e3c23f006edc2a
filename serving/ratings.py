"""What customers think of answers, as it is stored: thumbs, and a comment without personal data.

Rating an answer again replaces what was said of it. Not covered: who may rate (`serving/feedback.py`), reading it (the table).
"""

import time
from collections.abc import Callable
from typing import Literal

from sqlalchemy import Float, String, Text, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from data.errors import EnvironmentLacks
from data.pii import find
from serving.database import Database
from serving.logs import log_problem
from serving.memory import ConversationTables

Thumb = Literal["up", "down"]


class RatingRow(ConversationTables):
    """What one answer was thought of."""

    __tablename__ = "feedback"

    answer_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    rating: Mapped[str] = mapped_column(String(8))
    comment: Mapped[str | None] = mapped_column(Text)
    release: Mapped[str] = mapped_column(String(64))  # the one that served when it was rated
    rated_at: Mapped[float] = mapped_column(Float, index=True)


class Ratings:
    """The feedback of one endpoint."""

    def __init__(
        self, database: Database, release: str, retention_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self.release, self._retention_s, self._clock = database, release, retention_s, clock

    def rate(self, answer_id: str, rating: Thumb, comment: str | None) -> str | None:
        """Stores a rating; returns its comment as it was stored."""
        told = redacted(comment) if comment and comment.strip() else None
        row = RatingRow(answer_id=answer_id, rating=rating, comment=told, release=self.release, rated_at=self._clock())
        try:
            self._store(row)
        except IntegrityError:  # rated twice at once: the second replaces the first
            self._store(row)
        return told

    def sweep(self, most: int) -> int:
        """Deletes at most so many ratings whose time is over; returns how many."""
        with self._database.write() as session:
            over = select(RatingRow.answer_id).where(RatingRow.rated_at < self._clock() - self._retention_s)
            ids = list(session.scalars(over.order_by(RatingRow.rated_at).limit(most)))
            session.execute(delete(RatingRow).where(RatingRow.answer_id.in_(ids)))
            return len(ids)

    def _store(self, row: RatingRow) -> None:
        with self._database.write() as session:
            session.merge(row)


def redacted(comment: str) -> str | None:
    """A comment with the kind in brackets wherever personal data stood; None where names and addresses cannot be found."""
    try:
        spans = find(comment, people=True)
    except EnvironmentLacks as problem:
        log_problem("a comment was not stored", problem)
        return None
    parts, end = [], 0
    for span in spans:
        parts += [comment[end : span.start], f"[{span.kind}]"]
        end = span.end
    return "".join([*parts, comment[end:]])
