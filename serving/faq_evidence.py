"""What speaks for and against one answer to two questions: a question beside an entry that might answer it.

Evidence is numbers for the verifier, and objections that no number outweighs: slots that must agree and do not. Not
covered: what a question says (`serving/faq_reading.py`), which entries come into question (`serving/faq_library.py`).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.schema import FaqEntry
from serving.faq_library import Library, Near, Question
from serving.faq_reading import KINDS

FEATURES = (
    "near_listed", "near_top3", "near_foreign", "near_answer", "near_negative", "near_margin",
    "said_max", "said_top3", "said_foreign", "said_negative", "said_margin", "spelt_max", "spelt_negative",
    "extra_topic", "extra_unanswered", "extra_best", "missing_best", "missing_core", "extra_ask", "extra_modifier",
    "extra_particular", "particular", "denial", "extra_goods", "extra_party", "extra_words", "words", "extra_numbers", "length",
    "concepts", "chinese", "anchors",
)  # fmt: skip
STRANGE_MARKS = 1  # unknown characters that a Chinese question may have: a slip; an English one has no unknown word
_DENIAL = "modifier.negation"
_RARE = 0.15  # up to this share of anchors with a negation, one more is one too many
_CORE = 0.4  # the share of anchors that must name a concept for its absence to count
_USUAL = -0.3  # negatives against positives, where an entry has no negatives


@dataclass(frozen=True)
class Evidence:
    """One candidate: its features in the order of `FEATURES`, and what forbids it."""

    entry: FaqEntry
    features: tuple[float, ...]
    objections: tuple[str, ...]


def evidence(library: Library, question: Question, nearest: Sequence[Near], limit: int) -> list[Evidence]:
    """The evidence on the first `limit` of the nearest entries."""
    found = []
    for near in nearest[:limit]:
        other = next((rival for rival in nearest if rival is not near), near)
        found.append(_of(library, question, near, other))
    return found


def _of(library: Library, question: Question, near: Near, other: Near) -> Evidence:
    read, said = question.reading, list(zip(near.anchors, near.said, near.vector, strict=True))
    positive = [anchor for anchor in near.anchors if anchor.positive]
    best = max((row for row in said if row[0].positive), key=lambda row: row[1:])[0].reading
    union = frozenset().union(*(anchor.reading.concepts for anchor in positive))
    foreign = frozenset().union(*(a.reading.concepts for a in near.anchors if a.role == "foreign"))
    beside = foreign.union(*(a.reading.concepts for a in near.anchors if a.role == "answer"))
    shares = Counter(name for anchor in positive for name in anchor.reading.concepts)
    core = {name for name, count in shares.items() if count / len(positive) >= _CORE}
    extra = {kind: read.of(kind) - union for kind in KINDS}
    weigh = library.weigh
    values = {
        **_likeness(near, other),
        "extra_topic": weigh(extra["topic"]),
        "extra_unanswered": weigh(extra["topic"] - beside),
        "extra_best": weigh(read.of("topic") - best.concepts),
        "missing_best": weigh(best.of("topic") - read.concepts),
        "missing_core": weigh(core - read.concepts),
        "extra_ask": weigh(extra["ask"] - foreign),
        "extra_modifier": len(extra["modifier"] - foreign),
        "extra_particular": len(extra["particular"] - foreign),
        "particular": len(read.of("particular")),
        "denial": (_DENIAL in read.concepts) - shares[_DENIAL] / len(positive),
        "extra_goods": len(extra["goods"] - beside),
        "extra_party": len(extra["party"] - beside),
        "extra_words": len(read.words.difference(*(anchor.reading.words for anchor in positive))),
        "words": len(read.words),
        "extra_numbers": len(read.numbers.difference(*(anchor.reading.numbers for anchor in positive))),
        "length": math.log(1 + len(question.text)) - (0.0 if library.language == "zh" else 1.2),
        "concepts": len(read.concepts),
        "chinese": float(library.language == "zh"),
        "anchors": math.log(len(positive)),
    }
    return Evidence(near.entry, tuple(float(values[name]) for name in FEATURES), _objections(values))


def _likeness(near: Near, other: Near) -> dict[str, float]:
    values: dict[str, float] = {}
    for name, of in (("near", "vector"), ("said", "said"), ("spelt", "spelt")):
        rows = [value for anchor, value in zip(near.anchors, getattr(near, of), strict=True) if anchor.positive]
        top = sorted(rows, reverse=True)[:3]
        negative = near.best(of, "negative")  # type: ignore[arg-type]
        values[f"{name}_max"], values[f"{name}_top3"] = top[0], sum(top) / len(top)
        values[f"{name}_negative"] = _USUAL if negative is None else negative - top[0]
        foreign = near.best(of, "foreign")  # type: ignore[arg-type]
        values[f"{name}_foreign"] = top[0] if foreign is None else foreign
    listed = near.best("vector", "listed")
    values["near_listed"] = values["near_max"] if listed is None else listed
    answer = near.best("vector", "answer")
    values["near_answer"] = values["near_max"] if answer is None else answer
    values["near_margin"] = near.score - other.score
    values["said_margin"] = values["said_max"] - (other.best("said", "listed", "paraphrase") or 0.0)
    return values


def _objections(values: Mapping[str, float]) -> tuple[str, ...]:
    """What must agree and does not. A topic that the entry's own answer speaks of is no objection."""
    found = {
        "topic": values["extra_unanswered"] > 0,
        "number": values["extra_numbers"] > 0,
        "particular": values["extra_particular"] > 0,
        "modifier": values["extra_modifier"] > 0,
        "negation": values["denial"] > 1 - _RARE,
        "ask": values["extra_ask"] > 0,
        "words": values["extra_words"] > (STRANGE_MARKS if values["chinese"] else 0),
    }
    return tuple(name for name, holds in found.items() if holds)
