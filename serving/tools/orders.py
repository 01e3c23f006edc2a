"""Orders: their status, where they go, calling them off."""

from typing import Annotated

from serving.orders import CustomerOrders, Refused
from serving.refunds import CustomerRefunds
from serving.tool import Tool
from serving.tools.facts import OrderId, facts

MAX_ADDRESS = 300


def query_order_status(orders: CustomerOrders, order_id: OrderId) -> str:
    """Look up the status of an order."""
    order = orders.find(order_id)
    shown = {name: getattr(order, name) for name in ("order_id", "status", "courier", "tracking_no", "address")}
    return facts(**shown, items=", ".join(item.label(orders.language) for item in order.items))


def update_delivery_address(
    orders: CustomerOrders, order_id: OrderId, new_addr: Annotated[str, "full new address"]
) -> str:
    """Change the delivery address of an order."""
    if not new_addr or len(new_addr) > MAX_ADDRESS:
        raise Refused("bad_address")
    orders.set_address(order_id, new_addr)
    return facts(order_id=order_id, address=new_addr)


def cancel_order(refunds: CustomerRefunds, order_id: OrderId) -> str:
    """Cancel an order that has not been shipped."""
    return facts(order_id=order_id, status="cancelled", refund=refunds.cancel(order_id))


QUERY_ORDER_STATUS = Tool(query_order_status)
UPDATE_DELIVERY_ADDRESS = Tool(
    update_delivery_address,
    asks={
        "en": "change the delivery address of order {order_id} to: {new_addr}",
        "zh": "把订单 {order_id} 的收货地址改为：{new_addr}",
    },
    done={
        "en": "Done: order {order_id} now goes to: {new_addr}",
        "zh": "已办好：订单 {order_id} 的收货地址已改为：{new_addr}",
    },
)
CANCEL_ORDER = Tool(
    cancel_order,
    asks={
        "en": "cancel order {order_id}; {refund} goes back the way you paid",
        "zh": "取消订单 {order_id}，{refund} 将原路退回",
    },
    done={
        "en": "Done: order {order_id} is cancelled. A refund of {refund} is on its way; it takes up to 7 days.",
        "zh": "已办好：订单 {order_id} 已取消，{refund} 将原路退回，最多需要7天。",
    },
)
