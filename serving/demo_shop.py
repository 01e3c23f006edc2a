"""The demo shop: orders with what hangs on them, enough to try every tool. Also the form of `data/demo/shop.yaml`.

Setting it up again adds what is missing and leaves the rest as customers left it. Not covered: hand-overs, which begin empty.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import Field
from sqlalchemy.orm import DeclarativeBase

from data.schema import Strict, Text, read_yaml
from data.shop import Shop
from serving.database import Database
from serving.deliveries import DeliveryRow, Event
from serving.invoices import InvoiceRow
from serving.orders import Order, OrderStore, ShopTables, read_orders
from serving.payments import Method, PaymentRow
from serving.refunds import DAYS, Cause, RefundRow, State
from serving.returns import ReturnRow

_DAY = 86_400.0
_LOCAL = timedelta(hours=8)  # the shop's clock, as couriers show it


class Paid(Strict):
    """The payment of an order."""

    amount_fen: int = Field(gt=0)
    method: Method
    days_ago: float


class Message(Strict):
    """A message of the courier."""

    days_ago: float
    en: Text
    zh: Text


class Delivery(Strict):
    """The delivery of an order."""

    expected_in_days: int | None = None
    delivered_days_ago: float | None = None
    events: tuple[Message, ...]


class Refund(Strict):
    """The refund of all that was paid for an order."""

    cause: Cause
    state: State
    days_ago: float


class Return(Strict):
    """The return of an order."""

    reason: Text
    state: Literal["open", "received", "rejected"]
    days_ago: float


class Invoice(Strict):
    """The invoice of an order, over all that was paid."""

    title: Text
    state: Literal["requested", "issued"]
    days_ago: float


class Record(Strict):
    """What hangs on one order."""

    order_id: Text
    paid: Paid
    delivery: Delivery | None = None
    refund: Refund | None = None
    return_: Return | None = Field(None, alias="return")
    invoice: Invoice | None = None

    def rows(self, now: float) -> list[DeclarativeBase]:
        """The record as rows, its days counted back from `now`."""

        def ago(days: float) -> float:
            return now - days * _DAY

        order, amount = self.order_id, self.paid.amount_fen
        paid = {"amount_fen": amount, "method": self.paid.method}
        rows: list[DeclarativeBase] = [PaymentRow(order_id=order, paid_at=ago(self.paid.days_ago), **paid)]
        if self.delivery:
            events = [Event(at=_shown(ago(event.days_ago)), en=event.en, zh=event.zh) for event in self.delivery.events]
            expected, delivered = self.delivery.expected_in_days, self.delivery.delivered_days_ago
            rows.append(
                DeliveryRow(
                    order_id=order,
                    expected_on=None if expected is None else _date(ago(-expected)),
                    delivered_at=None if delivered is None else ago(delivered),
                    events=[event.model_dump() for event in events],
                )
            )
        if self.refund:
            asked = ago(self.refund.days_ago)
            told = {"cause": self.refund.cause, "state": self.refund.state, "requested_at": asked}
            rows.append(RefundRow(order_id=order, **paid, **told, expected_on=_date(asked + DAYS * _DAY)))
        for row, found in ((ReturnRow, self.return_), (InvoiceRow, self.invoice)):
            if found:
                told = found.model_dump(exclude={"days_ago"}) | {"requested_at": ago(found.days_ago)}
                rows.append(row(order_id=order, **told, **({"amount_fen": amount} if row is InvoiceRow else {})))
        return rows


class DemoShop(Strict):
    """Further orders, and what hangs on all of them."""

    orders: tuple[Order, ...]
    records: tuple[Record, ...]


def seed_demo_shop(url: str, now: float | None = None, shop: Shop | None = None) -> None:
    """Puts the demo shop into a shop's database where it is missing.

    Raises:
        BadInput: its files are missing or malformed.
        EnvironmentLacks: the database does not answer.
    """
    shop = shop or Shop.default()
    found = read_yaml(shop.folder / "demo" / "shop.yaml", DemoShop)
    database = Database.open(url, ShopTables)
    try:
        OrderStore(database).seed([*read_orders(shop.train / "orders.jsonl"), *found.orders])
        with database.write() as session:
            for record in found.records:
                if session.get(PaymentRow, record.order_id) is None:
                    session.add_all(record.rows(time.time() if now is None else now))
    finally:
        database.close()


def _date(moment: float) -> str:
    return _shown(moment)[:10]


def _shown(moment: float) -> str:
    return (datetime.fromtimestamp(moment, UTC) + _LOCAL).strftime("%Y-%m-%d %H:%M")
