"""Writes that wait for the customer's yes, and the record of those that happened.

A proposal is bound to a customer, a conversation (or none), a tool and exact arguments; it is open, then executed or
voided, once. A write's row carries the proposal's id as its idempotency key, in the same transaction as the change
itself.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, Float, ForeignKey, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from data.schema import Language
from serving.orders import ShopTables

LIFETIME_S = 600.0
NO_CONVERSATION = ""


class ProposalRow(ShopTables):
    """One proposal as it is stored."""

    __tablename__ = "proposals"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(128), index=True)
    conversation_id: Mapped[str] = mapped_column(String(128), index=True)
    tool: Mapped[str] = mapped_column(String(64))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    code: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(16))  # open, executed, voided
    created_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float] = mapped_column(Float)
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # what the rehearsal found; None in rows of old versions


class WriteRow(ShopTables):
    """One confirmed write and how it ended; the primary key is what makes it happen once."""

    __tablename__ = "writes"

    idempotency_key: Mapped[str] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(64))  # done, or the reason of a refusal
    at: Mapped[float] = mapped_column(Float)
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # what the execution gave, for who asks again


@dataclass(frozen=True)
class Proposal:
    """A write that waits for a yes, or that got one."""

    id: str
    code: str
    tool: str
    arguments: Mapping[str, Any]
    expires_at: float
    facts: Mapping[str, Any] = field(default_factory=dict)  # fill the words around it

    def public(self) -> dict[str, Any]:
        """The form in which the `kefu` object shows it."""
        expires = datetime.fromtimestamp(self.expires_at, UTC).isoformat(timespec="seconds")
        return {"id": self.id, "code": self.code, "tool": self.tool, "arguments": self.arguments, "expires_at": expires}


@dataclass(frozen=True)
class Party:
    """Whom a proposal binds: a customer, in one conversation or in none; `language` words what they read."""

    customer: str
    conversation: str | None
    language: Language


@dataclass(frozen=True)
class Confirmation:
    """What the customer confirmed with: an id, a code, or (neither) a plain yes to the open proposal."""

    id: str | None = None
    code: str | None = None


class Proposals:
    """The life of proposals; every method runs within the caller's transaction."""

    def __init__(self, clock: Callable[[], float] = time.time, lifetime_s: float = LIFETIME_S) -> None:
        self._clock, self.lifetime_s = clock, lifetime_s

    def now(self) -> float:
        """The time by which proposals expire, in seconds."""
        return self._clock()

    def open(
        self, session: Session, party: Party, tool: str, arguments: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> Proposal:
        """Opens a proposal and voids the one before it: there is at most one for a customer and a conversation."""
        self.void(session, party)
        now = self._clock()
        row = ProposalRow(
            id=secrets.token_urlsafe(18),
            customer_id=party.customer,
            conversation_id=party.conversation or NO_CONVERSATION,
            tool=tool,
            arguments=dict(arguments),
            facts=dict(facts),
            code=self._new_code(session, party),
            state="open",
            created_at=now,
            expires_at=now + self.lifetime_s,
        )
        session.add(row)
        session.flush()
        return _proposal(row)

    def _new_code(self, session: Session, party: Party) -> str:
        """A code that none of this party's latest questions had: an old one, said again, never means a new question."""
        latest = select(ProposalRow.code).where(*_of(party)).order_by(ProposalRow.created_at.desc()).limit(100)
        used = set(session.scalars(latest))
        while (code := f"{secrets.randbelow(9000) + 1000}") in used:
            pass
        return code

    def void(self, session: Session, party: Party) -> int:
        """Voids what is open for this party; returns how many were."""
        open_ones = update(ProposalRow).where(*_of(party), ProposalRow.state == "open").values(state="voided")
        return int(session.execute(open_ones).rowcount)  # type: ignore[attr-defined]

    def find(self, session: Session, party: Party, confirmation: Confirmation) -> Proposal | None:
        """The proposal that a confirmation means: not voided, and not expired unless it is named by its id."""
        wanted = select(ProposalRow).where(*_of(party), ProposalRow.state != "voided")
        if confirmation.id is not None:
            wanted = wanted.where(ProposalRow.id == confirmation.id)
        else:
            wanted = wanted.where(ProposalRow.expires_at > self._clock())
            same = ProposalRow.code == confirmation.code if confirmation.code else ProposalRow.state == "open"
            wanted = wanted.where(same)
        row = session.scalars(wanted.order_by(ProposalRow.created_at.desc()).limit(1)).one_or_none()
        return _proposal(row) if row else None

    def claim(self, session: Session, proposal: Proposal) -> bool:
        """Takes an open, unexpired proposal for execution; False if it is no longer there to be taken."""
        now = self._clock()
        take = update(ProposalRow).where(
            ProposalRow.id == proposal.id, ProposalRow.state == "open", ProposalRow.expires_at > now
        )
        return bool(session.execute(take.values(state="executed")).rowcount == 1)  # type: ignore[attr-defined]

    def record(self, session: Session, proposal: Proposal, outcome: str, facts: Mapping[str, Any]) -> Proposal:
        """Writes down how the execution ended; gives the proposal with the facts that it ended with."""
        session.add(WriteRow(idempotency_key=proposal.id, outcome=outcome, facts=dict(facts), at=self._clock()))
        session.flush()
        return replace(proposal, facts=facts)

    def ended(self, session: Session, proposal: Proposal) -> tuple[Proposal, str] | None:
        """How an executed proposal ended, for a confirmation that arrives twice."""
        row = session.get(WriteRow, proposal.id)
        return (replace(proposal, facts=row.facts or {}), row.outcome) if row else None

    def done(self, session: Session, party: Party) -> list[tuple[str, Mapping[str, Any]]]:
        """The writes that were executed for this party, tool and arguments, so that they may be spoken of."""
        executed = select(ProposalRow.tool, ProposalRow.arguments).join(
            WriteRow, WriteRow.idempotency_key == ProposalRow.id
        )
        rows = session.execute(executed.where(*_of(party), WriteRow.outcome == "done"))
        return [(tool, arguments) for tool, arguments in rows]


def _of(party: Party) -> tuple[ColumnElement[bool], ...]:
    conversation = party.conversation or NO_CONVERSATION
    return ProposalRow.customer_id == party.customer, ProposalRow.conversation_id == conversation


def _proposal(row: ProposalRow) -> Proposal:
    return Proposal(row.id, row.code, row.tool, row.arguments, row.expires_at, row.facts or {})
