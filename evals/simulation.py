"""How often the gate's comparisons pass a candidate whose true quality is known, and how often an interval holds the truth.

Cases are drawn, counted and handed to the same functions that decide on real ones. Not covered: bars on a point estimate
(F1, tool calls), which have no error rate of their own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.schema import IntentCase
from evals.comparison import Comparison
from evals.decision import Findings
from evals.metrics import macro_f1_interval
from evals.predict import Prediction
from evals.statistics import Interval, PairedCounts, ratio_lower_bound, wilson_interval
from recipes.recipe import GateRecipe

Against = Callable[[Comparison, GateRecipe], Findings]


class Truth(NamedTuple):
    """A pair of models: the reference's accuracy, the share of it that the candidate keeps, how often they differ."""

    accuracy: float = 0.95
    kept: float = 1.0
    discordance: float = 0.03

    @property
    def cells(self) -> tuple[float, float, float, float]:
        """The probabilities of both, only the candidate, only the reference and neither being right."""
        loss = self.accuracy * (1 - self.kept)
        gained = (max(self.discordance, loss) - loss) / 2
        both = self.accuracy - loss - gained
        return both, gained, gained + loss, 1 - both - 2 * gained - loss


def drawn(truth: Truth, n: int, intents: int, generator: np.random.Generator) -> Comparison:
    """A comparison of `n` cases, spread evenly over the intents."""
    sizes = np.bincount(np.arange(n) % intents, minlength=intents)
    rows = generator.multinomial(sizes, truth.cells)
    skills = {f"intent_{k}": PairedCounts(*map(int, row)) for k, row in enumerate(rows)}
    return Comparison(overall=PairedCounts(*map(int, rows.sum(axis=0))), skills=skills)


def pass_rate(
    against: Against,
    truth: Truth,
    n: int,
    thresholds: GateRecipe,
    *,
    runs: int = 10_000,
    intents: int = 25,
    seed: int = 0,
) -> float:
    """The share of runs in which a candidate passes `against_bf16` or `against_champion` on `n` cases."""
    generator = np.random.default_rng(seed)
    passed = 0
    for _ in range(runs):
        passed += not against(drawn(truth, n, intents, generator), thresholds).reasons
    return passed / runs


def bound_coverage(truth: Truth, n: int, *, runs: int = 10_000, seed: int = 0) -> float:
    """How often the one-sided 95 % lower bound of retention lies at or below what is truly kept."""
    rows = np.random.default_rng(seed).multinomial(n, truth.cells, size=runs)
    return float(np.mean([ratio_lower_bound(PairedCounts(*map(int, row))) <= truth.kept for row in rows]))


def wilson_coverage(share: float, n: int, *, runs: int = 10_000, seed: int = 0) -> float:
    """How often Wilson's 95 % interval holds the true share."""
    counts = np.random.default_rng(seed).binomial(n, share, size=runs)
    held: dict[int, bool] = {int(k): _holds(wilson_interval(int(k), n), share) for k in set(counts.tolist())}
    return float(np.mean([held[int(k)] for k in counts]))


def macro_f1_coverage(
    accuracy: float, *, intents: int = 25, each: int = 12, runs: int = 10_000, seed: int = 0
) -> float:
    """How often the bootstrap interval of macro-F1 holds the F1 that the same model has on very many cases.

    A wrong label is one of the next two intents, so that errors are shared out unevenly, as real ones are; the accuracies
    of the single intents are spread around `accuracy`.
    """
    generator = np.random.default_rng(seed)
    names = [f"intent_{k}" for k in range(intents)]
    rates = np.clip(accuracy + 0.08 * np.linspace(-1, 1, intents), 0.0, 1.0)
    chances = np.zeros((intents, intents))
    for k, rate in enumerate(rates):
        chances[k, k] += rate
        chances[k, (k + 1) % intents] += (1 - rate) * 0.7
        chances[k, (k + 2) % intents] += (1 - rate) * 0.3
    truth = float(np.mean(2 * np.diag(chances) / (chances.sum(axis=0) + 1)))
    held = 0
    for _ in range(runs):
        found = _predictions(chances, names, each, generator)
        held += _holds(macro_f1_interval(found, names), truth)
    return held / runs


def _predictions(
    chances: npt.NDArray[np.float64], names: list[str], each: int, generator: np.random.Generator
) -> list[Prediction]:
    found = []
    for name, row in zip(names, chances, strict=True):
        case = IntentCase(text="x", intent=name, language="en")
        found += [Prediction(case=case, predicted=names[k]) for k in generator.choice(len(names), each, p=row)]
    return found


def _holds(interval: Interval, truth: float) -> bool:
    return interval.lower <= truth <= interval.upper
