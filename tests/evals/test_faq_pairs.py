"""The frozen FAQ pairs are what the README of the cases says."""

import csv
from collections import Counter
from operator import eq

import pytest
from sklearn.metrics import cohen_kappa_score

from data.chat import language_of
from data.firewall import Firewall, normalized
from data.schema import Language
from data.shop import Shop

SHOP = Shop.default()
PAIRS = SHOP.faq_pairs()
LANGUAGES: tuple[Language, ...] = ("en", "zh")
PARAPHRASES = {"plain", "slang", "typos", "long_context", "code_mixing"}
HARD = {"neighbour", "negation", "entity", "amount", "personal", "party", "stage"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_enough_of_each_kind(language: Language) -> None:
    pairs = [pair for pair in PAIRS if pair.language == language]
    styles = Counter(pair.style for pair in pairs if not pair.same_answer)
    assert sum(pair.same_answer for pair in pairs) == 180
    assert (styles.total(), styles["easy"]) == (630, 260)
    assert {pair.style for pair in pairs if pair.same_answer} <= PARAPHRASES
    assert styles.keys() == HARD | {"easy"}


def test_every_entry_of_the_faq_is_asked_for() -> None:
    asked = {(pair.a, pair.language) for pair in PAIRS if pair.same_answer}
    refused = {(pair.a, pair.language) for pair in PAIRS if pair.style in HARD}
    assert {(entry.question, entry.language) for entry in SHOP.faq} < asked & refused
    assert len(asked) == 200


def test_no_pair_and_no_id_comes_twice() -> None:
    pairs = {(normalized(pair.a), normalized(pair.b)) for pair in PAIRS}
    assert len(pairs) == len({pair.id for pair in PAIRS}) == len(PAIRS)


def test_both_questions_are_in_the_language_of_the_pair() -> None:
    assert [p.id for p in PAIRS if {language_of(p.a), language_of(p.b)} != {p.language}] == []


def test_no_paraphrase_is_nearly_a_question_that_the_faq_lists() -> None:
    listed = [question for entry in SHOP.faq for question in (entry.question, *entry.questions)]
    assert Firewall(listed).leaks([pair.b for pair in PAIRS if pair.same_answer]) == []


def test_an_easy_negative_asks_for_another_entry() -> None:
    meant = {pair.b: pair.a for pair in PAIRS if pair.same_answer}
    easy = [pair for pair in PAIRS if pair.style == "easy"]
    assert easy and all(meant[pair.b] != pair.a for pair in easy)


def test_two_blind_readings_agree_as_reported() -> None:
    with (SHOP.cases / "faq_readings.csv").open(encoding="utf-8", newline="") as file:
        readings = {row["id"]: (row["first"], row["second"]) for row in csv.DictReader(file)}
    labels = {pair.id: "same" if pair.same_answer else "other" for pair in PAIRS}
    assert {name: first for name, (first, _) in readings.items()} == labels
    readme = " ".join((SHOP.cases / "README.md").read_text(encoding="utf-8").split())
    assert "agreed on 1,618 of 1,620" in readme and "agreed on 1,614 of 1,620" in readme
    for language, said in (("en", "808 of 810 English (kappa 0.993)"), ("zh", "806 of 810 Chinese (kappa 0.986)")):
        first, second = zip(*(readings[pair.id] for pair in PAIRS if pair.language == language), strict=True)
        assert f"{sum(map(eq, first, second))} of 810" in said
        assert f"kappa {cohen_kappa_score(first, second):.3f}" in said and said in readme


def test_where_the_second_reading_differs_is_named() -> None:
    with (SHOP.cases / "faq_readings.csv").open(encoding="utf-8", newline="") as file:
        different = {row["id"] for row in csv.DictReader(file) if row["first"] != row["second"]}
    doubtful = {f"{language}-{name}" for language in LANGUAGES for name in ("dispatch-time-06", "delivery-slot-05")}
    assert different == doubtful | {"zh-warranty-01", "zh-return-packaging-02"}
