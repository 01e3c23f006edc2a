"""Both comparisons on counts alone; the gate's own tests go through predictions."""

from typing import Any

import pytest

from evals.comparison import Comparison, against_bf16, against_champion, cases_needed, in_slice
from evals.statistics import PairedCounts, Plan, power_at, ratio_lower_bound, required_cases
from recipes.recipe import GateRecipe
from tests.evals.conftest import intent_predictions, tool_predictions

EVEN = PairedCounts(both=700, only_first=10, only_second=10, neither=37)
SEEN = Plan(accuracy=710 / 757, discordance=20 / 757, bar=0.97)
NONE = PairedCounts(0, 0, 0, 0)


def thresholds(**changes: Any) -> GateRecipe:
    bars: dict[str, Any] = {"languages": ("en",), "intent_f1": 0.924, "retention": 0.97, "tool_calls": 0.9}
    return GateRecipe(**(bars | changes))


def test_the_cases_that_a_recipe_needs_are_known_before_any_run() -> None:
    assert cases_needed(thresholds()) == 442
    assert cases_needed(thresholds(power=0.9)) == required_cases(Plan(0.924, 0.03, 0.97, 0.995), 0.9)
    assert cases_needed(thresholds(retention=0.95)) == required_cases(Plan(0.924, 0.03, 0.95, 0.995), 0.8)
    assert cases_needed(thresholds(intent_f1=0.8)) == required_cases(Plan(0.8, 0.03, 0.97, 0.995), 0.8)
    assert cases_needed(thresholds(retention=0.995)) is None


def test_what_quantization_kept_with_every_number() -> None:
    found = against_bf16(Comparison(EVEN, {}), thresholds())
    assert found.reasons == [] and found.tests == ()
    assert found.figures == {
        "retention": 1.0,
        "retention_lower": ratio_lower_bound(EVEN),
        "retention_n": 757,
        "retention_lost": 10,
        "retention_gained": 10,
        "retention_accuracy": 710 / 757,
        "retention_accuracy_bf16": 710 / 757,
        "retention_power": power_at(757, SEEN),
        "retention_n_required": 442,
        "retention_n_required_seen": required_cases(SEEN, 0.8),
    }


def test_a_skill_that_got_worse_is_named_with_its_test() -> None:
    skills = {"refund_status": PairedCounts(2, 0, 10, 0), "other": PairedCounts(12, 1, 1, 0), "third": NONE}
    found = against_bf16(Comparison(EVEN, skills), thresholds())
    assert found.reasons == [
        "refund_status is worse than with BF16: 10 of 12 cases lost, 0 gained (McNemar, Holm p=0.0029)"
    ]
    worst, other, third = found.tests
    assert (worst.skill, worst.reference, worst.cases, worst.lost, worst.gained) == ("refund_status", "BF16", 12, 10, 0)
    assert (worst.p_value, worst.adjusted) == pytest.approx((1 / 1024, 3 / 1024))
    assert (other.p_value, other.adjusted, third.p_value) == (0.75, 1.0, 1.0)


def test_significance_is_below_five_percent_after_the_correction() -> None:
    five_of_five = PairedCounts(7, 0, 5, 0)  # p = 1/32
    alone = against_bf16(Comparison(EVEN, {"a": five_of_five}), thresholds())
    assert len(alone.reasons) == 1
    among_two = against_bf16(Comparison(EVEN, {"a": five_of_five, "b": NONE}), thresholds())
    assert among_two.reasons == []


def test_non_inferior_to_the_champion_overall() -> None:
    found = against_champion(Comparison(EVEN, {}), thresholds())
    assert found.reasons == []
    assert found.figures == {
        "champion_ratio": 1.0,
        "champion_ratio_lower": ratio_lower_bound(EVEN),
        "champion_n": 757,
        "champion_lost": 10,
        "champion_gained": 10,
        "champion_n_required": required_cases(SEEN._replace(discordance=0.03), 0.975),
    }
    # as often right, but they differ on too many cases to say so: more cases would settle it
    wild = PairedCounts(both=330, only_first=25, only_second=25, neither=20)
    (reason,) = against_champion(Comparison(wild, {}), thresholds()).reasons
    needed = required_cases(Plan(355 / 400, 50 / 400, 0.97), 0.975) or 0
    assert needed > 400 and reason == (
        f"not shown to be as good as the champion: lower bound {int(1000 * ratio_lower_bound(wild)) / 1000:.3f} < 0.97 of "
        f"its accuracy, 1.000 over n=400, 25 lost and 25 gained; at this disagreement {needed} cases are needed, "
        f"{needed - 400} missing"
    )


def test_protected_slices_have_their_own_bars() -> None:
    hard = PairedCounts(both=80, only_first=1, only_second=4, neither=15)
    comparison = Comparison(EVEN, {}, {"hard": hard, "slang": NONE})
    found = against_champion(comparison, thresholds(protect={"hard": 0.9, "slang": 0.5}))
    assert found.reasons == ["no case to compare with the champion on slang: add labelled cases or change gate.protect"]
    assert (found.figures["champion.hard_n"], found.figures["champion.hard_lost"]) == (100, 4)
    assert found.figures["champion.hard_gained"] == 1 and "champion.slang_n" not in found.figures
    assert 0.90 < float(found.figures["champion.hard_ratio_lower"]) < 0.97
    (strict, _) = against_champion(comparison, thresholds()).reasons  # a slice without its own bar has the overall one
    assert strict.startswith("not shown to be as good as the champion on hard: lower bound 0.9")
    assert " < 0.97 of its accuracy" in strict


def test_a_bound_at_the_bar_passes() -> None:
    at = ratio_lower_bound(EVEN)
    assert against_champion(Comparison(EVEN, {}, {"en": EVEN}), thresholds(protect={"en": at})).reasons == []
    assert against_champion(Comparison(EVEN, {}, {"en": EVEN}), thresholds(protect={"en": at + 1e-9})).reasons
    few = thresholds(power=0.1)  # so that the number of cases is no reason
    assert against_bf16(Comparison(EVEN, {}), few.model_copy(update={"retention": at})).reasons == []
    (reason,) = against_bf16(Comparison(EVEN, {}), few.model_copy(update={"retention": at + 1e-9})).reasons
    assert reason.startswith(
        "retention lower bound 0.989 < 0.989033 (gate.retention): 1.000 over n=757, 10 lost and 10"
    )


def test_a_champion_with_nothing_right_is_no_measure() -> None:
    found = against_champion(Comparison(PairedCounts(0, 0, 0, 9), {}), thresholds())
    assert (
        found.reasons[0].endswith("0.000 over n=9, 0 lost and 0 gained") and "champion_n_required" not in found.figures
    )


def test_counting_pairs_into_skills_and_slices() -> None:
    first = [*intent_predictions(24, [0, 5]), *intent_predictions(8, [1], language="zh")]
    second = [*intent_predictions(24, [0, 4]), *intent_predictions(8, language="zh")]
    tools = list(zip(tool_predictions(6, [0, 1]), tool_predictions(6, [1, 2]), strict=True))
    pairs = list(zip(first, second, strict=True))
    found = Comparison.of(pairs, ("order_status", "refund_status"), tools, ("zh", "hard", "plain", "typos"))
    assert found.overall == PairedCounts(both=28, only_first=1, only_second=2, neither=1)
    assert found.skills == {
        "order_status": PairedCounts(6, 1, 0, 1),
        "refund_status": PairedCounts(6, 0, 2, 0),
        "tool calls": PairedCounts(2, 0, 0, 1)._replace(both=2, only_first=1, neither=1),
        "restraint": PairedCounts(1, 0, 1, 0),
    }
    assert found.slices["zh"] == PairedCounts(7, 0, 1, 0)
    assert found.slices["hard"] == found.slices["typos"] and found.slices["hard"].n == 8
    assert found.slices["plain"].n == 24
    assert Comparison.of(pairs, ()).skills == {} and Comparison.of(pairs, ()).slices == {}


def test_slices() -> None:
    plain, typos = intent_predictions(12)[0], intent_predictions(12)[8]
    assert in_slice(plain, "en") and in_slice(plain, "plain") and not in_slice(plain, "hard")
    assert in_slice(typos, "hard") and in_slice(typos, "typos") and not in_slice(typos, "plain")
    assert not in_slice(typos, "zh")
