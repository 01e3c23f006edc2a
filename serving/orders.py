"""The shop's orders, seen through the eyes of one customer.

A tool never gets the table: it gets `CustomerOrders`, in which other customers' orders do not exist. A foreign order
and a missing one are therefore the same thing by construction. What hangs on an order has a file of its own (`payments.py`,
`deliveries.py`, `refunds.py`, `returns.py`, `invoices.py`). Not covered: stock.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import JSON, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from data.schema import Language, Strict, Text, read_jsonl
from serving.customer_visit import CustomerVisit
from serving.database import Database

Status = Literal["paid", "packed", "shipped", "delivered", "cancelled"]
BEFORE_SHIPPING: tuple[Status, ...] = ("paid", "packed")


class ShopTables(DeclarativeBase):
    """The tables that change together in one transaction: orders and what hangs on them, proposals, writes."""

    revisions = "shop"  # below serving/migrations


class OrderRow(ShopTables):
    """One order as it is stored."""

    __tablename__ = "orders"

    order_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(128), index=True)
    status: Mapped[str] = mapped_column(String(32))
    items: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    address: Mapped[str] = mapped_column(String(500))
    courier: Mapped[str | None] = mapped_column(String(64))
    tracking_no: Mapped[str | None] = mapped_column(String(64))


class Item(Strict):
    """One line of an order."""

    name_en: Text
    name_zh: Text
    quantity: int = Field(ge=1)

    def label(self, language: Language) -> str:
        """The line as a customer reads it."""
        return f"{self.name_zh if language == 'zh' else self.name_en} x{self.quantity}"


class Order(Strict):
    """One order; also the schema of a line of `data/seed/orders.jsonl`."""

    order_id: Text
    customer_id: Text
    status: Status
    items: tuple[Item, ...]
    address: Text
    courier: str | None = None
    tracking_no: str | None = None


class Refused(Exception):
    """A tool cannot do what was asked; `reason` is a key of `serving.wording.REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CustomerOrders:
    """The orders of one customer within one transaction."""

    def __init__(self, visit: CustomerVisit) -> None:
        self._visit, self.language = visit, visit.language

    def find(self, order_id: str, *, to_change: bool = False) -> Order:
        """The order with this number; `to_change` keeps it as it is until the transaction ends.

        Raises:
            Refused: this customer has no such order.
        """
        return _order(self._row(order_id, to_change=to_change))

    def set_address(self, order_id: str, address: str) -> None:
        """Changes where an order that has not been shipped goes.

        Raises:
            Refused: this customer has no such order, or it is too late.
        """
        row = self._row(order_id, to_change=True)
        if row.status not in BEFORE_SHIPPING:
            raise Refused("too_late")
        row.address = address

    def cancel(self, order_id: str) -> None:
        """Cancels an order that has not been shipped; the money is another matter (`serving.refunds`).

        Raises:
            Refused: this customer has no such order, it is cancelled already, or it was shipped.
        """
        row = self._row(order_id, to_change=True)
        if row.status == "cancelled":
            raise Refused("already_cancelled")
        if row.status not in BEFORE_SHIPPING:
            raise Refused("too_late_to_cancel")
        row.status = "cancelled"

    def _row(self, order_id: str, *, to_change: bool = False) -> OrderRow:
        mine = select(OrderRow).where(OrderRow.order_id == order_id, OrderRow.customer_id == self._visit.customer)
        if to_change:  # on PostgreSQL nobody ships it meanwhile; a writer of SQLite is alone anyway
            mine = mine.with_for_update()
        row = self._visit.session.scalars(mine).one_or_none()
        if row is None:
            raise Refused("no_such_order")
        return row


class OrderStore:
    """The shop's side: seeding and looking at everything, for the demo, checks and tests; never handed to a tool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seed(self, orders: Iterable[Order]) -> None:
        """Adds the orders that are not there yet; those that are stay as customers left them."""
        with self._database.write() as session:
            for order in orders:
                if session.get(OrderRow, order.order_id) is None:
                    session.add(OrderRow(**order.model_dump(mode="json")))

    def all(self) -> dict[str, Order]:
        """Every order by its number."""
        with self._database.read() as session:
            return {row.order_id: _order(row) for row in session.scalars(select(OrderRow))}


def read_orders(path: Path) -> list[Order]:
    """Reads a file of orders.

    Raises:
        BadInput: it is missing, empty or malformed.
    """
    return read_jsonl(path, Order)


def _order(row: OrderRow) -> Order:
    return Order.model_validate({name: getattr(row, name) for name in Order.model_fields})
