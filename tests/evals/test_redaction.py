"""The marked set, and what must be found of it."""

import pytest

from data.pii import find, redact
from data.pii.spans import PEOPLE
from data.pii.surrogates import canonical
from data.schema import Utterance
from evals.redaction import MarkedSpan, MarkedText, marked_texts, measure, summed
from tests.data.pii.test_examples import needs_models

LANGUAGES = pytest.mark.parametrize("language", ["en", "zh"])


@LANGUAGES
def test_the_marks_lie_in_their_texts(language: str) -> None:
    rows = marked_texts(language)
    assert len(rows) >= 300 and len({row.text for row in rows}) == len(rows)
    assert sum(not row.spans for row in rows) >= 80  # look-alikes that are none
    for row in rows:
        ends = [0, *(span.end for span in row.spans)]
        assert all(end <= span.start < span.end <= len(row.text) for end, span in zip(ends, row.spans, strict=False))
        assert all(row.text[span.start : span.end].strip() == row.text[span.start : span.end] for span in row.spans)


@LANGUAGES
def test_structured_kinds_are_found(language: str) -> None:
    score = summed(measure(marked_texts(language), find), people=False)
    assert score.marked >= 150 and score.recall >= 0.99 and score.precision >= 0.97


def remains(language: str, people: bool) -> list[str]:
    """The marked values that a redaction leaves in their texts; a single character says nothing."""
    left = []
    for row in marked_texts(language):
        marks = [row.text[m.start : m.end] for m in row.spans if people or m.kind not in PEOPLE]
        text = redact(Utterance(text=row.text, intent="x", language=language), people=people)[0].text  # type: ignore[arg-type]
        left += [value for value in marks if len(value) > 1 and canonical(value) in canonical(text)]
    return left


@LANGUAGES
def test_nothing_marked_as_structured_remains(language: str) -> None:
    assert remains(language, people=False) == {"en": [], "zh": []}[language]


@needs_models
@pytest.mark.slow
@LANGUAGES
def test_of_names_and_addresses_no_more_remains_than_is_missed(language: str) -> None:
    scores = measure(marked_texts(language), lambda text: find(text, people=True))
    assert set(remains(language, people=True)) <= {value for score in scores.values() for value, _ in score.misses}


@needs_models
@pytest.mark.slow
@LANGUAGES
def test_names_and_addresses_are_found(language: str) -> None:
    scores = measure(marked_texts(language), lambda text: find(text, people=True))
    assert summed(scores, people=False).recall >= 0.99
    assert all(scores[kind].recall >= 0.90 and scores[kind].precision >= 0.85 for kind in PEOPLE)


def test_a_miss_and_a_false_find_count() -> None:
    row = MarkedText(text="Call 13812047756, order 552013.", spans=(MarkedSpan(kind="name", start=0, end=4),))
    scores = measure([row], find)
    assert (scores["name"].recall, scores["name"].misses) == (0.0, [("Call", row.text)])
    assert (scores["phone"].precision, scores["order"].precision) == (0.0, 0.0)
