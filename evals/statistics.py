"""Intervals and paired tests behind the gate, each with the source of its formula.

Pairs are two models' answers to the same cases; "first" is the candidate, "second" the reference. Not covered: what is
compared with which bar (`evals/comparison.py`) and tests that may stop at any time (`evals/sequential.py`).
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.schema import Strict

Indices = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
NORMAL = NormalDist()


class Interval(Strict):
    """A two-sided confidence interval."""

    lower: float
    upper: float


class Accuracy(Strict):
    """How many of some cases were right, with Wilson's interval."""

    cases: int
    accuracy: float
    accuracy_interval: Interval

    @classmethod
    def of(cls, right: Iterable[bool]) -> "Accuracy":
        """Of at least one case."""
        found = list(right)
        interval = wilson_interval(sum(found), len(found))
        return cls(cases=len(found), accuracy=sum(found) / len(found), accuracy_interval=interval)


class PairedCounts(NamedTuple):
    """How often both, only the first, only the second, and neither of two models were right on the same cases."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> "PairedCounts":
        """Counts pairs; both sequences are in the order of the cases."""
        pairs = list(zip(first, second, strict=True))
        return cls(*(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def n(self) -> int:
        """The number of pairs."""
        return sum(self)

    @property
    def discordance(self) -> float:
        """The share of pairs on which the two differ; 0 without pairs."""
        return (self.only_first + self.only_second) / self.n if self.n else 0.0

    @property
    def ratio(self) -> float:
        """Accuracy of the first over accuracy of the second; 0 where the second has none, as nothing was retained."""
        reference = self.both + self.only_second
        return (self.both + self.only_first) / reference if reference else 0.0


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion: Wilson, JASA 22 (1927) 209-212, by scipy. Without trials it is [0, 1]."""
    from scipy.stats import binomtest

    if n == 0:
        return Interval(lower=0.0, upper=1.0)
    found = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(lower=float(found.low), upper=float(found.high))


def upper_bound(events: int, n: int, confidence: float = 0.95) -> float:
    """The exact one-sided upper bound of a proportion: Clopper & Pearson, Biometrika 26 (1934) 404-413. Without trials it
    is 1."""
    from scipy.stats import beta

    return float(beta.ppf(confidence, events + 1, n - events)) if events < n else 1.0


def stratified_bootstrap(
    strata: Sequence[Hashable],
    statistic: Callable[[Indices, Values], Values],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The interval of a statistic between 0 and 1: the estimate and its bootstrap standard error on the logit scale.

    `statistic` maps a (rows, m) matrix of case indices and the m weights of its columns to one value a row. Resampling
    is inside each stratum, one case fewer than the n it has, each with the weight n / (n - 1): drawing n would make the
    variance too small by (n - 1) / n, which shows where a label has a dozen cases (Rao & Wu, JASA 83 (1988) 231-241).
    The interval is Efron & Tibshirani's standard one on a transformed scale (An Introduction to the Bootstrap (1993),
    chapter 12): near 1 a figure is skewed, and percentiles then cover too little (`evals/simulation.py` measures it). A
    stratum of one case does not vary; with no variation at all (every case right, say) the interval is a point: read
    Wilson's of the accuracy beside it.
    """
    generator = np.random.default_rng(seed)
    members: dict[Hashable, list[int]] = {}
    for index, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(index)
    drawn, weights = [], []
    for among in members.values():
        size = max(1, len(among) - 1)
        drawn.append(generator.choice(np.array(among, dtype=np.int64), (resamples, size)))
        weights.append(np.full(size, len(among) / size))
    error = float(np.std(statistic(np.concatenate(drawn, axis=1), np.concatenate(weights))))
    estimate = float(statistic(np.arange(len(strata))[None, :], np.ones(len(strata)))[0])
    if not 0 < estimate < 1:
        return Interval(lower=estimate, upper=estimate)
    centre = math.log(estimate / (1 - estimate))
    half = NORMAL.inv_cdf((1 + confidence) / 2) * error / (estimate * (1 - estimate))
    return Interval(lower=_expit(centre - half), upper=_expit(centre + half))


@lru_cache(maxsize=4096)  # a simulated gate asks for the same few a million times
def mcnemar(gained: int, lost: int, *, one_sided: bool = False) -> float:
    """The p-value of the exact McNemar test on discordant pairs: McNemar, Psychometrika 12 (1947) 153-157.

    Under equality the gains are binomial(gained + lost, 1/2). One-sided asks only whether too many were lost.
    """
    from scipy.stats import binomtest

    if gained + lost == 0:
        return 1.0
    return float(binomtest(gained, gained + lost, 0.5, alternative="less" if one_sided else "two-sided").pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values adjusted for looking at all of them: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, (name, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, value * (len(p_values) - rank)))
        adjusted[name] = largest
    return adjusted


def ratio_lower_bound(counts: PairedCounts, confidence: float = 0.95) -> float:
    """The one-sided lower bound of the ratio of two paired accuracies, first over second, in [0, ratio].

    It inverts the score test of Nam & Blackwelder, Statistics in Medicine 21 (2002) 689-699, as Tang, Tang & Chan,
    Statistics in Medicine 22 (2003) 1217-1233, do: the smallest R that z(R) = (p1 - R p2) / sqrt(V(R) / n) does not
    reject, where V(R) = R (p10 + p01) at the maximum likelihood under p1 = R p2. Without discordant pairs z(R) has the
    closed form sqrt(both (1 - R) / R). Where a model has nothing right the bound is 0. `confidence` is above 0.5.
    """
    from scipy.optimize import brentq

    quantile = NORMAL.inv_cdf(confidence)
    first, second = counts.both + counts.only_first, counts.both + counts.only_second
    if first == 0 or second == 0:
        return 0.0
    if counts.only_first + counts.only_second == 0:
        return counts.both / (counts.both + quantile**2)

    def excess(ratio: float) -> float:
        variance = _variance_at(ratio, counts.both, counts.only_first, counts.only_second)
        return (first - ratio * second) - quantile * math.sqrt(variance)

    return float(brentq(excess, 1e-12, first / second))


class Plan(NamedTuple):
    """What a comparison is planned for: the reference's accuracy, how much of it the candidate truly keeps, the share of
    cases on which the two then differ, and the bar that is to be shown."""

    accuracy: float
    discordance: float
    bar: float
    kept: float = 1.0


def required_cases(plan: Plan, power: float, confidence: float = 0.95) -> int | None:
    """The pairs needed to show with `power` that more than `plan.bar` of the accuracy is kept.

    After Nam & Blackwelder, Statistics in Medicine 21 (2002) 689-699: n = ((z_a sqrt(V0) + z_b sqrt(V1)) / (p1 - R p2))^2,
    with V0 under the bar and V1 = p1 + R^2 p2 - 2 R p11 - (p1 - R p2)^2 in truth. None where no number is enough (a
    power of 1, an accuracy of 0, no more kept than the bar).
    """
    if power >= 1 or plan.accuracy <= 0 or plan.kept <= plan.bar:
        return None
    at_bar, in_truth, distance = _spreads(plan)
    spread = NORMAL.inv_cdf(confidence) * at_bar + NORMAL.inv_cdf(power) * in_truth
    return max(1, math.ceil((max(0.0, spread) / distance) ** 2))


def power_at(n: int, plan: Plan, confidence: float = 0.95) -> float:
    """The probability that `n` pairs show it: `required_cases` solved for the power. 0 where no number of pairs does."""
    if plan.accuracy <= 0 or plan.kept <= plan.bar:
        return 0.0
    at_bar, in_truth, distance = _spreads(plan)
    excess = math.sqrt(n) * distance - NORMAL.inv_cdf(confidence) * at_bar
    return NORMAL.cdf(excess / in_truth) if in_truth else float(excess >= 0)


def _spreads(plan: Plan) -> tuple[float, float, float]:
    """The standard deviations of a pair under the bar and in truth, and p1 - R p2. The share of pairs that differ is at
    least the loss and at most what the accuracies leave room for."""
    first, bar = plan.kept * plan.accuracy, plan.bar
    loss = plan.accuracy - first
    most = loss + 2 * min(first, 1 - plan.accuracy)
    gained = (min(max(plan.discordance, loss), most) - loss) / 2
    both, distance = first - gained, first - bar * plan.accuracy
    at_bar = _variance_at(bar, both, gained, gained + loss)
    in_truth = max(0.0, first + bar**2 * plan.accuracy - 2 * bar * both - distance**2)
    return math.sqrt(at_bar), math.sqrt(in_truth), distance


def _variance_at(ratio: float, both: float, only_first: float, only_second: float) -> float:
    """n V(R): the variance of first - R second (counts or shares) at the maximum likelihood under p1 = R p2.

    With s = p11 + p10 + p01 fixed at what was seen, one parameter is left, q = p2: p11 = (R + 1) q - s, p10 = s - q,
    p01 = s - R q. The equation both (R + 1) / p11 = only_second R / p01 + only_first / p10 is A q^2 - B q + C = 0;
    its smaller root is the one with all cells >= 0 (written as 2C / (B + root), which does not cancel).
    """
    seen = both + only_first + only_second
    a = ratio * (ratio + 1) * seen
    b = seen * (both * (ratio + 1) ** 2 + only_second * ratio * (ratio + 2) + only_first * (2 * ratio + 1))
    c = seen**2 * (both * (ratio + 1) + only_second * ratio + only_first)
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return ratio * max(0.0, 2 * seen - (1 + ratio) * 2 * c / (b + root))


def _expit(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))
