"""What a question says: concepts in both languages, what they do not explain, numbers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.shop import Shop
from serving.faq_reading import reading


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("How do I return an item?", {"ask.how", "topic.return"}),
        ("怎么退货？", {"ask.how", "topic.return"}),
        ("想cancel这个order", {"ask.whether", "topic.cancel", "topic.order"}),
        ("能不能退货", {"ask.whether", "topic.return"}),
        ("不能退货吗", {"ask.whether", "topic.return", "modifier.negation", "topic.excluded"}),
    ],
)
def test_concepts(question: str, says: set[str]) -> None:
    assert reading(question).concepts == says


def test_both_languages_say_the_same() -> None:
    entries = [entry for entry in Shop.default().faq if entry.id in ("warranty", "password-reset", "instalments")]
    pairs = {entry.id: [reading(e.question) for e in entries if e.id == entry.id] for entry in entries}
    for english, chinese in pairs.values():
        assert english.of("topic") & chinese.of("topic")


def test_a_gap_holds_a_few_words_and_explains_none_of_them() -> None:
    found = reading("send that zebra back")
    assert "topic.return" in found.concepts and found.words == {"zebra"}


def test_a_misspelt_word_is_read_as_the_nearest_one() -> None:
    assert "topic.warranty" in reading("waranty period").concepts
    assert "topic.password" in reading("forgot my pasword").concepts


def test_numbers_and_strange_words_are_kept() -> None:
    found = reading("Can I return 3 zebras in 1.5 days?")
    assert found.numbers == {"3", "1.5"} and found.words == {"zebra"}


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    found = reading(text)
    assert sum(name.startswith("ask.") for name in found.concepts) == 1
