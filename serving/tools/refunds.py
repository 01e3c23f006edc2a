"""Refunds: how far they are."""

from serving.refunds import CustomerRefunds
from serving.tool import Tool
from serving.tools.facts import OrderId, facts


def query_refund_status(refunds: CustomerRefunds, order_id: OrderId) -> str:
    """Look up the refund of an order."""
    return facts(order_id=order_id, refunds=refunds.of(order_id))


QUERY_REFUND_STATUS = Tool(query_refund_status)
