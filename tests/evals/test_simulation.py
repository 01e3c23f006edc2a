"""The gate's error rates, with fewer runs than the 10,000 a point that the figures of a release note are made with."""

import math

import numpy as np
import pytest

from evals.comparison import CHAMPION_POWER, against_bf16, against_champion, cases_needed
from evals.simulation import Truth, bound_coverage, drawn, macro_f1_coverage, pass_rate, wilson_coverage
from evals.statistics import Plan, required_cases
from recipes.recipe import GateRecipe

RUNS = 400
GATE = GateRecipe(languages=("en",), intent_f1=0.924, retention=0.97, tool_calls=0.9)
NEEDED = cases_needed(GATE) or 0


def slack(rate: float, runs: int = RUNS) -> float:
    """Three standard errors of a rate that was counted over `runs`."""
    return 3 * math.sqrt(rate * (1 - rate) / runs)


def test_a_candidate_that_keeps_96_percent_passes_at_most_five_times_in_a_hundred() -> None:
    for n in (NEEDED, 757):
        assert pass_rate(against_bf16, Truth(kept=0.96), n, GATE, runs=RUNS) <= 0.05


def test_a_candidate_that_keeps_99_5_percent_passes_four_times_in_five_at_the_required_number() -> None:
    found = pass_rate(against_bf16, Truth(accuracy=0.924, kept=0.995), NEEDED, GATE, runs=RUNS)
    assert found >= 0.8 - slack(0.8)
    assert pass_rate(against_bf16, Truth(accuracy=0.924, kept=0.995), NEEDED - 1, GATE, runs=9) == 0.0  # too few cases


def test_a_champion_against_its_equal_is_refused_at_most_five_times_in_a_hundred() -> None:
    n = required_cases(Plan(0.924, 0.03, 0.97), CHAMPION_POWER) or 0
    assert 1 - pass_rate(against_champion, Truth(accuracy=0.924), n, GATE, runs=RUNS) <= 0.05 + slack(0.05)
    assert pass_rate(against_champion, Truth(accuracy=0.924, kept=0.94), n, GATE, runs=RUNS) <= 0.05


@pytest.mark.parametrize("truth", [Truth(0.924, 0.97, 0.03), Truth(0.95, 0.99, 0.02)])
def test_the_bound_holds_as_often_as_it_says(truth: Truth) -> None:
    assert bound_coverage(truth, 600, runs=1500) == pytest.approx(0.95, abs=0.01 + slack(0.05, 1500))


@pytest.mark.parametrize(("share", "n"), [(0.924, 300), (0.9, 80)])
def test_wilson_holds_as_often_as_it_says(share: float, n: int) -> None:
    assert wilson_coverage(share, n, runs=5000) == pytest.approx(0.95, abs=0.01 + slack(0.05, 5000))


def test_the_interval_of_f1_holds_as_often_as_it_says() -> None:
    assert macro_f1_coverage(0.9, intents=5, each=30, runs=100) == pytest.approx(0.95, abs=0.01 + slack(0.05, 100))


def test_cases_are_spread_evenly_and_drawn_from_the_truth() -> None:
    truth = Truth(accuracy=0.9, kept=0.98, discordance=0.05)
    assert truth.cells == pytest.approx((0.866, 0.016, 0.034, 0.084))
    assert sum(Truth(0.9, 0.9, 0.0).cells) == pytest.approx(1) and Truth(0.9, 0.9, 0.0).cells[1] == 0
    found = drawn(truth, 52, 25, np.random.default_rng(0))
    assert sorted(c.n for c in found.skills.values()) == [2] * 23 + [3] * 2
    assert found.overall.n == 52 and found.slices == {}
    assert found.overall.both == sum(c.both for c in found.skills.values())
    many = drawn(truth, 200_000, 1, np.random.default_rng(0)).overall
    assert [cell / many.n for cell in many] == pytest.approx(truth.cells, abs=0.002)
