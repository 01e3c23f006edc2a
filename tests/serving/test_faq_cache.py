"""Exact hits after normalization, in the language of the question; nothing near is a hit."""

import pytest

from data.errors import BadInput
from data.schema import FaqEntry
from data.shop import Shop
from serving.faq_cache import FaqCache, normalized

ENTRIES = (
    FaqEntry(id="a", language="en", question="How do I return an item?", answer="So.", questions=("Return how-to",)),
    FaqEntry(id="a", language="zh", question="怎么退货？", answer="这样。"),
    FaqEntry(id="b", language="en", question="Is 1.5 kg free?", answer="Yes."),
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("how do i RETURN an item", "So."),
        ("  How do I return\nan item?! ", "So."),
        ("Ｈｏｗ do I return an item？", "So."),
        ("return how-to.", "So."),
        ("怎么 退货", "这样。"),
        ("怎么退货?!", "这样。"),
        ("is 1.5 kg free", "Yes."),
        ("is 15 kg free", None),
        ("How do I not return an item?", None),
        ("怎么不退货", None),
        ("", None),
        ("How do I return an item? My order is 123456", None),
    ],
)
def test_lookup(question: str, answer: str | None) -> None:
    entry = FaqCache(ENTRIES).lookup(question)
    assert (entry.answer if entry else None) == answer


def test_two_answers_to_one_question_are_refused() -> None:
    double = FaqEntry(id="c", language="en", question="how do i return an item", answer="Otherwise.")
    with pytest.raises(BadInput, match="a and c"):
        FaqCache((*ENTRIES, double))


def test_every_entry_of_the_shop_is_found_by_its_own_questions() -> None:
    entries = Shop.default().faq
    cache = FaqCache(entries)
    missed = [
        q for e in entries for q in (e.question, *e.questions) if (hit := cache.lookup(q)) is None or hit.id != e.id
    ]
    assert entries and not missed


def test_normalization_is_idempotent() -> None:
    for entry in Shop.default().faq:
        assert normalized(normalized(entry.question)) == normalized(entry.question)
