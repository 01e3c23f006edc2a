"""Claims of writes are held back; what is no claim passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import wording
from serving.claims import checked, claims_write, sentences


@pytest.mark.parametrize(
    "sentence",
    [
        "I have updated your address.",
        "I've changed the delivery address for you.",
        "We have successfully cancelled your order.",
        "Your address has been updated.",
        "The delivery address was changed to 1 Main Street.",
        "Successfully updated!",
        "Done!",
        "All set.",
        "I just submitted your return request.",
        "Great news, your delivery address has now been changed.",
        "It now ships to 1 Main Street.",
        "I have updated your address so that you can relax.",
        "您的地址已经修改好了可以放心。",
        "已为您修改收货地址。",
        "已经帮您把订单123456的地址改为北京路1号。",
        "我已经取消了您的订单。",
        "收货地址已更新。",
        "地址已修改成功！",
        "帮您改好了。",
        "修改成功。",
        "已完成",
        "您的收货地址已成功变更为北京路1号。",
        "我已为您提交退款申请。",
    ],
)
def test_claims(sentence: str) -> None:
    assert claims_write(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Your order has been shipped with SF Express.",
        "Your order has been packed and ships today.",
        "I can change the address before the order ships.",
        "Once the address has been changed, you will get a message.",
        "I will tell you once I have updated it.",
        "Would you like me to update your address?",
        "I have not changed anything yet.",
        "Please give me the new address.",
        "I found your order 123456.",
        "Refunds take 3-5 working days.",
        "The order is already cancelled.",
        "您的订单已发货。",
        "您的订单已打包，预计今天发出。",
        "我可以帮您修改地址。",
        "请提供新的收货地址。",
        "如果地址已修改，您会收到短信。",
        "订单发货后不能修改地址。",
        "需要我为您取消订单吗？",
        "我还没有修改地址。",
        "该订单已取消。",
        "退款一般3-5个工作日到账。",
    ],
)
def test_no_claims(sentence: str) -> None:
    assert not claims_write(sentence)


def test_the_first_claim_gives_way_to_the_servers_words_and_all_are_counted() -> None:
    told = checked("Sure. I have updated it. Done! Bye.", "en")
    assert told.text == f"Sure. {wording.withheld('en')} Bye." and told.withheld == 2
    assert checked("好的。已为您修改地址。", "zh").text == f"好的。{wording.withheld('zh')}"


@given(st.text(alphabet="ab 1.。!！?\n；", max_size=60))
def test_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text
    assert checked(text, "en").text == text


def test_the_servers_own_words_are_never_taken_for_a_claim() -> None:
    for language in ("en", "zh"):
        for words in (wording.withheld(language), wording.no_answer(language)):
            assert not any(claims_write(sentence) for sentence in sentences(words))
