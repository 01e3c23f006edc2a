"""Whether the probability that a model gives its own label can be believed: a label said with 0.9 should be right nine
times in ten.

The probability is that of the whole label, the product of its tokens' (their log probabilities come from the engine).
Not covered: correcting it.
"""

from collections.abc import Sequence

import numpy as np

from data.schema import Strict
from evals.predict import Prediction

BINS = 10


class Bin(Strict):
    """The answers whose probability lies in one tenth of the scale."""

    cases: int
    probability: float  # their mean
    accuracy: float


class Calibration(Strict):
    """Figures over the answers that came with a probability; `missing` counts those without (failed requests)."""

    cases: int
    missing: int
    error: float  # expected calibration error, 0 to 1
    brier: float  # mean squared difference between probability and outcome, 0 is best
    ranking: float | None  # how well the probability tells right from wrong: area under the ROC curve, 0.5 is chance
    bins: tuple[Bin, ...]  # from low to high, empty ones left out


def calibration(predictions: Sequence[Prediction]) -> Calibration | None:
    """The calibration of some predictions, or None where no answer has a probability.

    The expected calibration error is the mean distance of accuracy and probability over ten bins of equal width,
    weighted by their cases (Guo et al., ICML 2017, equation 3); the Brier score is that of Brier, Monthly Weather Review
    78 (1950) 1-3, for the event "the label is right". Unparsable answers are wrong.
    """
    from sklearn.metrics import brier_score_loss, roc_auc_score

    known = [(p.probability, p.right) for p in predictions if p.probability is not None]
    if not known:
        return None
    said, right = np.array([x for x, _ in known]), np.array([x for _, x in known], dtype=np.int64)
    bins = _bins(said, right)
    return Calibration(
        cases=len(known),
        missing=len(predictions) - len(known),
        error=sum(b.cases * abs(b.accuracy - b.probability) for b in bins) / len(known),
        brier=float(brier_score_loss(right, said, pos_label=1)),
        ranking=float(roc_auc_score(right, said)) if len(set(right.tolist())) == 2 else None,
        bins=bins,
    )


def _bins(said: np.typing.NDArray[np.float64], right: np.typing.NDArray[np.int64]) -> tuple[Bin, ...]:
    """Bin k holds (k/10, (k+1)/10], the first one 0 too, as in the paper."""
    where = np.clip(np.ceil(said * BINS) - 1, 0, BINS - 1)
    groups = [where == k for k in range(BINS)]
    return tuple(
        Bin(cases=int(g.sum()), probability=float(said[g].mean()), accuracy=float(right[g].mean()))
        for g in groups
        if g.any()
    )
