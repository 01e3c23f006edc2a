"""Where a parcel is, as the courier's messages say. Not covered: fetching them; the shop's own system writes them here."""

from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from data.schema import Strict, Text
from serving.customer_visit import CustomerVisit
from serving.orders import BEFORE_SHIPPING, CustomerOrders, Refused, ShopTables


class DeliveryRow(ShopTables):
    """The delivery of one order."""

    __tablename__ = "deliveries"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    expected_on: Mapped[str | None] = mapped_column(String(10))  # a date, YYYY-MM-DD
    delivered_at: Mapped[float | None] = mapped_column(Float)
    events: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # oldest first


class Event(Strict):
    """One message of the courier. `at` is the local time as it is shown, YYYY-MM-DD HH:MM."""

    at: str
    en: Text
    zh: Text


class CustomerDeliveries:
    """The deliveries of one customer within one transaction."""

    def __init__(self, visit: CustomerVisit) -> None:
        self._visit, self._orders, self.language = visit, CustomerOrders(visit), visit.language

    def track(self, order_id: str) -> dict[str, Any]:
        """What is known about a parcel on its way or delivered, latest message first.

        Raises:
            Refused: this customer has no such order, or it has not been shipped.
        """
        order = self._orders.find(order_id)
        if order.status in BEFORE_SHIPPING:
            raise Refused("not_shipped")
        if order.status == "cancelled":
            raise Refused("already_cancelled")
        found: dict[str, Any] = {"order_id": order.order_id, "status": order.status}
        found |= {"courier": order.courier, "tracking_no": order.tracking_no}
        if row := self._visit.session.get(DeliveryRow, order.order_id):
            events = [Event.model_validate(event) for event in reversed(row.events)]
            told = [f"{event.at} {event.zh if self.language == 'zh' else event.en}" for event in events]
            found |= {"expected_on": row.expected_on if order.status == "shipped" else None, "events": told}
        return {name: value for name, value in found.items() if value is not None}

    def days_here(self, order_id: str) -> float | None:
        """How many days ago a parcel arrived; None if nobody wrote that down.

        Raises:
            Refused: this customer has no such order, or it has not arrived.
        """
        order = self._orders.find(order_id)
        if order.status != "delivered":
            raise Refused("not_delivered")
        row = self._visit.session.get(DeliveryRow, order.order_id)
        return self._visit.days_since(row.delivered_at) if row and row.delivered_at is not None else None
