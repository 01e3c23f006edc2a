"""One call of a tool: for whom it is made, in which words, and within which transaction.

What a customer has (orders, returns, ...) is seen through a class that is made from a visit and looks at nothing but this
customer's. A tool's first parameter names the class; the tool itself never gets the tables.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy.orm import Session

from data.schema import Language


@dataclass(frozen=True)
class CustomerVisit:
    """A customer at the desk. `key` is the confirmed proposal's id, None in a read and in a rehearsal; `now` in seconds."""

    session: Session
    customer: str
    language: Language
    conversation: str | None = None
    key: str | None = None
    now: float = field(default_factory=time.time)

    @property
    def today(self) -> date:
        """The date of `now`, in UTC."""
        return datetime.fromtimestamp(self.now, UTC).date()

    def days_since(self, moment: float) -> float:
        """How many days have passed since `moment`."""
        return timedelta(seconds=self.now - moment) / timedelta(days=1)
