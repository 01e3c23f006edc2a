"""Baselines: the majority is the majority, TF-IDF learns what words tell, and both are scored like a model."""

from data.schema import IntentCase
from evals.baselines import MAJORITY, TFIDF, baselines
from evals.metrics import Slice

LABELS = ("order_status", "refund_status")
TRAIN = [
    *(IntentCase(text=f"where is parcel {n}", intent="order_status", language="en") for n in range(6)),
    *(IntentCase(text=f"my money back, please, {n}", intent="refund_status", language="en") for n in range(5)),
    *(IntentCase(text=f"包裹{n}到哪了", intent="order_status", language="zh") for n in range(6)),
    *(IntentCase(text=f"退款{n}什么时候到账", intent="refund_status", language="zh") for n in range(5)),
]
CASES = [
    IntentCase(id="1", text="is the parcel on its way", intent="order_status", language="en"),
    IntentCase(id="2", text="give me my money", intent="refund_status", language="en"),
    IntentCase(id="3", text="我的包裹呢", intent="order_status", language="zh"),
    IntentCase(id="4", text="退款呢", intent="refund_status", language="zh"),
]


def test_both_are_scored_by_language() -> None:
    found = baselines(TRAIN, CASES, LABELS)
    assert list(found) == [MAJORITY, TFIDF]
    for language in ("en", "zh"):
        majority, tfidf = found[MAJORITY][language], found[TFIDF][language]  # type: ignore[index]
        assert isinstance(majority, Slice)
        assert (majority.cases, majority.accuracy, majority.macro_f1) == (2, 0.5, 1 / 3)
        assert tfidf.macro_f1 == 1.0


def test_the_same_rows_give_the_same_figures() -> None:
    assert baselines(TRAIN, CASES, LABELS) == baselines(TRAIN, CASES, LABELS)


def test_a_tie_goes_by_name_and_nothing_to_learn_gives_nothing() -> None:
    tied = [TRAIN[6], TRAIN[0]]
    assert baselines(tied, CASES[:1], LABELS)[MAJORITY]["en"].accuracy == 1.0
    assert baselines([], CASES, LABELS) == baselines(TRAIN[:3], CASES, LABELS) == {}
