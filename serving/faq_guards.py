"""What no approved answer may be sent to by likeness: questions about one customer's own case, and questions that only
the conversation explains.

Deliberately rough, on the side of asking the model. Not covered: differences between two questions
(`serving/faq_evidence.py`).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from data.pii import find
from data.schema import Message

Reason = Literal["number", "amount", "date", "personal_data", "long", "open_flow", "depends"]
MAX_CHARACTERS = 300  # longer ones tell a story
_AMOUNT = re.compile(
    r"(?:[¥￥$€]|rmb|cny)\s*\d|\d+(?:\.\d+)?\s*(?:yuan|rmb|cny|dollars?|块|元|毛|角|%|％)", re.IGNORECASE
)
_NUMBER = re.compile(r"\d{4,}|[a-z]{1,4}\d{2,}", re.IGNORECASE)
_DATE = re.compile(
    r"\d+\s*[月号日](?!元)|\d{1,4}[-/.]\d{1,2}(?:[-/.]\d{1,4})?|\b\d{1,2}(?:st|nd|rd|th)\b|\d{1,2}[:：点时]\d{2}"
    r"|\b(?:january|february|march|april|june|july|august|september|october|november|december)\b"
    r"|\b(?:yesterday|today|tonight|(?:mon|tues|wednes|thurs|fri)day)\b"
    r"|昨天|今天|今早|今晚|前天|星期[一二三四五]|周[一二三四五](?!到)",
    re.IGNORECASE,
)
_LEANS = re.compile(
    r"\b(?:it|that|this|these|those|they|them|one|ones|he|she|there|then|also|too|same|again|instead|both|either)\b"
    r"|^(?:and|or|but|so|what about|how about|what if)\b"
    r"|^(?:那|这|它|他|她|还|也|再|又|然后|如果|要是)|[那这][个些样么种边]?|它们?|呢[?？]?$|刚才|上面|前面|另外|其他|同样",
    re.IGNORECASE,
)
_ASKS_BACK = re.compile(r"[?？]\W*$")


@dataclass(frozen=True)
class Setting:
    """Where in a conversation a question stands: what was said before it, oldest first."""

    earlier: Sequence[Message] = ()

    @property
    def open_flow(self) -> bool:
        """Whether the agent is waiting for something: it asked back, or a call of its has no answer in words yet."""
        last = next((message for message in reversed(self.earlier) if message.role != "user"), None)
        return last is not None and (last.role == "tool" or bool(last.tool_calls) or _asks_back(last.content))


def bypass(question: str, setting: Setting) -> Reason | None:
    """Why a question must not be answered by likeness, or None."""
    text = unicodedata.normalize("NFKC", question).strip()
    if setting.open_flow:
        return "open_flow"
    if len(text) > MAX_CHARACTERS:
        return "long"
    if _AMOUNT.search(text):
        return "amount"
    if _DATE.search(text):
        return "date"
    if _NUMBER.search(text):
        return "number"
    if find(text):
        return "personal_data"
    if setting.earlier and _LEANS.search(text):
        return "depends"
    return None


def _asks_back(text: str) -> bool:
    return bool(_ASKS_BACK.search(text))
