"""What was paid for an order, and how. Amounts are whole fen (a hundredth of a yuan), so that nothing is ever rounded.

Not covered: taking payments; the shop's own system does that and writes here.
"""

from typing import Literal

from sqlalchemy import Float, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from serving.customer_visit import CustomerVisit
from serving.orders import CustomerOrders, ShopTables

Method = Literal["alipay", "wechat_pay", "card"]


class PaymentRow(ShopTables):
    """The payment of one order."""

    __tablename__ = "payments"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    amount_fen: Mapped[int] = mapped_column(Integer)
    method: Mapped[str] = mapped_column(String(32))
    paid_at: Mapped[float] = mapped_column(Float)


class CustomerPayments:
    """The payments of one customer within one transaction."""

    def __init__(self, visit: CustomerVisit) -> None:
        self._visit, self._orders = visit, CustomerOrders(visit)

    def of(self, order_id: str) -> PaymentRow | None:
        """What was paid for an order; None if nothing is known to have been.

        Raises:
            Refused: this customer has no such order.
        """
        return self._visit.session.get(PaymentRow, self._orders.find(order_id).order_id)


def yuan(fen: int) -> str:
    """An amount as customers read it: 12900 is ¥129.00."""
    return f"¥{fen // 100}.{fen % 100:02d}"
