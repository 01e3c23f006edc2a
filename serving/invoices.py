"""Invoices that customers asked for: one for an order. Not covered: issuing them, and correcting one that was issued."""

from sqlalchemy import Float, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from serving.customer_visit import CustomerVisit
from serving.orders import CustomerOrders, Refused, ShopTables
from serving.payments import CustomerPayments, yuan

MAX_TITLE = 100  # characters; the longest that electronic invoices hold


class InvoiceRow(ShopTables):
    """One invoice; its primary key is what makes a second one for the order impossible."""

    __tablename__ = "invoices"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.order_id"), primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    amount_fen: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(16))  # requested, issued
    requested_at: Mapped[float] = mapped_column(Float)
    proposal_id: Mapped[str | None] = mapped_column(ForeignKey("proposals.id"), unique=True)


class CustomerInvoices:
    """The invoices of one customer within one transaction."""

    def __init__(self, visit: CustomerVisit) -> None:
        self._visit, self._orders, self._payments = visit, CustomerOrders(visit), CustomerPayments(visit)

    def request(self, order_id: str, title: str) -> str:
        """Asks for the invoice of a paid order; gives its amount.

        Raises:
            Refused: this customer has no such order, it is cancelled, nothing was paid, or there is an invoice already.
        """
        if not title or len(title) > MAX_TITLE:
            raise Refused("bad_title")
        order = self._orders.find(order_id, to_change=True)
        if order.status == "cancelled":
            raise Refused("already_cancelled")
        if self._visit.session.get(InvoiceRow, order.order_id):
            raise Refused("already_invoiced")
        paid = self._payments.of(order.order_id)
        if paid is None or not paid.amount_fen:
            raise Refused("nothing_paid")
        row = InvoiceRow(
            order_id=order.order_id,
            title=title,
            amount_fen=paid.amount_fen,
            state="requested",
            requested_at=self._visit.now,
            proposal_id=self._visit.key,
        )
        self._visit.session.add(row)
        self._visit.session.flush()
        return yuan(paid.amount_fen)
