"""What counts as a customer's yes: a code in a fixed form, or a whole message made of phrases of a closed list.

A question, a condition or anything more than a yes is no yes. Not covered: where a proposal comes from, what it does.
"""

import re
import unicodedata
from collections.abc import Sequence

from data.schema import Message
from serving.proposals import Confirmation

_CODE = re.compile(r"(?:确认|confirm)\s*[:：]?\s*([0-9]{4})", re.IGNORECASE)
_PUNCTUATION = re.compile(r"[\s,.!，。！、~～;；:：'’\"“”-]+")
_MAX_YES = 40  # characters
_YES = (
    "yes", "y", "yep", "yeah", "yup", "ok", "okay", "sure", "please", "confirm", "confirmed", "i confirm", "correct",
    "right", "thats right", "that is right", "thats correct", "that is correct", "exactly", "absolutely", "go ahead",
    "please do", "do it", "sounds good", "looks good", "perfect", "of course", "definitely", "thanks", "thank you",
    "是", "是的", "对", "对的", "嗯", "好", "好的", "好啊", "好呀", "好哒", "可以", "可以的", "行", "行的", "没错",
    "没问题", "确认", "我确认", "确认修改", "确定", "同意", "就这样", "就这个", "正确", "当然", "改吧", "请改",
    "请修改", "修改吧", "请办理", "办理吧", "麻烦了", "麻烦你了", "麻烦您了", "谢谢",
)  # fmt: skip
_COURTESIES = frozenset(
    {"please", "thanks", "thankyou", "谢谢", "麻烦了", "麻烦你了", "麻烦您了"}
)  # no yes by themselves
_PHRASES = frozenset(phrase.replace(" ", "") for phrase in _YES)


def consent(messages: Sequence[Message], confirmation_id: str | None = None) -> Confirmation | None:
    """What the customer's new messages confirm, if anything: a code or a yes must be all that was said."""
    if confirmation_id is not None:
        return Confirmation(id=confirmation_id)
    if len(messages) != 1:
        return None
    text = unicodedata.normalize("NFKC", messages[0].content).strip()
    code = _CODE.fullmatch(text.rstrip(".!。！ "))
    if code:
        return Confirmation(code=code.group(1))
    return Confirmation() if is_yes(text) else None


def is_yes(text: str) -> bool:
    """Whether a whole message is nothing but phrases of the closed list, at least one of which is a yes by itself."""
    words = _PUNCTUATION.sub("", unicodedata.normalize("NFKC", text).casefold())
    if not 0 < len(words) <= _MAX_YES:
        return False
    reached = {0: False}  # position up to which phrases fit -> whether one of them is a real yes
    for start in range(len(words)):
        if start not in reached:
            continue
        for phrase in _PHRASES:
            if words.startswith(phrase, start):
                end = start + len(phrase)
                reached[end] = reached.get(end, False) or reached[start] or phrase not in _COURTESIES
    return reached.get(len(words), False)
