from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from data.errors import BadInput
from data.schema import IntentCase
from evals.metrics import (
    OTHER,
    UNPARSABLE,
    Evaluation,
    IntentFigures,
    collapse,
    intent_f1,
    intent_figures,
    macro_f1_interval,
    micro_f1,
    unparsable_share,
)
from evals.predict import Prediction
from tests.evals.conftest import LABELS, evaluation, intent_predictions, tool_predictions


def prediction(expected: str, predicted: str | None, style: str = "plain") -> Prediction:
    return Prediction(case=IntentCase(text="x", intent=expected, language="en", style=style), predicted=predicted)


def test_figures_by_hand() -> None:
    labels = ("a", "b", "out_of_scope", "unused")
    found = intent_figures(
        [
            prediction("a", "a"),
            prediction("a", "b", "typos"),
            prediction("b", "b"),
            prediction("b", None, "slang"),
            prediction("out_of_scope", "out_of_scope"),
            prediction("out_of_scope", "foreign", "slang"),
        ],
        labels,
    )
    # a: 1 hit, 1 miss: 2/3; b: 1 hit, 1 miss, 1 false alarm: 1/2; out_of_scope: 1 hit, 1 miss: 2/3; unused has no case
    assert found.per_intent == pytest.approx({"a": 2 / 3, "b": 1 / 2, "out_of_scope": 2 / 3})
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert (found.cases, found.accuracy, found.unparsable) == (6, 0.5, 1 / 6)
    assert found.out_of_scope_recall == 0.5
    # micro: 3 hits; 3 misses; b and a label without cases would be false alarms, here b alone: 2 * 3 / (2 * 3 + 3 + 1)
    assert found.micro_f1 == pytest.approx(6 / 10)
    assert found.out_of_scope_false_alarms == 0.0 and found.calibration is None
    assert found.accuracy_interval.lower < 0.5 < found.accuracy_interval.upper
    assert {name: s.accuracy for name, s in found.groups.items()} == {"plain": 1.0, "hard": 0.0}
    assert {name: s.cases for name, s in found.styles.items()} == {"plain": 3, "slang": 2, "typos": 1}
    assert found.confusion == {
        "a": {"a": 1, "b": 1},
        "b": {"b": 1, UNPARSABLE: 1},
        "out_of_scope": {"out_of_scope": 1, "foreign": 1},
    }


def test_no_out_of_scope_case_no_recall() -> None:
    found = intent_figures([prediction("a", "a")], ("a", "b"))
    assert found.out_of_scope_recall is None and list(found.groups) == ["plain"]
    nothing_else = intent_figures([prediction("out_of_scope", "out_of_scope")], ("out_of_scope",))
    assert nothing_else.out_of_scope_false_alarms is None and nothing_else.out_of_scope_recall == 1.0


def test_each_series_of_cases_has_figures_of_its_own() -> None:
    first = [prediction("a", "a"), prediction("b", "a")]
    later = [p.model_copy(update={"case": p.case.model_copy(update={"series": 2})}) for p in first[:1] * 3]
    found = intent_figures([*first, *later], ("a", "b"))
    assert {n: (s.cases, s.accuracy) for n, s in found.series.items()} == {1: (2, 0.5), 2: (3, 1.0)}
    assert found.series[1].macro_f1 == intent_figures(first, ("a", "b")).macro_f1
    assert intent_figures(first, ("a", "b")).series == {}  # the whole says it
    assert IntentFigures.model_validate_json(found.model_dump_json()).series == found.series


def test_false_alarms_are_a_share_of_the_cases_in_scope() -> None:
    labels = ("a", "b", "out_of_scope")
    found = [prediction("a", "out_of_scope"), prediction("a", "a"), prediction("b", None), prediction("b", "b")]
    assert intent_figures([*found, prediction("out_of_scope", "a")], labels).out_of_scope_false_alarms == 1 / 4


@pytest.mark.parametrize("predicted", ["c", "astrology", None])
def test_micro_f1_counts_false_alarms_of_labels_without_cases(predicted: str | None) -> None:
    found = [prediction("a", "a"), prediction("b", predicted)]
    false_alarms = 1 if predicted == "c" else 0
    assert micro_f1(found, ("a", "b", "c")) == pytest.approx(2 / (2 + 1 + false_alarms))


def test_the_probability_is_judged() -> None:
    sure = [p.model_copy(update={"probability": 0.8}) for p in intent_predictions(8, [0, 1, 2, 3])]
    judged = intent_figures(sure, LABELS).calibration
    assert judged is not None and judged.error == pytest.approx(0.3)


def test_a_prediction_of_a_label_without_cases_is_a_miss() -> None:
    assert intent_f1([prediction("a", "b"), prediction("a", "a")], ("a", "b")) == {"a": pytest.approx(2 / 3)}


@settings(deadline=None, max_examples=6)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", "d", None])), min_size=1, max_size=40)
)
def test_the_fast_macro_f1_is_scikit_learns(pairs: list[tuple[str, str | None]]) -> None:
    found = [prediction(expected, predicted) for expected, predicted in pairs]
    interval = macro_f1_interval(found, "abcd")
    point = sum(intent_f1(found, "abcd").values()) / len({expected for expected, _ in pairs})
    assert interval.lower <= point + 1e-12 and point - 1e-12 <= interval.upper
    # the same draws, each scored by scikit-learn with the weights that make up for the case left out
    strata: dict[str, list[int]] = {}
    for index, (expected, _) in enumerate(pairs):
        strata.setdefault(expected, []).append(index)
    generator = np.random.default_rng(0)
    drawn = np.concatenate([generator.choice(np.array(m), (1000, max(1, len(m) - 1))) for m in strata.values()], axis=1)
    weights = np.concatenate([np.full(max(1, len(m) - 1), len(m) / max(1, len(m) - 1)) for m in strata.values()])
    values = []
    for row in drawn[:300]:
        wanted, given_ = [pairs[i][0] for i in row], [pairs[i][1] or UNPARSABLE for i in row]
        options: dict[str, Any] = {"labels": sorted(strata), "average": "macro", "zero_division": 0.0}
        values.append(f1_score(wanted, given_, sample_weight=weights, **options))
    if 0 < point < 1:
        half = 1.96 * float(np.std(values)) / (point * (1 - point))
        found_half = np.log(interval.upper / (1 - interval.upper)) - np.log(point / (1 - point))
        assert found_half == pytest.approx(half, rel=0.25, abs=1e-9)
    else:
        assert (interval.lower, interval.upper) == (point, point)


def test_interval_holds_the_estimate_and_narrows() -> None:
    small = intent_figures(intent_predictions(60, range(0, 60, 6)), LABELS)
    large = intent_figures(intent_predictions(600, range(0, 600, 6)), LABELS)
    for found in (small, large):
        assert found.macro_f1_interval.lower < found.macro_f1 < found.macro_f1_interval.upper
    width = [f.macro_f1_interval.upper - f.macro_f1_interval.lower for f in (small, large)]
    assert width[1] < width[0] / 2


def test_collapse_calls_everything_outside_other() -> None:
    found = collapse([prediction("a", "b"), prediction("b", "c"), prediction("c", None), prediction("d", "a")], ("a",))
    assert [(p.case.intent, p.predicted) for p in found] == [("a", OTHER), (OTHER, OTHER), (OTHER, None), (OTHER, "a")]


def test_held_out_cases_stay_out_of_the_figures() -> None:
    frozen, held = intent_predictions(40), intent_predictions(20, range(20), held_out=True)
    found = evaluation([*frozen, *held], tool_predictions(9, [0, 1]))
    assert found.overall is not None and found.overall.cases == 40 and found.overall.macro_f1 == 1.0
    assert len(found.predictions) == 60
    assert evaluation(frozen).digests["intents"] == found.digests["intents"]
    assert evaluation(frozen).digests["held_out"] != found.digests["held_out"]


def test_tool_figures_by_hand() -> None:
    found = evaluation([], [*tool_predictions(9, [0, 1]), *tool_predictions(3, language="zh")])
    assert found.overall is None and found.languages == {} and found.unparsable == 0.0
    tools = found.tools
    assert tools is not None
    assert (tools.cases, tools.call_cases, tools.restraint_cases) == (12, 8, 4)
    assert (tools.accuracy, tools.call_accuracy, tools.restraint) == pytest.approx((10 / 12, 7 / 8, 3 / 4))
    assert found.tool_languages["zh"].accuracy == 1.0
    only_calls = evaluation([], tool_predictions(3)[1:]).tools
    assert only_calls is not None and only_calls.restraint is None


def test_languages_are_apart_and_failures_counted() -> None:
    english = intent_predictions(8)
    chinese = intent_predictions(8, [0], language="zh")
    failed = english[0].model_copy(update={"predicted": None, "error": "HTTP 500"})
    found = evaluation([failed, *english[1:], *chinese], [])
    assert list(found.languages) == ["en", "zh"] and found.tools is None
    assert found.languages["en"].accuracy == found.languages["zh"].accuracy == 7 / 8
    assert (found.unparsable, found.failed) == (1 / 16, 1)
    assert unparsable_share([]) == 0.0


def test_json_round_trip() -> None:
    found = evaluation([*intent_predictions(16, [3]), *intent_predictions(4, held_out=True)], tool_predictions(4, [1]))
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


def test_digests_follow_the_cases_and_nothing_else() -> None:
    first, second = (
        evaluation(intent_predictions(16), digest="x"),
        evaluation(intent_predictions(16, [1, 2]), digest="y"),
    )
    assert first.digests == second.digests
    moved = evaluation(intent_predictions(16)[::-1])
    assert moved.digests["intents"] != first.digests["intents"]
    assert moved.digests["labels"] == first.digests["labels"]


def test_a_case_outside_the_taxonomy_is_refused() -> None:
    with pytest.raises(BadInput, match=r"cases expect intent\(s\) refund_status; the taxonomy has order_status"):
        evaluation(intent_predictions(2), labels=("order_status",))
