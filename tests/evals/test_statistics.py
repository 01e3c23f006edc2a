"""Every formula against a hand-computed or a published example. Over 300 lines, as there are so many of them."""

import math
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evals.statistics import (
    Accuracy,
    Indices,
    PairedCounts,
    Plan,
    Values,
    _variance_at,
    holm,
    mcnemar,
    power_at,
    ratio_lower_bound,
    required_cases,
    stratified_bootstrap,
    wilson_interval,
)

Z = 1.6448536269514722  # the 95 % quantile of the normal distribution
counts = st.builds(PairedCounts, *(st.integers(0, 400) for _ in range(4)))


def test_wilson_by_hand() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 0 to 0.1611
    found = wilson_interval(81, 263)
    assert (round(found.lower, 4), round(found.upper, 4)) == (0.2553, 0.3662)
    assert round(wilson_interval(0, 20).upper, 4) == 0.1611
    assert wilson_interval(0, 0).model_dump() == {"lower": 0.0, "upper": 1.0}
    one = wilson_interval(1, 1)  # z^2 / (1 + z^2) away from 1
    assert (one.lower, one.upper) == pytest.approx((1 / (1 + 1.959964**2), 1.0))
    assert wilson_interval(81, 263, 0.5).lower > found.lower


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_holds_the_share(right: int, n: int) -> None:
    assume(right <= n)
    found = wilson_interval(right, n)
    assert -1e-12 <= found.lower <= right / n + 1e-12
    assert right / n - 1e-12 <= found.upper <= 1 + 1e-12


def weighted_mean(values: npt.NDArray[np.float64], drawn: Indices, weights: Values) -> Values:
    return np.asarray((values[drawn] * weights).sum(axis=1) / weights.sum())


def test_bootstrap_draws_inside_each_stratum_and_keeps_their_weights() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    found = stratified_bootstrap(["a"] * 3 + ["b"] * 2, partial(weighted_mean, values))
    assert (found.lower, found.upper) == pytest.approx((0.4, 0.4))  # no variation inside a stratum, none in the mean
    mixed = stratified_bootstrap(["a"] * 5, partial(weighted_mean, values))
    assert mixed.lower < 0.4 < mixed.upper


def test_bootstrap_asks_for_rows_of_one_case_fewer_and_once_for_all_cases() -> None:
    asked: list[tuple[Indices, Values]] = []

    def statistic(drawn: Indices, weights: Values) -> Values:
        asked.append((drawn, weights))
        return np.full(len(drawn), 0.5)

    stratified_bootstrap(["a", "b", "a", "a", "c", "c"], statistic, resamples=50)
    (drawn, weights), (whole, ones) = asked
    assert drawn.shape == (50, 4) and weights.tolist() == [1.5, 1.5, 1.0, 2.0]
    assert set(drawn[:, :2].ravel().tolist()) == {0, 2, 3} and set(drawn[:, 2].tolist()) == {1}
    assert set(drawn[:, 3].tolist()) == {4, 5}
    assert whole.tolist() == [[0, 1, 2, 3, 4, 5]] and ones.tolist() == [1.0] * 6


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_bootstrap_at_an_end_is_a_point(value: float) -> None:
    found = stratified_bootstrap([0] * 9, partial(weighted_mean, np.full(9, value)))
    assert (found.lower, found.upper) == (value, value)


def test_bootstrap_is_seeded_and_its_interval_is_the_logits() -> None:
    values = np.array([0.0] * 100 + [1.0] * 300)
    mean = partial(weighted_mean, values)
    found = stratified_bootstrap([0] * 400, mean, resamples=8_000)
    assert found == stratified_bootstrap([0] * 400, mean, resamples=8_000, seed=0)
    assert found != stratified_bootstrap([0] * 400, mean, resamples=8_000, seed=1)
    # by hand: the mean's unbiased error is sqrt(p (1 - p) / (n - 1)), a logit's that over p (1 - p)
    half = 1.959964 * math.sqrt(0.1875 / 399) / 0.1875
    ends = [1 / (1 + math.exp(-(math.log(3) + side * half))) for side in (-1, 1)]
    assert (found.lower, found.upper) == pytest.approx(ends, abs=0.0015)
    narrow = stratified_bootstrap([0] * 400, mean, confidence=0.5, resamples=8_000)
    half = 0.6744898 * math.sqrt(0.1875 / 399) / 0.1875
    assert narrow.lower == pytest.approx(1 / (1 + math.exp(-(math.log(3) - half))), abs=0.001)


def test_bootstrap_has_a_thousand_resamples_unless_told() -> None:
    rows: list[int] = []

    def statistic(drawn: Indices, weights: Values) -> Values:
        rows.append(len(drawn))
        return np.linspace(0.4, 0.6, len(drawn))

    stratified_bootstrap([0, 1], statistic)
    assert rows == [1000, 1]


def test_accuracy_of_some_cases() -> None:
    found = Accuracy.of(iter([True, True, False, True]))
    assert (found.cases, found.accuracy, found.accuracy_interval) == (4, 0.75, wilson_interval(3, 4))


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(0, 5, one_sided=True) == pytest.approx(1 / 32)
    assert mcnemar(5, 0, one_sided=True) == 1.0
    assert mcnemar(2, 8, one_sided=True) == pytest.approx((1 + 10 + 45) / 1024)


def test_holm_by_hand() -> None:
    # Holm: 0.01 x 4, 0.03 x 3, then never smaller than the one before, never above 1
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.9})
    assert found == pytest.approx({"a": 0.04, "c": 0.09, "b": 0.09, "d": 0.9})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=12))
def test_holm_only_raises_and_keeps_the_order(p_values: dict[str, float]) -> None:
    found = holm(p_values)
    assert all(p_values[name] <= found[name] <= 1 for name in p_values)
    ordered = sorted(p_values, key=p_values.__getitem__)
    assert [found[name] for name in ordered] == sorted(found.values())


def test_paired_counts() -> None:
    found = PairedCounts.of([True, True, False, False, True], [True, False, True, False, True])
    assert found == PairedCounts(both=2, only_first=1, only_second=1, neither=1)
    assert (found.n, found.discordance, found.ratio) == (5, 0.4, 1.0)
    kinds = [(True, True)] * 4 + [(True, False)] * 3 + [(False, True)] * 2 + [(False, False)]
    assert PairedCounts.of([a for a, _ in kinds], [b for _, b in kinds]) == PairedCounts(4, 3, 2, 1)
    empty = PairedCounts.of([], [])
    assert (empty.n, empty.discordance, empty.ratio) == (0, 0.0, 0.0)
    assert PairedCounts(0, 3, 0, 0).ratio == 0.0
    assert PairedCounts(90, 2, 10, 0).ratio == pytest.approx(0.92)
    with pytest.raises(ValueError, match="shorter"):
        PairedCounts.of([True, True], [True])


def test_bound_without_discordant_pairs() -> None:
    # z(R) = sqrt(a (1 - R) / R) = Z at R = a / (a + Z^2): 88 agreeing right cases show 0.97, 87 do not
    assert ratio_lower_bound(PairedCounts(88, 0, 0, 12)) == pytest.approx(88 / (88 + Z * Z))
    assert ratio_lower_bound(PairedCounts(88, 0, 0, 12)) > 0.97 > ratio_lower_bound(PairedCounts(87, 0, 0, 13))


def test_bound_is_continuous_at_no_discordance() -> None:
    # the closed form is the limit of the equation: nearly no discordance in a large sample is nearly none
    big = 10**9
    assert ratio_lower_bound(PairedCounts(big, 1, 1, 0)) == pytest.approx(1, abs=1e-8)
    ratio = 200 / (200 + Z * Z)
    assert (200 - ratio * 200) / math.sqrt(_variance_at(ratio, 200, 0, 0)) == pytest.approx(Z)


def test_bound_of_nothing_right_is_zero() -> None:
    for kind in (
        PairedCounts(0, 0, 5, 5),
        PairedCounts(0, 5, 0, 5),
        PairedCounts(0, 0, 0, 9),
        PairedCounts(0, 0, 0, 0),
    ):
        assert ratio_lower_bound(kind) == 0.0


def test_literature_example() -> None:
    # Airway hyper-responsiveness before and after transplantation (Bentur et al. 2009): 1, 1, 7, 12. Tang's score
    # interval, two-sided 95 %, in Fagerland, Lydersen & Laake, Stat. Med. 33 (2014) 2850-2875: 0.065 to 0.907
    assert ratio_lower_bound(PairedCounts(1, 1, 7, 12), 0.975) == pytest.approx(0.065, abs=5e-4)
    assert 1 / ratio_lower_bound(PairedCounts(1, 7, 1, 12), 0.975) == pytest.approx(0.907, abs=5e-4)


@pytest.mark.parametrize(
    "pairs",
    [PairedCounts(250, 5, 9, 36), PairedCounts(1, 1, 7, 12), PairedCounts(40, 0, 7, 3), PairedCounts(40, 7, 0, 3)],
)
def test_bound_solves_the_score_equation_found_by_search(pairs: PairedCounts) -> None:
    # without our algebra: the likelihood is maximized by brute force
    assert _z_by_search(pairs, ratio_lower_bound(pairs)) == pytest.approx(Z, abs=1e-3)


def _z_by_search(pairs: PairedCounts, ratio: float) -> float:
    """The score statistic with the constrained likelihood maximized numerically instead of by the quadratic."""
    from scipy.optimize import minimize_scalar

    seen = (pairs.both + pairs.only_first + pairs.only_second) / pairs.n

    def loss(q: float) -> float:
        cells = ((ratio + 1) * q - seen, seen - q, seen - ratio * q)
        if min(cells) <= 0:
            return 1e9
        return -sum(n * math.log(p) for n, p in zip(pairs[:3], cells, strict=True))

    low, high = seen / (ratio + 1), min(seen, seen / ratio)
    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    first, second = (pairs.both + pairs.only_first) / pairs.n, (pairs.both + pairs.only_second) / pairs.n
    return (first - ratio * second) / math.sqrt(ratio * (2 * seen - (1 + ratio) * q) / pairs.n)


@settings(deadline=None)
@given(counts)
def test_bound_is_in_range(pairs: PairedCounts) -> None:
    assert 0.0 <= ratio_lower_bound(pairs) <= pairs.ratio + 1e-12


@settings(deadline=None)
@given(counts, st.floats(0.6, 0.99))
def test_more_confidence_is_a_lower_bound_below(pairs: PairedCounts, confidence: float) -> None:
    assert ratio_lower_bound(pairs, 0.995) <= ratio_lower_bound(pairs, confidence) + 1e-9


@settings(deadline=None)
@given(counts)
def test_a_lost_case_never_helps(pairs: PairedCounts) -> None:
    assume(pairs.both > 0)
    worse = pairs._replace(both=pairs.both - 1, only_second=pairs.only_second + 1)
    assert ratio_lower_bound(worse) <= ratio_lower_bound(pairs) + 1e-9
    assume(pairs.only_first > 0)
    none = pairs._replace(only_first=pairs.only_first - 1, neither=pairs.neither + 1)
    assert ratio_lower_bound(none) <= ratio_lower_bound(pairs) + 1e-9


@settings(deadline=None)
@given(counts)
def test_neither_tells_nothing_and_more_cases_tighten(pairs: PairedCounts) -> None:
    assert ratio_lower_bound(pairs._replace(neither=0)) == pytest.approx(ratio_lower_bound(pairs), abs=1e-9)
    twice = PairedCounts(*(2 * cell for cell in pairs))
    assert ratio_lower_bound(twice) >= ratio_lower_bound(pairs) - 1e-9


def _passes(retention: float, n: int, trials: int, seed: int) -> float:
    """How often a model that truly keeps `retention` of 0.95 shows 0.97, with about 3 % of discordant pairs."""
    gained = 0.005
    lost = 0.95 * (1 - retention) + gained
    cells = np.array([0.95 - lost, gained, lost, 0.05 - gained])
    drawn = np.random.default_rng(seed).multinomial(n, cells, size=trials)
    return float(np.mean([ratio_lower_bound(PairedCounts(*map(int, row))) >= 0.97 for row in drawn]))


def test_a_model_at_the_bar_passes_at_most_as_often_as_stated() -> None:
    assert _passes(0.97, n=600, trials=1500, seed=1) <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 1500)
    assert _passes(0.96, n=600, trials=300, seed=2) <= 0.02


def test_required_cases_by_hand_without_discordance() -> None:
    # V0 = R p (1 - R), V1 = p (1 - R)^2 (1 - p), p1 - R p2 = p (1 - R)
    p, r = 0.9, 0.97
    v0, v1 = r * p * (1 - r), p * (1 - p) * (1 - r) ** 2
    by_hand = ((Z * math.sqrt(v0) + 0.8416212335729143 * math.sqrt(v1)) / (p * (1 - r))) ** 2
    assert required_cases(Plan(p, 0.0, r), 0.8) == math.ceil(by_hand)
    wider = ((2.3263478740408408 * math.sqrt(v0) + 0.8416212335729143 * math.sqrt(v1)) / (p * (1 - r))) ** 2
    assert required_cases(Plan(p, 0.0, r), 0.8, 0.99) == math.ceil(wider)


def test_required_cases_by_hand_where_something_is_lost() -> None:
    # p2 = 0.9, p1 = 0.99 * 0.9 = 0.891; of 5 % that differ 2.95 % are lost and 2.05 % gained, so p11 = 0.8705
    r, p1, p2, p11 = 0.97, 0.891, 0.9, 0.8705
    v1 = p1 + r * r * p2 - 2 * r * p11 - (p1 - r * p2) ** 2
    v0 = _variance_at(r, 0.8705, 0.0205, 0.0295)
    by_hand = ((Z * math.sqrt(v0) + 1.2815515655446004 * math.sqrt(v1)) / (p1 - r * p2)) ** 2
    assert required_cases(Plan(p2, 0.05, r, 0.99), 0.9) == math.ceil(by_hand)


@pytest.mark.parametrize(
    ("discordance", "power", "kept"), [(0.02, 0.8, 1.0), (0.04, 0.9, 1.0), (0.03, 0.8, 0.995), (0.0, 0.8, 0.995)]
)
def test_required_cases_give_the_power(discordance: float, power: float, kept: float) -> None:
    plan = Plan(0.94, discordance, 0.97, kept)
    n = required_cases(plan, power)
    assert n is not None
    assert power_at(n - 1, plan) < power <= power_at(n, plan) + 1e-12
    loss = 0.94 * (1 - kept)
    gained = max(0.0, discordance - loss) / 2
    cells = [0.94 - loss - gained, gained, gained + loss, 0.06 - gained]
    drawn = np.random.default_rng(5).multinomial(n, cells, size=800)
    passed = np.mean([ratio_lower_bound(PairedCounts(*map(int, row))) >= 0.97 for row in drawn])
    assert passed == pytest.approx(power, abs=0.055)


def test_disagreement_is_at_least_the_loss_and_at_most_what_is_left() -> None:
    assert required_cases(Plan(0.9, 0.0, 0.95, 0.98), 0.8) == required_cases(Plan(0.9, 0.018, 0.95, 0.98), 0.8)
    most = 0.018 + 2 * 0.1  # 1 - p2 is smaller than p1
    assert required_cases(Plan(0.9, 1.0, 0.95, 0.98), 0.8) == required_cases(Plan(0.9, most, 0.95, 0.98), 0.8)
    most = 0.006 + 2 * 0.294  # p1 is smaller than 1 - p2
    assert required_cases(Plan(0.3, 1.0, 0.95, 0.98), 0.8) == required_cases(Plan(0.3, most, 0.95, 0.98), 0.8)
    assert required_cases(Plan(0.3, 0.5, 0.95, 0.98), 0.8) != required_cases(Plan(0.3, most, 0.95, 0.98), 0.8)


def test_no_number_of_cases_is_enough() -> None:
    for plan in (Plan(0.9, 0.02, 1.0), Plan(0.0, 0.02, 0.97), Plan(0.9, 0.02, 0.97, 0.97), Plan(0.9, 0.02, 0.97, 0.9)):
        assert required_cases(plan, 0.8) is None
        assert power_at(10_000, plan) == 0.0
    assert required_cases(Plan(0.9, 0.02, 0.97), 1.0) is None


def test_power_by_hand() -> None:
    # without discordance and with everything right V1 = 0: shown from the first n with n (1 - R) >= Z^2 R, and no sooner
    certain = Plan(1.0, 0.0, 0.97)
    first = math.ceil(Z * Z * 0.97 / 0.03)
    assert (power_at(first - 1, certain), power_at(first, certain)) == (0.0, 1.0)
    assert ratio_lower_bound(PairedCounts(first, 0, 0, 0)) >= 0.97 > ratio_lower_bound(PairedCounts(first - 1, 0, 0, 0))
    half = Plan(1.0, 0.0, 0.5)  # here V1 is 0 to the last bit; Z^2 = 2.7 cases
    assert (power_at(2, half), power_at(3, half)) == (0.0, 1.0)
    plan = Plan(0.9, 0.0, 0.97)
    v0, v1 = 0.97 * 0.9 * 0.03, 0.9 * 0.1 * 0.03**2
    z = (math.sqrt(120) * 0.027 - Z * math.sqrt(v0)) / math.sqrt(v1)
    assert power_at(120, plan) == pytest.approx(0.5 * (1 + math.erf(z / math.sqrt(2))))
    assert power_at(120, plan, 0.99) < power_at(120, plan)


@given(st.floats(0.01, 1), st.floats(0, 1), st.floats(0.5, 0.99), st.floats(0.5, 0.99), st.floats(0.992, 1))
def test_required_cases_grow_with_what_is_asked(
    accuracy: float, discordance: float, bar: float, power: float, kept: float
) -> None:
    plan = Plan(accuracy, discordance, bar, kept)
    n = required_cases(plan, power)
    assert n is not None and n >= 1
    assert power_at(n, plan) >= power - 1e-9
    assert (required_cases(plan._replace(discordance=min(1.0, discordance + 0.05)), power) or 0) >= n - 1
    assert (required_cases(plan, min(0.999, power + 0.009)) or 0) >= n
    assert (required_cases(plan._replace(bar=bar + 0.001), power) or 0) >= n
    assert (required_cases(plan._replace(kept=(kept + 1) / 2), power) or 0) <= n + 1


def test_required_cases_with_a_power_below_chance_is_still_a_case() -> None:
    assert required_cases(Plan(0.9, 0.05, 0.97), 0.001) == 1
