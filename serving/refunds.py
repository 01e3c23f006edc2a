"""Money on its way back to a customer: at most one refund for an order and a cause.

Not covered: paying it out; the shop's own system does that and moves `state` on.
"""

from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Float, ForeignKey, Integer, String, select
from sqlalchemy.orm import Mapped, mapped_column

from serving.customer_visit import CustomerVisit
from serving.orders import CustomerOrders, Refused, ShopTables
from serving.payments import CustomerPayments, yuan

DAYS = 7  # in which a refund arrives

Cause = Literal["cancelled", "returned"]
State = Literal["requested", "sent", "received"]


class RefundRow(ShopTables):
    """One refund; its primary key is what makes a second one for the same cause impossible."""

    __tablename__ = "refunds"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    cause: Mapped[str] = mapped_column(String(16), primary_key=True)
    amount_fen: Mapped[int] = mapped_column(Integer)
    method: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    requested_at: Mapped[float] = mapped_column(Float)
    expected_on: Mapped[str | None] = mapped_column(String(10))
    proposal_id: Mapped[str | None] = mapped_column(ForeignKey("proposals.id"), unique=True)


class CustomerRefunds:
    """The refunds of one customer within one transaction."""

    def __init__(self, visit: CustomerVisit) -> None:
        self._visit, self.orders, self._payments = visit, CustomerOrders(visit), CustomerPayments(visit)

    def of(self, order_id: str) -> list[dict[str, Any]]:
        """The refunds of an order, oldest first; at least one.

        Raises:
            Refused: this customer has no such order, or there is no refund for it.
        """
        mine = select(RefundRow).where(RefundRow.order_id == self.orders.find(order_id).order_id)
        rows = self._visit.session.scalars(mine.order_by(RefundRow.requested_at)).all()
        if not rows:
            raise Refused("no_refund")
        shown = ("cause", "state", "method", "expected_on")
        return [
            {"amount": yuan(row.amount_fen), **{n: getattr(row, n) for n in shown if getattr(row, n)}} for row in rows
        ]

    def cancel(self, order_id: str) -> str:
        """Cancels an order and sends what was paid back the way it came; gives the amount.

        Raises:
            Refused: this customer has no such order, or it cannot be cancelled any more.
        """
        self.orders.cancel(order_id)
        paid = self._payments.of(order_id)
        if paid is None or not paid.amount_fen:
            return yuan(0)
        refund = RefundRow(
            order_id=order_id,
            cause="cancelled",
            amount_fen=paid.amount_fen,
            method=paid.method,
            state="requested",
            requested_at=self._visit.now,
            expected_on=(self._visit.today + timedelta(days=DAYS)).isoformat(),
            proposal_id=self._visit.key,
        )
        self._visit.session.add(refund)
        self._visit.session.flush()
        return yuan(paid.amount_fen)
