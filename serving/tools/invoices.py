"""Invoices: asking for one."""

from typing import Annotated

from serving.invoices import CustomerInvoices
from serving.tool import Tool
from serving.tools.facts import OrderId, facts


def request_invoice(
    invoices: CustomerInvoices, order_id: OrderId, title: Annotated[str, "whom the invoice is made out to"]
) -> str:
    """Request the invoice of an order."""
    return facts(order_id=order_id, amount=invoices.request(order_id, title))


REQUEST_INVOICE = Tool(
    request_invoice,
    asks={
        "en": "request the invoice of order {order_id} over {amount}, made out to: {title}",
        "zh": "为订单 {order_id} 申请开具 {amount} 的发票，抬头：{title}",
    },
    done={
        "en": "Done: the invoice of order {order_id} over {amount} is requested, made out to: {title}",
        "zh": "已办好：已为订单 {order_id} 申请 {amount} 的发票，抬头：{title}",
    },
)
