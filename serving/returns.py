"""Goods on their way back: one return for an order, within the days that customers have for it.

Not covered: receiving and checking the goods, and the refund that follows; the shop's own system does that.
"""

from sqlalchemy import Float, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from serving.customer_visit import CustomerVisit
from serving.deliveries import CustomerDeliveries
from serving.orders import CustomerOrders, Refused, ShopTables

DAYS = 7  # after delivery; the law's days for what was bought from afar
MAX_REASON = 200  # characters


class ReturnRow(ShopTables):
    """One return; its primary key is what makes a second one for the order impossible."""

    __tablename__ = "returns"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    reason: Mapped[str] = mapped_column(String(500))
    state: Mapped[str] = mapped_column(String(16))  # open, received, rejected
    requested_at: Mapped[float] = mapped_column(Float)
    proposal_id: Mapped[str | None] = mapped_column(ForeignKey("proposals.id"), unique=True)


class CustomerReturns:
    """The returns of one customer within one transaction."""

    def __init__(self, visit: CustomerVisit) -> None:
        self._visit, self._orders, self._deliveries = visit, CustomerOrders(visit), CustomerDeliveries(visit)

    def open(self, order_id: str, reason: str) -> str:
        """Opens the return of a delivered order; gives its number.

        An order without a known day of arrival may be returned: whether it is late is seen when the goods arrive.

        Raises:
            Refused: this customer has no such order, it has not arrived, is being returned already, or it is too late.
        """
        if not reason or len(reason) > MAX_REASON:
            raise Refused("bad_reason")
        order = self._orders.find(order_id, to_change=True)
        if self._visit.session.get(ReturnRow, order.order_id):
            raise Refused("already_returned")
        days = self._deliveries.days_here(order.order_id)
        if days is not None and days > DAYS:
            raise Refused("too_late_to_return")
        row = ReturnRow(
            order_id=order.order_id,
            reason=reason,
            state="open",
            requested_at=self._visit.now,
            proposal_id=self._visit.key,
        )
        self._visit.session.add(row)
        self._visit.session.flush()
        return f"R{order.order_id}"
