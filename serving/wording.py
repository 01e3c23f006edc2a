"""What the server itself says to customers, in their language: questions before a write, outcomes, refusals.

Whether something was done is never worded by a model. Not covered: FAQ answers (`faq.yaml`) and what the model may
say.
"""

from data.schema import Language

# Why a tool did not do what was asked; `serving.orders.Refused` carries the key.
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
    "sign_in": {
        "en": "Please sign in first: I can only look at or change orders of a signed-in customer.",
        "zh": "请先登录：登录后我才能查询或修改您的订单。",
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
}
_QUESTION: dict[Language, str] = {
    "en": "Please confirm: {what}\n"
    "Nothing has been changed yet. Reply “confirm {code}” within {minutes} minutes to go ahead.",
    "zh": "请确认：{what}\n目前还没有做任何改动。请在{minutes}分钟内回复“确认 {code}”，我就为您办理。",
}
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


def reason(key: str, language: Language) -> str:
    """The words for a refusal; an unknown key is told as a failure of ours."""
    return REASONS.get(key, REASONS["failed"])[language]


def withheld(language: Language) -> str:
    """What stands in place of a model's claim that something was done."""
    return _WITHHELD[language]


def no_answer(language: Language) -> str:
    """What is said when the model produced nothing that can be said."""
    return _NO_ANSWER[language]
