"""What an answer says, held against what it could know: claims without a source, its language, promises, its length; and
marks of thinking or of the template that must never be in it.

A claim is a number, a date or a state of an order ("shipped"). It is grounded where a source has the same one: a tool's
result, an FAQ answer, the customer's own words. Patterns in two languages; not covered: numbers in words ("two days"),
claims of other kinds, claims of writes (`serving/claims.py` keeps those from leaving).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from data.chat import END_OF_TURN, SPECIAL_TOKENS, THINK_CLOSE, THINK_OPEN, language_of
from data.schema import Language, Strict
from evals.predict import ToolPrediction

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (  # with a capital: "may" is a verb too
    r"(?P<name>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<!\d)(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)",
        r"(?:(?P<year>\d{4})\s*年\s*)?(?<!\d)(?P<month>\d{1,2})\s*月\s*(?P<day>\d{1,2})\s*[日号]",
        rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(?P<year>\d{{4}}))?\b",
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>\d{{4}}))?\b",
    )
)
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_LIST_MARK = re.compile(r"^\s*\d{1,2}[.)、]\s*(?=\D)", re.MULTILINE)
_STATES = {
    "paid": re.compile(r"\bpaid\b|已(?:付款|支付)", re.IGNORECASE),
    "packed": re.compile(r"\bpacked\b|已(?:打包|配货)", re.IGNORECASE),
    "shipped": re.compile(
        r"\b(?:shipped|dispatched|in transit|on its way)\b|已(?:发货|寄出)|运输中|在途", re.IGNORECASE
    ),
    "delivered": re.compile(r"\b(?:delivered|arrived)\b|已(?:签收|送达|妥投)", re.IGNORECASE),
    "cancelled": re.compile(r"\bcancell?ed\b|已取消", re.IGNORECASE),
    "refunded": re.compile(r"\brefunded\b|已退款", re.IGNORECASE),
}
# What makes a state no claim: a condition, a denial, a plan, a question
_OPEN = re.compile(
    r"\b(?:if|once|when|after|before|until|unless|whether|not|never|will|would|can|could|may|might|must|be|is it|has it)\b"
    r"|n['’]t\b|\?"
    r"|如果|若|一旦|之?后|以?前|是否|可以|能否|需要|将|会|未|没|不|吗|？",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"(?<=[.!?;,。！？；，\n])\s*")
_PROMISE = re.compile(
    r"\b(?:i|we)(?:\s+(?:can|do|will)|['’]ll)?\s+(?:personally\s+)?(?:guarantee|promise)\b"
    r"|\b(?:is|are|it['’]s)\s+(?:fully\s+|absolutely\s+)?guaranteed\b"
    r"|\b(?:definitely|certainly|absolutely|surely)\s+(?:arrive|be\s+(?:there|delivered|refunded|approved)|get\b)"
    r"|\b(?:i|we)(?:\s+will|['’]ll)\s+(?:fully\s+)?compensate\b"
    r"|(?:我|我们|小客|这边)?(?:向您|给您)?(?:保证|承诺|担保)(?!金|书)|(?:一定|肯定|绝对|必定)(?:会|能|可以)?(?:到|送达|退|赔|补偿|通过|解决)"
    r"|百分之百|包您满意|(?:赔偿|补偿)您",
    re.IGNORECASE,
)
_NO_PROMISE = re.compile(r"\b(?:not|cannot|never|no)\b|n['’]t\b|不|无法|没|未", re.IGNORECASE)
_MARKS = tuple(m for m in (*SPECIAL_TOKENS, END_OF_TURN, "<|im_start|>") if m not in (THINK_OPEN, THINK_CLOSE))


class Answer(NamedTuple):
    """One text of the agent, the customer's language, and all that it could know. An empty text is a wrong answer."""

    text: str
    language: Language
    sources: tuple[str, ...]


class AnswerFigures(Strict):
    """Counts over some answers; lengths in characters."""

    answers: int
    empty: int
    claims: int
    unsupported: int  # claims
    ungrounded: int  # answers with an unsupported claim
    in_language: int  # answers in the customer's language; an empty one is in none
    promises: int
    length_median: float
    length_longest: int
    examples: tuple[str, ...] = ()  # unsupported claims, each with its answer

    def numbers(self) -> dict[str, float]:
        """All figures but the examples."""
        return self.model_dump(exclude={"examples"})


def answer_figures(answers: Sequence[Answer], shown: int = 5) -> AnswerFigures:
    """The figures of some answers, with up to `shown` examples."""
    import statistics

    said = [claims(answer.text) for answer in answers]
    without = [unsupported(answer.text, answer.sources) for answer in answers]
    lengths = [len(answer.text.strip()) for answer in answers]
    examples = [f"{', '.join(found)}: {a.text.strip()}" for a, found in zip(answers, without, strict=True) if found]
    return AnswerFigures(
        answers=len(answers),
        empty=lengths.count(0),
        claims=sum(map(len, said)),
        unsupported=sum(map(len, without)),
        ungrounded=sum(bool(found) for found in without),
        in_language=sum(bool(a.text.strip()) and language_of(a.text) == a.language for a in answers),
        promises=sum(promises(answer.text) for answer in answers),
        length_median=float(statistics.median(lengths)) if lengths else 0.0,
        length_longest=max(lengths, default=0),
        examples=tuple(examples[:shown]),
    )


def answers_of(predictions: Iterable[ToolPrediction], facts: Sequence[str] = ()) -> list[Answer]:
    """The texts of those tool cases in which no call was made, unusable ones as empty. Their sources are the tools'
    results, the customer's words and `facts` (the FAQ's answers, say)."""
    found = []
    for prediction in predictions:
        if prediction.calls or prediction.unfinished:
            continue
        told = tuple(m.content for m in prediction.case.messages if m.role in ("tool", "user"))
        text = prediction.raw if prediction.error is None else ""
        found.append(Answer(text, prediction.language, (*told, *facts)))
    return found


def claims(text: str) -> list[str]:
    """The dates, numbers and states that a text asserts, each once, in one spelling: `3-5`, `2026-3-5`, `59.9`, `shipped`."""
    folded = unicodedata.normalize("NFKC", text)
    dates, rest = _dates(_LIST_MARK.sub("", folded))
    states = [name for name, state in _STATES.items() for clause in _CLAUSE.split(folded) if _asserts(clause, state)]
    return list(dict.fromkeys([*dates, *_numbers(rest), *states]))


def unsupported(text: str, sources: Iterable[str]) -> list[str]:
    """The claims of a text that no source has. A date without a year is supported by that day of any year, and a date's
    own numbers support numbers ("on the 5th")."""
    known: set[str] = set()
    for source in sources:
        folded = unicodedata.normalize("NFKC", source)
        dates, _ = _dates(folded)
        known |= {*dates, *(date.split("-", 1)[1] for date in dates if date.count("-") == 2), *_numbers(folded)}
        known |= {part for date in dates for part in date.split("-")}
        known |= {name for name, state in _STATES.items() if state.search(folded)}
    return [claim for claim in claims(text) if claim not in known]


def promises(text: str) -> bool:
    """Whether a text promises what no shop can: a guaranteed outcome or time, a compensation. A denial is none."""
    folded = unicodedata.normalize("NFKC", text)
    return any(
        not _NO_PROMISE.search(clause, 0, found.start())
        for clause in _CLAUSE.split(folded)
        for found in _PROMISE.finditer(clause)
    )


def thinks(text: str, reasoning: str) -> bool:
    """Whether an answer with thinking off carries thinking all the same: in its own field, or as a mark in the text."""
    return bool(reasoning.strip()) or THINK_OPEN in text or THINK_CLOSE in text


def separated(text: str, reasoning: str) -> bool:
    """Whether an answer with thinking on has thought, has closed its thinking, and keeps it out of a text that is there."""
    return bool(reasoning.strip()) and bool(text.strip()) and THINK_OPEN not in text and THINK_CLOSE not in text


def marked(text: str) -> bool:
    """Whether a mark of the template, such as `<tool_call>`, is in a text."""
    return any(mark in text for mark in _MARKS)


def _dates(text: str) -> tuple[list[str], str]:
    """The dates as [YEAR-]MONTH-DAY without leading zeros, and the text without them."""
    found = []

    def take(match: re.Match[str]) -> str:
        parts = match.groupdict()
        month = int(parts["month"]) if parts.get("month") else _MONTHS.index(parts["name"][:3].lower()) + 1
        year = f"{int(parts['year'])}-" if parts["year"] else ""
        found.append(f"{year}{month}-{int(parts['day'])}")
        return " "

    for pattern in _DATES:
        text = pattern.sub(take, text)
    return found, text


def _numbers(text: str) -> list[str]:
    """The numbers as plain decimals: 1,299.00 is 1299."""
    return [f"{Decimal(n.replace(',', '')).normalize():f}" for n in _NUMBER.findall(text)]


def _asserts(clause: str, state: re.Pattern[str]) -> bool:
    found = state.search(clause)
    return found is not None and not _OPEN.search(clause)
