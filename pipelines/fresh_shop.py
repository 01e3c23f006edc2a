"""A shop for one scenario at a time: emptied, filled with the scenario's orders, looked at before and after.

Not covered: the gateway before it (`pipelines/desk.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError
from sqlalchemy import delete, select

from data.errors import BadInput
from data.rows import explained
from data.shop import Shop
from evals.customer import Call
from evals.scenario import Scenario
from serving.customer_visit import CustomerVisit
from serving.database import Database
from serving.orders import Order, OrderStore, Refused, ShopTables, read_orders
from serving.proposals import ProposalRow, WriteRow
from serving.tool import Tool
from serving.toolset import TOOLS

OWNER, OTHER = "the-customer", "another-customer"
ADDRESS = {OWNER: "上海市静安区南京西路{}号", OTHER: "广州市天河区体育东路{}号西塔"}
State = dict[str, dict[str, Any]]  # order number -> order


@dataclass(frozen=True)
class FreshShop:
    """A database that holds nothing but one scenario's orders."""

    database: Database

    def open(self, scenario: Scenario) -> State:
        """Empties the shop, fills it with the scenario's orders, and gives them.

        Raises:
            BadInput: an order does not fit.
        """
        orders = _orders(scenario)
        with self.database.write() as session:
            for table in reversed(ShopTables.metadata.sorted_tables):
                session.execute(delete(table))
        OrderStore(self.database).seed(orders)
        return self.state()

    def state(self) -> State:
        """Every order as it is now."""
        return {number: order.model_dump(mode="json") for number, order in OrderStore(self.database).all().items()}

    def written(self) -> dict[str, Call]:
        """The writes that were done, oldest first, by the key under which the shop keeps each once."""
        with self.database.read() as session:
            done = select(ProposalRow).join(WriteRow).where(WriteRow.outcome == "done").order_by(WriteRow.at)
            return {row.id: Call(tool=row.tool, arguments=row.arguments, write=True) for row in session.scalars(done)}

    def wanted(self, scenario: Scenario) -> State:
        """The shop as the scenario's expected writes alone leave it, run at once and unasked.

        Raises:
            BadInput: there is no such tool, it does not take these arguments, or the shop refuses.
        """
        self.open(scenario)
        for expected in scenario.expect:
            tool = _tool(scenario, expected.tool)
            if problem := tool.problem(expected.arguments):
                raise BadInput(f"{scenario.id}: {problem}")
            try:
                with self.database.write() as session:
                    tool.run(CustomerVisit(session, OWNER, scenario.language), expected.arguments)
            except Refused as refusal:
                raise BadInput(
                    f"{scenario.id}: the shop refuses the expected {expected.tool} ({refusal.reason}); is the order among "
                    "orders.own and not yet shipped?"
                ) from refusal
        return self.state()


def wanted_states(scenarios: Sequence[Scenario]) -> list[State]:
    """What each scenario's shop must be in the end, found in a shop of a moment, before any engine is started.

    Raises:
        BadInput: a scenario does not fit this code's shop and tools.
    """
    with TemporaryDirectory() as folder:
        database = Database.open(f"sqlite:///{folder}/shop.db", ShopTables)
        try:
            for scenario in scenarios:
                for name in scenario.tool_results:
                    _tool(scenario, name)
            return [FreshShop(database).wanted(scenario) for scenario in scenarios]
        finally:
            database.close()


def _tool(scenario: Scenario, name: str) -> Tool:
    known = {tool.name: tool for tool in TOOLS}
    if name not in known:
        raise BadInput(f"{scenario.id}: there is no tool {name}; the tools are {', '.join(known)}")
    return known[name]


def _orders(scenario: Scenario) -> list[Order]:
    """A scenario's orders, filled in from the shop's sample, not yet shipped."""
    packed = [order.model_dump() for order in read_orders(_samples()) if order.status == "packed"]
    sides = ((OWNER, packed[0], scenario.orders.own), (OTHER, packed[-1], scenario.orders.foreign))
    return [_order(scenario.id, whose, like, seed) for whose, like, seeds in sides for seed in seeds]


def _order(scenario: str, customer: str, like: Mapping[str, Any], seed: Mapping[str, Any]) -> Order:
    address = ADDRESS[customer].format(seed["order_id"])
    try:
        return Order.model_validate({**like, "address": address, **seed, "customer_id": customer})
    except ValidationError as error:
        raise BadInput(f"{scenario}: order {seed['order_id']}: {explained(error)}") from error


def _samples() -> Path:
    return Shop.default().train / "orders.jsonl"
