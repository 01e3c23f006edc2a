"""What the server itself says to customers, in their language: questions before a write, outcomes, refusals.

Whether something was done is never worded by a model. Not covered: FAQ answers (`faq.yaml`) and what the model may
say.
"""

import re

from data.schema import Language

# Why a tool did not do what was asked; `serving.orders.Refused` carries the key. Each is true whenever it is said: a write
# that is refused has changed nothing.
REASONS: dict[str, dict[Language, str]] = {
    "no_such_order": {
        "en": "I cannot find an order with this number in your account. Please check the number.",
        "zh": "在您的账户里没有找到这个订单号，请核对一下。",
    },
    "too_late": {
        "en": "This order can no longer be changed: it was shipped, delivered or cancelled. Nothing was changed.",
        "zh": "这个订单已发货、已签收或已取消，不能再修改，没有做任何改动。",
    },
    "bad_address": {
        "en": "Please give me the full new address (at most 300 characters). Nothing was changed.",
        "zh": "请提供完整的新地址（不超过300字）。没有做任何改动。",
    },
    "already_cancelled": {
        "en": "This order is cancelled, so there is nothing to do for it. Nothing was changed.",
        "zh": "这个订单已经是取消状态，无需再办理，没有做任何改动。",
    },
    "too_late_to_cancel": {
        "en": "This order is shipped or delivered and can no longer be cancelled. Nothing was changed. "
        "Once the parcel is with you, you can return it.",
        "zh": "这个订单已发货或已签收，不能再取消，没有做任何改动。收到货后可以申请退货。",
    },
    "not_shipped": {
        "en": "This order is not shipped yet, so there is no parcel to track.",
        "zh": "这个订单还没有发货，暂时没有物流信息。",
    },
    "not_delivered": {
        "en": "A return can only be opened for an order that was delivered, and this one was not. Nothing was changed.",
        "zh": "只有签收后的订单才能申请退货，这个订单还没有签收，没有做任何改动。",
    },
    "already_returned": {
        "en": "There is a return for this order already. Nothing was changed.",
        "zh": "这个订单已经有退货申请，没有重复登记，也没有做任何改动。",
    },
    "too_late_to_return": {
        "en": "This order arrived more than 7 days ago, which is too late for a return. Nothing was changed. "
        "If the goods are faulty, ask me for a human agent.",
        "zh": "这个订单签收已超过7天，不能再申请退货，没有做任何改动。如果是质量问题，可以让我为您转接人工客服。",
    },
    "bad_reason": {
        "en": "Please tell me why you return it (at most 200 characters). Nothing was changed.",
        "zh": "请说明退货原因（不超过200字）。没有做任何改动。",
    },
    "no_refund": {
        "en": "There is no refund for this order.",
        "zh": "这个订单没有退款记录。",
    },
    "already_invoiced": {
        "en": "There is an invoice for this order already. Nothing was changed. "
        "If it must be corrected, ask me for a human agent.",
        "zh": "这个订单已经有发票申请，没有做任何改动。如需更正，可以让我为您转接人工客服。",
    },
    "nothing_paid": {
        "en": "I see no payment for this order, so there is nothing to invoice. Nothing was changed.",
        "zh": "没有查到这个订单的付款记录，不能开发票，没有做任何改动。",
    },
    "bad_title": {
        "en": "Please tell me whom the invoice is made out to (at most 100 characters). Nothing was changed.",
        "zh": "请提供发票抬头（不超过100字）。没有做任何改动。",
    },
    "already_waiting": {
        "en": "You are in the queue for a human agent already; a colleague will take over as soon as one is free.",
        "zh": "您已经在人工客服的队列中，客服空闲后会尽快联系您。",
    },
    "bad_summary": {
        "en": "Please tell me in a few words what our colleague should help with (at most 500 characters).",
        "zh": "请简单说明需要人工客服帮什么忙（不超过500字）。",
    },
    "sign_in": {
        "en": "Please sign in first: I can only look things up or change them for a signed-in customer.",
        "zh": "请先登录：登录后我才能为您查询或办理。",
    },
    "gone": {
        "en": "There is no change waiting for this confirmation: it has expired, was replaced, or the code is wrong. "
        "Nothing was changed. If you still want it, please ask again.",
        "zh": "没有等待这个确认的操作：可能已过期、已作废，或确认码不对。没有做任何改动；如仍需要，请再说一次。",
    },
    "failed": {
        "en": "Something went wrong on our side and nothing was changed. Please try again in a moment.",
        "zh": "系统出了点问题，没有做任何改动，请稍后再试。",
    },
    "too_slow": {
        "en": "This takes longer than it should, so I stopped and nothing was changed. Please try again in a moment.",
        "zh": "处理时间过长，已经停止，没有做任何改动，请稍后再试。",
    },
    "unknown": {
        "en": "I could not see whether this went through. Please send the same confirmation again: "
        "it happens once at most, and I will tell you how it ended.",
        "zh": "暂时无法确认是否办理成功。请再发送一次同样的确认：最多只会办理一次，我会告诉您结果。",
    },
}
_QUESTION: dict[Language, str] = {
    "en": "Please confirm: {what}\n"
    "Nothing has been changed yet. Reply “confirm {code}” within {minutes} minutes to go ahead.",
    "zh": "请确认：{what}\n目前还没有做任何改动。请在{minutes}分钟内回复“确认 {code}”，我就为您办理。",
}
_CODE = re.compile(r"(?:“confirm |“确认 )(\d{4})”[^\n]*\Z")
_WITHHELD: dict[Language, str] = {
    "en": "I have not changed anything in this reply; changes only happen after you confirm them here.",
    "zh": "这次回复没有做任何改动；所有改动都要在您确认之后才会进行。",
}
_NO_ANSWER: dict[Language, str] = {
    "en": "Sorry, I could not find an answer to that. Could you put it another way, or ask for a human agent?",
    "zh": "抱歉，我没能回答好这个问题。您可以换个说法，或者让我为您转接人工客服。",
}


def question(what: str, code: str, lifetime_s: float, language: Language) -> str:
    """What the customer is asked before a write: the exact change, the code, how long it stands."""
    return _QUESTION[language].format(what=what, code=code, minutes=max(1, int(lifetime_s // 60)))


def asked_code(answer: str) -> str | None:
    """The code of the question that an answer of ours ends with, if it is one."""
    found = _CODE.search(answer)
    return found.group(1) if found else None


def reason(key: str, language: Language) -> str:
    """The words for a refusal; an unknown key is told as a failure of ours."""
    return REASONS.get(key, REASONS["failed"])[language]


def withheld(language: Language) -> str:
    """What stands in place of a model's claim that something was done."""
    return _WITHHELD[language]


def no_answer(language: Language) -> str:
    """What is said when the model produced nothing that can be said."""
    return _NO_ANSWER[language]
