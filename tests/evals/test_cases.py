"""The frozen cases are what their README says. A change of one needs a note there and the scores before and after."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import cohen_kappa_score

from data.artifact import file_digest
from data.firewall import Firewall, trigrams
from data.schema import IntentCase, Language, read_jsonl
from data.shop import Shop

SHOP = Shop.default()
INTENTS = SHOP.intent_cases()
TOOLS = SHOP.tool_cases()
LANGUAGES: tuple[Language, ...] = ("en", "zh")
HARD = ("typos", "slang", "long_context", "negation", "code_mixing", "boundary")


def test_digests_match() -> None:
    lines = (SHOP.cases / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    written = {name: digest for digest, name in (line.split() for line in lines)}
    assert written == SHOP.case_digests()
    assert all(file_digest(SHOP.cases / name) == digest for name, digest in written.items())


@pytest.mark.parametrize("language", LANGUAGES)
def test_thirty_for_each_intent_in_two_series_a_third_of_them_hard(language: Language) -> None:
    cases = [case for case in INTENTS if case.language == language]
    counts = Counter((c.intent, c.series, c.style == "plain") for c in cases)
    size = {(1, True): 8, (1, False): 4, (2, True): 12, (2, False): 6}
    assert counts == {(name, *part): n for name in SHOP.taxonomy.names for part, n in size.items()}
    assert {c.style for c in cases} - {"plain"} == set(HARD)
    later = Counter((c.intent, c.style) for c in cases if c.series == 2 and c.style != "plain")
    assert later == {(name, style): 1 for name in SHOP.taxonomy.names for style in HARD}


def test_ids_are_unique_and_say_what_they_are() -> None:
    assert len({c.id for c in INTENTS} | {c.id for c in TOOLS}) == len(INTENTS) + len(TOOLS)
    assert all(c.id.rsplit("-", 1)[0] == f"{c.language}-{c.intent}" for c in INTENTS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_series_has_a_file_of_its_own(language: Language) -> None:
    for series, stem in ((1, "intents"), (2, "intents_2")):
        alone = read_jsonl(SHOP.cases / f"{stem}.{language}.jsonl", IntentCase)
        assert alone == [c for c in INTENTS if c.language == language and c.series == series]


def test_texts_are_unique() -> None:
    repeated = {text: n for text, n in Counter(" ".join(c.text.lower().split()) for c in INTENTS).items() if n > 1}
    assert repeated == {}


def test_no_case_of_the_second_series_nearly_repeats_another() -> None:
    questions = [c.text for c in INTENTS if c.series == 1] + [pair.b for pair in SHOP.faq_pairs()]
    later = [c.text for c in INTENTS if c.series == 2]
    assert Firewall(questions).leaks(later) == []
    counts = CountVectorizer(analyzer=trigrams, binary=True).fit_transform(later)
    shared, sizes = (counts @ counts.T).toarray(), counts.getnnz(axis=1)
    jaccard = shared / (sizes[:, None] + sizes - shared)
    np.fill_diagonal(jaccard, 0)
    assert jaccard.max() < 0.3


def test_two_independent_readings_agree_as_reported() -> None:
    with (SHOP.cases / "readings.csv").open(encoding="utf-8", newline="") as file:
        readings = {row["id"]: (row["first"], row["second"]) for row in csv.DictReader(file)}
    assert readings.keys() == {c.id for c in INTENTS if c.series == 1}
    for language in LANGUAGES:
        cases = [c for c in INTENTS if c.language == language and c.series == 1]
        assert sum(readings[c.id] == (c.intent, c.intent) for c in cases) == 300
        first, second = zip(*(readings[c.id] for c in cases), strict=True)
        assert cohen_kappa_score(first, second) == 1.0
    readme = (SHOP.cases / "README.md").read_text(encoding="utf-8")
    assert "300 of 300 English and 300 of 300 Chinese" in readme and "kappa 1.0" in readme


def test_the_readings_of_the_second_series_agree_as_reported() -> None:
    with (SHOP.cases / "readings_2.csv").open(encoding="utf-8", newline="") as file:
        readings = {row["id"]: (row["first"], row["second"]) for row in csv.DictReader(file)}
    assert readings == {c.id: (c.intent, c.intent) for c in INTENTS if c.series == 2} and len(readings) == 900
    readme = " ".join((SHOP.cases / "README.md").read_text(encoding="utf-8").split())
    assert "450 of 450 English and 450 of 450 Chinese" in readme


@pytest.mark.parametrize("language", LANGUAGES)
def test_tool_cases_call_known_tools_with_their_arguments(language: Language) -> None:
    cases = [case for case in TOOLS if case.language == language]
    assert len(cases) == (80 if language == "en" else 40)
    assert sum(c.expect is None for c in cases) == (28 if language == "en" else 14)
    for case in cases:
        if case.expect is not None:
            schema = SHOP.tools[case.expect.name]["function"]["parameters"]
            assert case.expect.arguments.keys() == set(schema["required"])
            assert all(isinstance(value, str) for value in case.expect.arguments.values())


def test_a_second_reading_of_the_later_tool_cases_agrees_as_reported() -> None:
    with (SHOP.cases / "tool_readings.csv").open(encoding="utf-8", newline="") as file:
        readings = {row["id"]: row["second"] for row in csv.DictReader(file)}
    calls = {
        c.id: c.expect.model_dump() if c.expect else None for c in TOOLS if c.language == "en" and c.id[-2:] > "40"
    }
    later = {name: json.dumps(call, ensure_ascii=False) if call else "none" for name, call in calls.items()}
    assert readings == later and len(later) == 40


def test_expected_arguments_are_in_the_conversation() -> None:
    for case in TOOLS:
        said = "\n".join(m.content for m in case.messages)
        if case.expect is not None:
            assert case.expect.arguments["order_id"] in said, case.id


def test_each_language_is_written_in_its_script() -> None:
    def han(case: IntentCase) -> bool:
        return any("\u4e00" <= character <= "\u9fff" for character in case.text)

    assert all(han(c) for c in INTENTS if c.language == "zh")
    assert all(c.style == "code_mixing" for c in INTENTS if c.language == "en" and han(c))
