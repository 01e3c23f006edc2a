"""What the agent can do: plain typed functions, in one tuple; their JSON schemas derive from the signatures.

The first parameter of a tool is the customer's own orders and is never part of its schema. A read runs at once. A
write is rehearsed (run and rolled back, so that what cannot work is refused before anybody is asked), becomes a
proposal, and runs when it is confirmed, once. `python -m serving.toolset` writes `data/tools.json`.
"""

import inspect
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from jsonschema import Draft202012Validator
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from data.errors import BadInput
from data.schema import Language
from data.shop import dump_tools
from serving.database import Database
from serving.orders import CustomerOrders, Refused
from serving.proposals import Confirmation, Party, Proposal, Proposals

MAX_ADDRESS = 300
_JSON_TYPES: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def query_order_status(orders: CustomerOrders, order_id: Annotated[str, "order number"]) -> str:
    """Look up the status of an order."""
    order = orders.find(_number(order_id))
    shown = ("order_id", "status", "courier", "tracking_no", "address")
    facts = {name: getattr(order, name) for name in shown if getattr(order, name) is not None}
    items = ", ".join(item.label(orders.language) for item in order.items)
    return json.dumps({**facts, "items": items}, ensure_ascii=False)


def update_delivery_address(
    orders: CustomerOrders, order_id: Annotated[str, "order number"], new_addr: Annotated[str, "full new address"]
) -> str:
    """Change the delivery address of an order."""
    address = new_addr.strip()
    if not address or len(address) > MAX_ADDRESS:
        raise Refused("bad_address")
    orders.set_address(_number(order_id), address)
    return json.dumps({"order_id": _number(order_id), "address": address}, ensure_ascii=False)


@dataclass(frozen=True)
class Tool:
    """A function on offer. One with `asks` is a write: `asks` and `done` word it for the customer, before and after."""

    function: Callable[..., str]
    asks: Mapping[Language, str] | None = None
    done: Mapping[Language, str] | None = None

    @property
    def name(self) -> str:
        return self.function.__name__

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The tool in OpenAI's shape, from the function's signature and docstring."""
        hints = get_type_hints(self.function, include_extras=True)
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        properties = {parameter.name: _property(hints[parameter.name]) for parameter in parameters}
        required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
        function = {
            "name": self.name,
            "description": (inspect.getdoc(self.function) or self.name).splitlines()[0],
            "parameters": {"type": "object", "properties": properties, "required": required},
        }
        return {"type": "function", "function": function}

    @cached_property
    def validator(self) -> Draft202012Validator:
        """Checks arguments; what the schema does not name is refused."""
        return Draft202012Validator({**self.schema["function"]["parameters"], "additionalProperties": False})


TOOLS: tuple[Tool, ...] = (
    Tool(query_order_status),
    Tool(
        update_delivery_address,
        asks={
            "en": "change the delivery address of order {order_id} to: {new_addr}",
            "zh": "把订单 {order_id} 的收货地址改为：{new_addr}",
        },
        done={
            "en": "Done: order {order_id} now goes to: {new_addr}",
            "zh": "已办好：订单 {order_id} 的收货地址已改为：{new_addr}",
        },
    ),
)


@dataclass(frozen=True)
class CallResult:
    """How a call ended. `text` is for the model; the server words a refusal's `reason` and a write's `proposal`."""

    status: Literal["ok", "proposed", "refused", "invalid"]
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

    def writes(self, name: str) -> bool:
        """Whether a call of this tool changes something."""
        return name in self._tools and self._tools[name].asks is not None

    def call(self, name: str, arguments: object, party: Party | None) -> CallResult:
        """Runs a read, or proposes a write, for a customer; without one (`party` is None) it asks them to sign in."""
        tool = self._tools.get(name)
        if tool is None:
            return CallResult("invalid", f"There is no tool {name}. The tools are {', '.join(self._tools)}.")
        problem = next(iter(tool.validator.iter_errors(arguments)), None)
        if problem is not None or not isinstance(arguments, Mapping):
            return CallResult(
                "invalid", f"Wrong arguments for {name}: {problem.message if problem else 'not an object'}"
            )
        if party is None:
            return _refused("sign_in", tool)
        try:
            return self._propose(tool, arguments, party) if tool.asks else self._read(tool, arguments, party)
        except Refused as refusal:
            reason = refusal.reason
        except SQLAlchemyError:
            reason = "failed"
        return _refused(reason, tool)

    def confirm(self, confirmation: Confirmation, party: Party) -> tuple[Proposal | None, str]:
        """Executes the proposal that is confirmed, exactly once, and says how it ended: done, or a reason.

        A confirmation that comes again gets the recorded outcome. Whatever is open and was not meant is voided.
        """
        with self._database.write() as session:
            proposal = self.proposals.find(session, party, confirmation)
            if proposal is not None and self.proposals.claim(session, proposal):
                outcome = self._execute(session, proposal, party)
                self.proposals.record(session, proposal, outcome)
                return proposal, outcome
            self.proposals.void(session, party)
            earlier = self.proposals.outcome(session, proposal) if proposal is not None else None
            return (proposal, earlier) if earlier else (None, "gone")

    def void(self, party: Party) -> int:
        """Voids what waits for this party's confirmation; returns how many proposals that were."""
        with self._database.write() as session:
            return self.proposals.void(session, party)

    def asks(self, proposal: Proposal, language: Language) -> str:
        """What a proposal would do, in the customer's words."""
        asks = self._tools[proposal.tool].asks
        assert asks is not None, "only writes become proposals"
        return asks[language].format(**proposal.arguments)

    def done(self, proposal: Proposal, language: Language) -> str:
        """What a proposal did, in the customer's words."""
        done = self._tools[proposal.tool].done
        assert done is not None, "only writes become proposals"
        return done[language].format(**proposal.arguments)

    def _read(self, tool: Tool, arguments: Mapping[str, Any], party: Party) -> CallResult:
        with self._database.read() as session:
            return CallResult("ok", tool.function(CustomerOrders(session, party.customer, party.language), **arguments))

    def _propose(self, tool: Tool, arguments: Mapping[str, Any], party: Party) -> CallResult:
        with self._database.write() as session:
            rehearsal = session.begin_nested()
            try:
                tool.function(CustomerOrders(session, party.customer, party.language), **arguments)
            finally:
                rehearsal.rollback()
            canonical = {name: _canonical(name, value) for name, value in arguments.items()}
            proposal = self.proposals.open(session, party, tool.name, canonical)
        return CallResult("proposed", "Not done yet: the customer was asked to confirm.", proposal=proposal)

    def _execute(self, session: Session, proposal: Proposal, party: Party) -> str:
        try:
            with session.begin_nested():
                orders = CustomerOrders(session, party.customer, party.language)
                self._tools[proposal.tool].function(orders, **proposal.arguments)
        except Refused as refusal:
            return refusal.reason
        return "done"


def schemas(tools: Sequence[Tool] = TOOLS) -> list[dict[str, Any]]:
    """The schemas of all tools, in order."""
    return [tool.schema for tool in tools]


def _refused(reason: str, tool: Tool) -> CallResult:
    return CallResult("refused", f"Refused: {reason}", reason, write=tool.asks is not None)


def _number(order_id: str) -> str:
    """An order number as customers and models write it, `#123456` say, in the form in which it is stored."""
    return unicodedata.normalize("NFKC", order_id).strip().lstrip("#").strip()


def _canonical(name: str, value: Any) -> Any:
    """An argument as it will be shown, stored and executed."""
    if not isinstance(value, str):
        return value
    return _number(value) if name == "order_id" else value.strip()


def _property(hint: Any) -> dict[str, Any]:
    annotated = get_origin(hint) is Annotated
    kind, *notes = get_args(hint) if annotated else (hint,)
    if get_origin(kind) is Literal:
        schema: dict[str, Any] = {"type": "string", "enum": list(get_args(kind))}
    else:
        schema = {"type": _JSON_TYPES[kind]}
    return {**schema, "description": notes[0]} if notes else schema


if __name__ == "__main__":
    target = Path(__file__).resolve().parent.parent / "data" / "tools.json"
    target.write_text(dump_tools(schemas()), encoding="utf-8")
