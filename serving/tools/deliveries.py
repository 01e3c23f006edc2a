"""Deliveries: where a parcel is."""

from serving.deliveries import CustomerDeliveries
from serving.tool import Tool
from serving.tools.facts import OrderId, facts


def track_delivery(deliveries: CustomerDeliveries, order_id: OrderId) -> str:
    """Track the parcel of an order."""
    return facts(**deliveries.track(order_id))


TRACK_DELIVERY = Tool(track_delivery)
