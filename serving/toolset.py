"""What the agent can do: the tools, in one tuple, and how a call of one ends.

A read runs at once. A write is rehearsed (run and rolled back, so that what cannot work is refused before anybody is
asked), becomes a proposal, and runs when it is confirmed, once. Not covered: rounds and deadlines (`tool_calls.py`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from data.errors import BadInput
from data.schema import Language
from serving.customer_visit import CustomerVisit
from serving.database import Database
from serving.lease import GivenUp, Lease
from serving.orders import Refused
from serving.proposals import Confirmation, Party, Proposal, Proposals
from serving.tool import Tool
from serving.tools.deliveries import TRACK_DELIVERY
from serving.tools.facts import facts_of
from serving.tools.hand_overs import TRANSFER_TO_HUMAN
from serving.tools.invoices import REQUEST_INVOICE
from serving.tools.orders import CANCEL_ORDER, QUERY_ORDER_STATUS, UPDATE_DELIVERY_ADDRESS
from serving.tools.refunds import QUERY_REFUND_STATUS
from serving.tools.returns import CREATE_RETURN

# A release serves those of them that its recipe names; a team adds its own here.
TOOLS: tuple[Tool, ...] = (
    QUERY_ORDER_STATUS,
    UPDATE_DELIVERY_ADDRESS,
    TRACK_DELIVERY,
    QUERY_REFUND_STATUS,
    CREATE_RETURN,
    CANCEL_ORDER,
    REQUEST_INVOICE,
    TRANSFER_TO_HUMAN,
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CallResult:
    """How a call ended. `text` is for the model; the server words the `reason` of one that did not work and a write's
    `proposal`."""

    status: Literal["ok", "proposed", "refused", "invalid", "failed"]
    text: str
    reason: str | None = None
    proposal: Proposal | None = None
    write: bool = False


class Toolset:
    """The tools over one shop's database."""

    def __init__(self, database: Database, proposals: Proposals, tools: Sequence[Tool] = TOOLS) -> None:
        self._database, self.proposals = database, proposals
        self._tools = {tool.name: tool for tool in tools}

    def require(self, schemas: Sequence[Mapping[str, Any]]) -> None:
        """Holds a release's schemas against ours: a model trained on other tools is not served.

        Raises:
            BadInput: a tool is unknown here or its schema differs.
        """
        for schema in schemas:
            name = schema["function"]["name"]
            if name not in self._tools:
                raise BadInput(f"the release serves the tool {name}; this code has {', '.join(self._tools)}")
            if self._tools[name].schema != schema:
                raise BadInput(
                    f"the release's schema of {name} differs from this code's; run `make schemas` and release again"
                )

    def find(self, name: str) -> Tool | None:
        """The tool with this name, if it is on offer."""
        return self._tools.get(name)

    def call(self, name: str, arguments: object, party: Party | None, lease: Lease | None = None) -> CallResult:
        """Runs a read, or proposes a write, for a customer; without one (`party` is None) it asks them to sign in.

        Raises:
            GivenUp: the lease was given up first, and nothing is proposed.
        """
        tool = self.find(name)
        if tool is None:
            return CallResult("invalid", f"There is no tool {name}. The tools are {', '.join(self._tools)}.")
        problem = tool.problem(arguments)
        if problem is not None or not isinstance(arguments, Mapping):
            return CallResult("invalid", problem or "not an object")
        if party is None:
            return _unable("refused", "sign_in", tool)
        canonical = tool.canonical(arguments)
        try:
            return (
                self._propose(tool, canonical, party, lease or Lease())
                if tool.writes
                else self._read(tool, canonical, party)
            )
        except Refused as refusal:
            return _unable("refused", refusal.reason, tool)
        except GivenUp:
            raise
        except Exception as error:  # whatever a tool or its database does, the customer gets an answer
            _tell(tool.name, error)
            return _unable("failed", "failed", tool)

    def confirm(
        self, confirmation: Confirmation, party: Party, lease: Lease | None = None
    ) -> tuple[Proposal | None, str]:
        """Executes the proposal that is confirmed, exactly once, and says how it ended: done, or a reason.

        A confirmation that comes again gets the recorded outcome. Whatever is open and was not meant is voided. What
        failed is undone, stays open and may be confirmed again.

        Raises:
            GivenUp: the lease was given up first, and nothing is done.
        """
        proposal = None
        try:
            with self._database.write() as session:
                proposal = self.proposals.find(session, party, confirmation)
                ended: tuple[Proposal | None, str] | None = None
                if proposal is not None:
                    ended = self._once(session, proposal, party)
                if ended is None:
                    self.proposals.void(session, party)
                    ended = (self.proposals.ended(session, proposal) if proposal else None) or (None, "gone")
                (lease or Lease()).settle()
            return ended
        except GivenUp:
            raise
        except Exception as error:
            _tell(proposal.tool if proposal else "confirm", error)
            return self._found_out(proposal, error)

    def void(self, party: Party) -> int:
        """Voids what waits for this party's confirmation; returns how many proposals that were."""
        with self._database.write() as session:
            return self.proposals.void(session, party)

    def done_for(self, party: Party) -> list[tuple[str, Mapping[str, Any]]]:
        """The writes that were done for this party in this conversation, tool and arguments."""
        with self._database.read() as session:
            return self.proposals.done(session, party)

    def asks(self, proposal: Proposal, language: Language) -> str:
        """What a proposal would do, in the customer's words."""
        return _filled(self._tools[proposal.tool].asks, proposal, language)

    def done(self, proposal: Proposal, language: Language) -> str:
        """What a proposal did, in the customer's words."""
        return _filled(self._tools[proposal.tool].done, proposal, language)

    def _read(self, tool: Tool, arguments: Mapping[str, Any], party: Party) -> CallResult:
        with self._database.read() as session:
            return CallResult("ok", tool.run(self._visit(session, party), arguments))

    def _propose(self, tool: Tool, arguments: Mapping[str, Any], party: Party, lease: Lease) -> CallResult:
        with self._database.write() as session:
            rehearsal = session.begin_nested()
            try:
                told = tool.run(self._visit(session, party), arguments)
            finally:
                rehearsal.rollback()
            proposal = self.proposals.open(session, party, tool.name, arguments, facts_of(told))
            lease.settle()
        return CallResult("proposed", "Not done yet: the customer was asked to confirm.", proposal=proposal)

    def _once(self, session: Session, proposal: Proposal, party: Party) -> tuple[Proposal, str] | None:
        """Takes a proposal and executes it; None if it was taken before or has expired."""
        if not self.proposals.claim(session, proposal):
            return None
        outcome, facts = "done", proposal.facts
        try:
            with session.begin_nested():
                visit = self._visit(session, party, proposal.id)
                facts = facts_of(self._tools[proposal.tool].run(visit, proposal.arguments))
        except Refused as refusal:
            outcome = refusal.reason
        return self.proposals.record(session, proposal, outcome, facts), outcome

    def _found_out(self, proposal: Proposal | None, error: Exception) -> tuple[Proposal | None, str]:
        """What became of a confirmation whose transaction broke, its very commit perhaps."""
        try:
            with self._database.read() as session:
                ended = self.proposals.ended(session, proposal) if proposal else None
        except SQLAlchemyError:
            return proposal, "unknown" if proposal else "failed"
        if ended is None and proposal is not None and isinstance(error, DBAPIError) and error.connection_invalidated:
            return proposal, "unknown"  # the server may be committing yet
        return ended or (proposal, "failed")

    def _visit(self, session: Session, party: Party, key: str | None = None) -> CustomerVisit:
        return CustomerVisit(session, party.customer, party.language, party.conversation, key, self.proposals.now())


def _unable(status: Literal["refused", "failed"], reason: str, tool: Tool) -> CallResult:
    return CallResult(status, f"{status.capitalize()}: {reason}", reason, write=tool.writes)


def _filled(words: Mapping[Language, str] | None, proposal: Proposal, language: Language) -> str:
    assert words is not None, "only writes become proposals"
    return words[language].format_map({**proposal.facts, **proposal.arguments})


def _tell(name: str, error: Exception) -> None:
    """Logs a failure by its kind and place alone: a database's messages carry the customer's data."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
    _LOG.error("tool %s failed: %s at %s", name, type(error).__name__, place)
