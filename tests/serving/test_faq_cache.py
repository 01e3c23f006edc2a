"""Exact hits after normalization in the language of the question; near ones after a verifier, never without it."""

import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import BadInput, EnvironmentLacks
from data.schema import FaqEntry, Message
from data.shop import Shop
from serving.faq_cache import FaqCache, Matcher
from serving.faq_guards import Setting
from serving.normalization import normalized
from tests.serving.near import matcher, small

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
    found = FaqCache(ENTRIES).lookup(question)
    assert (found.entry.answer if found.entry else None) == answer
    assert found.kind == ("exact" if answer else "miss")


def test_two_answers_to_one_question_are_refused() -> None:
    double = FaqEntry(id="c", language="en", question="how do i return an item", answer="Otherwise.")
    with pytest.raises(BadInput, match="a and c"):
        FaqCache((*ENTRIES, double))


def test_every_entry_of_the_shop_is_found_by_its_own_questions() -> None:
    entries = Shop.default().faq
    cache = FaqCache(entries)
    missed = [
        q
        for e in entries
        for q in (e.question, *e.questions)
        if (hit := cache.lookup(q).entry) is None or hit.id != e.id
    ]
    assert entries and not missed


def test_normalization_is_idempotent() -> None:
    for entry in Shop.default().faq:
        assert normalized(normalized(entry.question)) == normalized(entry.question)


def test_an_exact_look_up_among_a_thousand_entries_is_quick() -> None:
    entries = [
        FaqEntry(id=f"e{n}", language="en", question=f"What about case {n} of it?", answer="-") for n in range(1000)
    ]
    cache, spent = FaqCache(entries), []
    for n in range(200):
        started = time.perf_counter()
        assert cache.lookup(f"what about CASE {n} of it").entry == entries[n]
        spent.append(time.perf_counter() - started)
    assert sorted(spent)[100] < 0.0005


def near() -> FaqCache:
    return FaqCache(small()[0], matcher())


def test_a_known_paraphrase_is_a_near_hit_and_says_so() -> None:
    rows = small()[1]
    found = [(row, near().lookup(text)) for row in rows for text in row.paraphrases]
    hits = [(row, hit) for row, hit in found if hit.entry is not None]
    assert hits and all(hit.kind == "semantic" for _, hit in hits)
    assert all((hit.entry.id, hit.entry.language) == (row.id, row.language) for row, hit in hits if hit.entry)
    told = hits[0][1].public()
    assert told is not None and told["kind"] == "semantic" and 0 < float(told["probability"]) <= 1


def test_no_known_hard_negative_is_a_hit() -> None:
    asked = [text for row in small()[1] for text in row.hard_negatives]
    assert [text for text in asked if near().lookup(text).entry is not None] == []


def test_an_objection_outweighs_any_probability() -> None:
    library = matcher().libraries["en"]
    entry = next(entry for entry in library.entries if entry.id == "warranty")
    question = f"{entry.question} I never had 7 curtains"
    verdict = matcher().match(question, "en")
    assert verdict is not None and verdict.objections and not verdict.hit


def test_without_a_matcher_nothing_near_is_a_hit() -> None:
    text = small()[1][0].paraphrases[0]
    assert FaqCache(small()[0]).lookup(text).kind == "miss"


def test_an_embedder_that_is_away_makes_it_a_miss() -> None:
    class Away:
        name = "away"

        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise EnvironmentLacks("gone")

    cache = FaqCache(small()[0], Matcher(matcher().libraries, matcher().verifier, Away()))
    found = cache.lookup("what do I do to get a coupon somewhere")
    assert (found.kind, found.reason) == ("miss", "embedder")
    assert cache.lookup(small()[0][0].question).kind == "exact"


def test_what_depends_on_the_conversation_is_bypassed_but_never_an_exact_hit() -> None:
    asked_back = Setting((Message(role="user", content="hi"), Message(role="assistant", content="Which order?")))
    assert near().lookup("the return of a thing, how does that go", asked_back).reason == "open_flow"
    assert near().lookup(small()[0][0].question, asked_back).kind == "exact"


def test_the_same_question_gets_the_same_judgement() -> None:
    first, second = (matcher().match("how do I get a new pasword", "en") for _ in range(2))
    assert first == second


def test_an_entry_that_is_added_is_known_by_its_question_alone() -> None:
    added = FaqEntry(id="x", language="en", question="Do you sell bamboo bicycles?", answer="No.")
    more = matcher().with_entry(added)
    verdict = more.match("do you sell bicycles of bamboo?", "en")
    assert verdict is not None and verdict.entry.id == "x"
    assert "x" not in {entry.id for entry in matcher().libraries["en"].entries}
