"""What thinking buys and what memory holds: questions with answers that a rule checks, asked of the real endpoint.

A thinking question carries every rule that it needs, and its answer is a number, a day, or yes or no. A memory question asks
for what was told early, at once or after the window has moved on. Not covered: starting the endpoint (`pipelines/asking.py`).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import httpx
from pydantic import Field

from data.schema import Language, Strict, Text
from evals.answers import claims
from evals.customer import Exchange, ask
from evals.statistics import Accuracy

Mode = Literal["off", "on", "auto"]
Depth = Literal["at once", "after the window has moved on"]
NOTES: dict[Language, str] = {  # also keeps the FAQ from answering in the model's place
    "en": "Work the answer out from what the customer says. Say the result in one sentence.",
    "zh": "根据顾客说的内容算出答案，用一句话说出结果。",
}
# "auto" lets the endpoint decide, where it can
SWITCH: dict[Mode, dict[str, object]] = {
    "off": {"enable_thinking": False},
    "on": {"enable_thinking": True},
    "auto": {"enable_thinking": "auto"},
}
_VERDICTS = re.compile(
    r"(?P<no>\bno\b|\b(?:can)?not\b|n['’]t\b|不可以|不能|不行|不会|无法|不)|(?P<yes>\byes\b|可以|能|会|行)",
    re.IGNORECASE,
)


class Question(Strict):
    """One thinking question. `answer`: a plain number, a day as MONTH-DAY, or `yes` or `no`."""

    id: Text
    language: Language
    kind: Literal["sum", "date", "policy"]
    text: Text
    answer: Annotated[str, Field(pattern=r"^(?:\d+(?:\.\d+)?|\d{1,2}-\d{1,2}|yes|no)$")]


class Recall(Strict):
    """One memory question: what is told first, what is asked later, and the wordings of the answer."""

    id: Text
    language: Language
    tells: tuple[Text, ...] = Field(min_length=1)
    asks: Text
    answer: tuple[Text, ...] = Field(min_length=1)


class Reply(Strict):
    """A question asked in one way, and what came back."""

    id: str
    language: Language
    kind: str
    way: str  # a mode of thinking, or a depth of memory
    right: bool
    answer: str
    error: str | None = None
    tokens: int = 0

    @property
    def offered(self) -> bool:
        """Whether the endpoint knows this way of asking: it did not refuse the request."""
        return self.error is None or not self.error.startswith(("HTTP 400", "HTTP 422"))


class WayFigures(Accuracy):
    """All questions asked in one way. Tokens are those that the model wrote, thinking included."""

    kinds: dict[str, Accuracy]
    languages: dict[str, Accuracy]
    tokens: int
    tokens_each: float
    failed: int  # without a usable answer, which is wrong


def think(client: httpx.Client, question: Question, mode: Mode) -> Reply:
    """Asks a thinking question by itself."""
    said = ask(client, question.text, notes=NOTES[question.language], **SWITCH[mode])
    return _reply(question.id, question.language, question.kind, mode, said, says(question.answer, said.answer))


def recall(client: httpx.Client, question: Recall, between: Sequence[str], conversation: str, depth: Depth) -> Reply:
    """Tells, talks of other things, and asks, all in one conversation."""
    exchanges = [ask(client, text, conversation_id=conversation) for text in (*question.tells, *between)]
    lost = next((x for x in exchanges if x.error is not None), None)
    said = lost or ask(client, question.asks, conversation_id=conversation)
    answer = _plain(said.answer)
    right = lost is None and any(_plain(wording) in answer for wording in question.answer)
    return _reply(question.id, question.language, "memory", depth, said, right)


def says(answer: str, text: str) -> bool:
    """Whether a text gives this answer: the number or the day is in it, of yes and no it says this one first."""
    if answer in ("yes", "no"):
        found = _VERDICTS.search(unicodedata.normalize("NFKC", text))
        return found is not None and found.lastgroup == answer
    return any(claim == answer or ("-" in answer and claim.endswith(f"-{answer}")) for claim in claims(text))


def way_figures(replies: Sequence[Reply]) -> Mapping[str, WayFigures]:
    """The figures of each way in which questions were asked."""
    ways: dict[str, list[Reply]] = {}
    for reply in replies:
        ways.setdefault(reply.way, []).append(reply)
    return {
        way: WayFigures(
            **Accuracy.of(reply.right for reply in some).model_dump(),
            kinds=_by(some, "kind"),
            languages=_by(some, "language"),
            tokens=sum(reply.tokens for reply in some),
            tokens_each=sum(reply.tokens for reply in some) / len(some),
            failed=sum(reply.error is not None for reply in some),
        )
        for way, some in ways.items()
    }


def _by(replies: Sequence[Reply], name: str) -> dict[str, Accuracy]:
    parts: dict[str, list[bool]] = {}
    for reply in replies:
        parts.setdefault(str(getattr(reply, name)), []).append(reply.right)
    return {part: Accuracy.of(right) for part, right in sorted(parts.items())}


def _reply(name: str, language: Language, kind: str, way: str, said: Exchange, right: bool) -> Reply:
    return Reply(
        id=name,
        language=language,
        kind=kind,
        way=way,
        right=right and said.error is None,
        answer=said.answer,
        error=said.error,
        tokens=said.tokens,
    )


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
