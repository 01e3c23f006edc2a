"""Whether the model thinks before it answers: as the caller says, or, on `auto`, by a rule over the question.

The rule gives points for what answers without thinking get wrong: sums, spans of dates, several conditions, a comparison,
length, several questions at once; and for intents that come with sums, against those that never do. It is measured on
`tests/serving/thinking_cases.jsonl`. Not covered: what the thinking says.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["off", "on", "auto"]
Reason = Literal["asked", "arithmetic", "dates", "conditions", "comparison", "length", "questions", "intent"]

ENOUGH = 2  # points from which thinking pays
LONG = 60  # words; a Chinese character is about 0.6 of one
SHARES: Mapping[str, float] = {"none": 0.0, "minimal": 0.0, "low": 0.25, "medium": 0.5}  # of the budget, by effort
HARD_INTENTS = frozenset({"billing_inquiry", "coupon_promotion", "return_policy", "membership_points"})
EASY_INTENTS = frozenset({"human_agent", "account_access", "order_status", "delivery_tracking", "out_of_scope"})

# Numbers to reckon with: order and phone numbers, identifiers and sizes such as 65W are none.
_TOKEN = re.compile(r"[A-Za-z0-9_.,-]*\d[A-Za-z0-9_.,-]*")
_NUMBER = re.compile(r"\d{1,5}(?:\.\d+)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_HALVES = re.compile(
    r"\bhalf (?:price|off)\b|\b(?:two|three|four|five|six) of them\b"
    r"|半价|[一二三四五六七八九]折|第[二三]件|[两二三]个|[两三]件",
    re.IGNORECASE,
)
_OPERATION = re.compile(r"\d\s*[*×x+÷]\s*\d|\d\s*%|满\s*\d+\s*减\s*\d+|\b\d+ off\b", re.IGNORECASE)
_AMOUNT = re.compile(
    r"\bhow much\b|\btotal\b|\bdifference\b|\beach\b|\bsum\b|\bleft to pay\b|\binstal?lments?\b|\bcharged\b|\brefund(?:ed)?\b"
    r"|\bcosts?\b|\bover \d+|\bpoints\b"
    r"|多少钱?|一共|合计|总共|差价|分\s*\d+\s*期|每[件期个月]|积分|扣了?我|退了?我|包邮",
    re.IGNORECASE,
)
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DATE = re.compile(
    rf"\b\d{{4}}-\d\d?-\d\d?\b|\b\d\d?\s+(?:{_MONTHS})\b|\b(?:{_MONTHS})\s+\d\d?\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\blast week\b"
    r"|\b\d+\s+(?:working\s+|business\s+)?(?:days|weeks|months)\b"
    r"|\d{4}年|\d+月\d+[日号]|周[一二三四五六日末]|上周|\d+\s*个?(?:工作日|天|个月|周)|[一二两三]年",
    re.IGNORECASE,
)
_DEADLINE = re.compile(
    r"\bwithin\b|\bbefore\b|\bstill\b|\bin time\b|\bcovered\b|\bdeadline\b|\bby\b|\bafter\b"
    r"|还在|之前|以前|来得及|期内|过期|还能|保修|超过",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\bif\b|\bunless\b|\botherwise\b|\bprovided\b|\bbut\b|\beither\b|\bwould rather\b"
    r"|如果|要是|除非|否则|但是?|的话|只要|假如|必须",
    re.IGNORECASE,
)
_COMPARISON = re.compile(
    r"\b(?:cheaper|better|best|worse|more expensive|compare|versus|which of)\b|\bcorrectly\?|\bis that right\b"
    r"|划算|哪个更|更便宜|对比|比较",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u4e00-\u9fff]")
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class Thinking:
    """What a caller wants: whether to think, and at most how many tokens (None: the release's own budget)."""

    mode: Mode = "off"
    budget: int | None = None
    share: float = 1.0  # of the release's budget

    def tokens(self, most: int) -> int:
        """The budget under a release whose own is `most`."""
        return max(1, min(self.budget or most, int(most * self.share)))

    def decide(self, text: str, intent: str | None = None) -> "Decision":
        """Whether to think about this message of a customer."""
        if self.mode == "auto":
            return judged(text, intent)
        return Decision(True, ("asked",)) if self.mode == "on" else Decision(False)


OFF = Thinking()


@dataclass(frozen=True)
class Decision:
    """Whether the model thinks, and what spoke for it."""

    think: bool
    reasons: tuple[Reason, ...] = ()


def judged(text: str, intent: str | None = None) -> Decision:
    """The rule of `auto` over a customer's message and, where it is known, its intent."""
    points: dict[Reason, int] = {**_points(text), "intent": int(intent in HARD_INTENTS) - int(intent in EASY_INTENTS)}
    if sum(points.values()) < ENOUGH:
        return Decision(False)
    return Decision(True, tuple(reason for reason, found in points.items() if found > 0))


def intent_decides(text: str) -> bool:
    """Whether the intent could turn the rule's decision about this message, so that it is worth asking for first."""
    return sum(_points(text).values()) in (ENOUGH - 1, ENOUGH)


def _points(text: str) -> dict[Reason, int]:
    return {
        "arithmetic": _arithmetic(text),
        "dates": _dates(text),
        "conditions": min(len(_CONDITION.findall(text)), 2),
        "comparison": int(bool(_COMPARISON.search(text))),
        "length": int(len(_WORD.findall(text)) + 0.6 * len(_HAN.findall(text)) > LONG),
        "questions": int(len(re.findall("[?？]", text)) > 2),
    }


def _arithmetic(text: str) -> int:
    """Two points for a question of amounts over several numbers, one for several numbers without it."""
    tokens = (token.strip(".,-") for token in _TOKEN.findall(_DATE.sub(" ", text)))
    numbers = sum(bool(_NUMBER.fullmatch(token)) for token in tokens) + len(_HALVES.findall(text))
    if numbers > 1 and (_AMOUNT.search(text) or _OPERATION.search(text)):
        return 2
    return int(numbers > 2)


def _dates(text: str) -> int:
    dates = len(_DATE.findall(text))
    return 2 if dates > 1 and _DEADLINE.search(text) else int(dates > 1)
