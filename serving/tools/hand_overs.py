"""Hand-overs: a person takes over."""

from typing import Annotated

from serving.hand_overs import CustomerHandOvers
from serving.tool import Tool
from serving.tools.facts import facts


def transfer_to_human(hand_overs: CustomerHandOvers, summary: Annotated[str, "what the customer needs"]) -> str:
    """Hand the conversation over to a human agent."""
    hand_overs.open(summary)
    return facts(state="waiting")


TRANSFER_TO_HUMAN = Tool(
    transfer_to_human,
    asks={
        "en": "hand this conversation over to a colleague, with this summary: {summary}",
        "zh": "把对话转给人工客服，并附上说明：{summary}",
    },
    done={
        "en": "Done: a colleague will take over as soon as one is free. They were told: {summary}",
        "zh": "已办好：已为您转接人工客服，客服空闲后会尽快联系您。附上的说明：{summary}",
    },
)
