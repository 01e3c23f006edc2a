"""Returns: sending goods back."""

from typing import Annotated

from serving.returns import CustomerReturns
from serving.tool import Tool
from serving.tools.facts import OrderId, facts


def create_return(
    returns: CustomerReturns, order_id: OrderId, reason: Annotated[str, "why the customer returns it"]
) -> str:
    """Open a return for a delivered order."""
    return facts(order_id=order_id, return_no=returns.open(order_id, reason))


CREATE_RETURN = Tool(
    create_return,
    asks={
        "en": "return order {order_id}; reason: {reason}",
        "zh": "为订单 {order_id} 申请退货，原因：{reason}",
    },
    done={
        "en": "Done: the return of order {order_id} is registered under {return_no}. Please write this number on the parcel.",
        "zh": "已办好：订单 {order_id} 的退货已登记，退货单号 {return_no}，寄回时请写在包裹上。",
    },
)
