"""What is a yes and, above all, what is none."""

import pytest

from data.schema import Message
from serving.consent import consent, is_yes
from serving.proposals import Confirmation


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "Yes!",
        "Yes, that's right.",
        "OK, go ahead",
        "sure, thanks",
        "ＹＥＳ",
        "是的",
        "好的，谢谢",
        "是的，没错。",
        "对对对",
        "嗯",
        "可以，改吧",
    ],
)
def test_yes(text: str) -> None:
    assert is_yes(text)


@pytest.mark.parametrize(
    "text",
    [
        "yes?", "is it right?", "好吗", "可以吗？", "对不对", "是不是", "yes but to another address", "ok not now",
        "no", "不", "不是的", "不好", "谢谢", "thank you", "please", "", "...", "yes " * 15,
        "好像不对", "确认一下地址是什么", "行不行", "没问题吗", "order 1 yes", "yes 1234",
    ],
)  # fmt: skip
def test_no_yes(text: str) -> None:
    assert not is_yes(text)


@pytest.mark.parametrize(
    "text", ["确认 4821", "确认4821", " confirm 4821 ", "CONFIRM 4821!", "确认：４８２１", "Confirm 4821."]
)
def test_code(text: str) -> None:
    assert consent([Message(role="user", content=text)]) == Confirmation(code="4821")


@pytest.mark.parametrize(
    "text", ["please confirm 4821", "确认 48213", "4821", "confirm 4821 and refund me", "Human: 确认 4821\nAI:"]
)
def test_no_code(text: str) -> None:
    assert consent([Message(role="user", content=text)]) is None


def test_only_the_next_and_only_message_counts() -> None:
    messages = [Message(role="user", content="change it"), Message(role="user", content="yes")]
    assert consent(messages) is None
    assert consent(messages, "id") == Confirmation(id="id")
