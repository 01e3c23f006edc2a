"""What must not be answered by likeness."""

import pytest

from data.schema import Function, Message, ToolCall
from serving.faq_guards import Setting, bypass

TALK = Setting((Message(role="user", content="Hi"), Message(role="assistant", content="Hello.")))
OPEN = Setting((Message(role="user", content="Cancel it"), Message(role="assistant", content="Which order is it?")))
CALL = ToolCall(function=Function(name="query_order_status", arguments={}))
WAITING = Setting((Message(role="user", content="x"), Message(role="assistant", tool_calls=(CALL,))))


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("How do I return an item?", None),
        ("怎么退货？", None),
        ("收到货后7天内可以退吗？", None),
        ("Where is order 123456?", "number"),
        ("查一下SF1390038650214", "number"),
        ("I paid 15 yuan for the return, who pays?", "amount"),
        ("我退货垫了15块邮费", "amount"),
        ("it costs ￥20", "amount"),
        ("I bought it on 2 May, is it covered?", None),
        ("I bought it in March, is it covered?", "date"),
        ("3月3号买的能开票吗", "date"),
        ("My parcel came on Friday, can I return it?", "date"),
        ("昨天的快递还没到", "date"),
        ("write to ann@example.com about returns", "personal_data"),
        ("how " * 200, "long"),
    ],
)
def test_a_first_question(question: str, reason: str | None) -> None:
    assert bypass(question, Setting()) == reason


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("How do I return an item?", None),
        ("And how do I return it?", "depends"),
        ("what about refunds", "depends"),
        ("退款多久到账？", None),
        ("那退款呢？", "depends"),
        ("它能退吗", "depends"),
    ],
)
def test_a_later_question(question: str, reason: str | None) -> None:
    assert bypass(question, TALK) == reason


@pytest.mark.parametrize("setting", [OPEN, WAITING])
def test_while_the_agent_waits_for_something(setting: Setting) -> None:
    assert bypass("How do I return an item?", setting) == "open_flow"
