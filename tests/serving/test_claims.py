"""Claims of writes are held back; what is no claim passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schema import Language
from serving import wording
from serving.claims import Known, checked, claims_write, sentences
from serving.tool import Tool
from serving.toolset import TOOLS


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
        # the eight tools, said of the agent and of the thing
        "I have cancelled order 123456 for you.",
        "Your order has been cancelled.",
        "Order 123456 is now cancelled.",
        "Your cancellation request has been submitted.",
        "I'm cancelling your order now.",
        "Cancelled!",
        "I've opened a return for you.",
        "Your return for order 31870 has been registered.",
        "A return label has been created.",
        "We have issued your refund.",
        "Your refund has been processed.",
        "The money has been refunded to your card.",
        "Your refund is on its way.",
        "I have requested the invoice for you.",
        "The invoice has been sent to your email.",
        "I've just emailed you the invoice.",
        "I have transferred you to a human agent.",
        "You are being transferred to a colleague.",
        "I am connecting you to a specialist now.",
        "A colleague will contact you shortly.",
        "Your case has been escalated.",
        "I have notified the warehouse.",
        "您的订单已取消。",
        "订单123456已成功取消！",
        "已帮您取消该订单。",
        "正在为您取消订单。",
        "退货申请已提交。",
        "您的退货已经登记好，请寄回商品。",
        "已为您申请退货。",
        "退款已原路退回。",
        "您的款项已经退回。",
        "退款申请已受理。",
        "发票已开具。",
        "已为您申请开票。",
        "电子发票已经发送到您的邮箱。",
        "已为您转接人工客服。",
        "正在为您转接人工客服。",
        "专员稍后会联系您。",
        "已通知仓库同事。",
        "取消成功。",
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
        "An order can be cancelled before it ships.",
        "If you return it, your refund has been paid within 7 days.",
        "Once your return has been registered, we send a label.",
        "Refunds are issued within 7 days.",
        "Would you like me to cancel order 123456?",
        "I cannot cancel an order that was shipped.",
        "Do you want to talk to a human agent?",
        "If you ask for one, a colleague will contact you.",
        "You can request an invoice for this order.",
        "Your parcel was delivered yesterday.",
        "We opened a new shop in Hangzhou.",
        "您的订单已发货。",
        "您的订单已打包，预计今天发出。",
        "我可以帮您修改地址。",
        "请提供新的收货地址。",
        "如果地址已修改，您会收到短信。",
        "订单发货后不能修改地址。",
        "需要我为您取消订单吗？",
        "我还没有修改地址。",
        "退款一般3-5个工作日到账。",
        "发货前可以取消订单。",
        "签收后7天内可以申请退货。",
        "需要为您转接人工客服吗？",
        "我还没有为您取消订单。",
        "您可以申请开具电子发票。",
        "已为您查到订单，目前已打包。",
        "如果订单已取消，退款会在7天内到账。",
        "您的包裹已签收。",
        "要我现在为您转接吗？",
    ],
)
def test_no_claims(sentence: str) -> None:
    assert not claims_write(sentence)


READ = Known.of([{"order_id": "640218", "status": "cancelled"}, {"order_id": "640218", "refunds": [{"state": "sent"}]}])
DONE = Known.of([], [("cancel_order", {"order_id": "123456"}), ("transfer_to_human", {"summary": "x"})])


@pytest.mark.parametrize(
    "sentence",
    [
        "Order 640218 is already cancelled.",
        "The order is already cancelled.",
        "该订单已取消。",
        "订单640218已取消，¥99.00的退款已到账。",
        "Your refund has been sent on 2026-11-25.",
        "退款已于2026年11月25日原路退回。",
    ],
)
def test_what_was_read_in_this_turn_may_be_said(sentence: str) -> None:
    assert claims_write(sentence) and not claims_write(sentence, READ)


@pytest.mark.parametrize(
    "sentence",
    ["Yes, order 123456 has been cancelled.", "订单123456已取消。", "You have been transferred to a colleague."],
)
def test_what_was_done_in_this_conversation_may_be_said_of_its_order(sentence: str) -> None:
    assert claims_write(sentence) and not claims_write(sentence, DONE)


@pytest.mark.parametrize(
    "sentence",
    [
        "Order 55821 has been cancelled.",  # another order
        "Orders 640218 and 55821 have both been updated, and order 55821 has been cancelled.",
        "I have cancelled order 640218.",  # not by the agent
        "已为您取消订单640218。",
        "Your invoice has been sent.",  # another outcome
        "Your return has been registered.",
    ],
)
def test_what_is_known_bears_out_nothing_else(sentence: str) -> None:
    assert claims_write(sentence, READ) and claims_write(sentence, DONE)


def test_what_was_done_is_not_said_of_an_order_that_is_not_named() -> None:
    assert claims_write("Your order has been cancelled.", DONE)


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.asks and tool.done], ids=lambda tool: tool.name)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_model_that_imitates_an_outcome_is_held_back(tool: Tool, language: Language) -> None:
    """The server's own words for what was done never pass as the model's."""
    fields = dict.fromkeys(("order_id", "new_addr", "reason", "title", "summary", "amount", "refund", "return_no"), "x")
    assert tool.done is not None
    assert checked(tool.done[language].format_map(fields), language).withheld


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
