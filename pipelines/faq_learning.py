"""Learning the FAQ's verifier from the shop's calibration questions.

Each question is judged as if it were new: its own text is left out of what its entry is known by, and one text of the
other side as well, so that the number of texts tells nothing. Folds are by entry, both languages together. The
threshold for all entries is the lowest at which those judgements keep `ERROR`; an entry whose own
negatives come near gets a stricter one (after vCache, arXiv 2502.03771). Not covered: the frozen pairs, which choose
nothing (`pipelines/faq_fit.py`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.artifact import file_digest
from data.errors import BadInput
from data.schema import FaqCalibration, FaqEntry
from evals.statistics import upper_bound
from serving.faq_cache import CANDIDATES
from serving.faq_evidence import FEATURES, Evidence, evidence
from serving.faq_library import Library, Question
from serving.faq_reading import WORDS
from serving.faq_verifier import Figures, Fitted, Verifier, anchors, key, libraries, united
from serving.forest import Forest

ERROR = 0.003  # the bound that the threshold keeps here: below the bar, as the concepts were named with these in view
_FOLDS = 6
_FREEDOM = 0.1  # of the weights (C); small, as there are 32 features and 1,600 questions
_HARD = 4.0  # how much more a hard negative counts than another wrong entry, of which there are many
_TREES, _LEAF = 100, 3
_ABOVE = 0.01  # how far above its own negatives an entry's threshold is


@dataclass(frozen=True)
class _Judged:
    """One calibration question beside one candidate."""

    row: int  # of the question
    group: str  # the entry id that it was written for
    own: bool  # whether the candidate is that entry
    same: bool  # whether it should be answered by the candidate
    negative: bool  # whether it was written as a hard negative
    bare: bool  # whether the entry that it was written for was known by one question alone
    evidence: Evidence

    @property
    def trains(self) -> bool:
        """A hard negative may well be right for another entry: that is not known."""
        return self.same or self.own or not self.negative


def fit(
    entries: Sequence[FaqEntry],
    calibration: Sequence[FaqCalibration],
    vectors: Mapping[str, NDArray[np.float32]],
    embedder: str,
) -> Verifier:
    """Weights, trees and thresholds; deterministic.

    Raises:
        BadInput: too few entries are calibrated to judge by.
    """
    if len({row.id for row in calibration}) < _FOLDS:
        raise BadInput(f"faq_calibration.jsonl: at least {_FOLDS} entries must be calibrated, or none")
    found = libraries(entries, calibration, dict(vectors))
    judged = [one for library in found.values() for one in _judgements(library, entries, calibration, vectors)]
    table = _Table.of(judged)
    out_of_fold = _out_of_fold(table)
    threshold, figures = _threshold(judged, out_of_fold)
    scaler, regression, trees = _models(table, table.trains)
    fitted = Fitted(
        embedder=embedder,
        words=file_digest(WORDS),
        features=FEATURES,
        mean=tuple(np.round(scaler.mean_, 6).tolist()),
        scale=tuple(np.round(scaler.scale_, 6).tolist()),
        weights=tuple(np.round(regression.coef_[0], 6).tolist()),
        bias=round(float(regression.intercept_[0]), 6),
        threshold=threshold,
        thresholds=_own_thresholds(judged, out_of_fold, threshold),
        calibration=tuple(calibration),
        cross_validated=figures,
    )
    return Verifier(fitted, Forest.grown(trees))


def _judgements(
    library: Library,
    entries: Sequence[FaqEntry],
    calibration: Sequence[FaqCalibration],
    vectors: Mapping[str, NDArray[np.float32]],
) -> Iterator[_Judged]:
    """Every calibration question of a language beside the entries that come into question, and its own."""
    rows = {key(row): row for row in calibration}
    places = [_places(entry, entries, calibration) for entry in library.entries]
    counts = [len(anchors(entry, entries, calibration)) for entry in library.entries]
    for index, entry in enumerate(library.entries):
        row = rows.get(key(entry))
        if row is None:
            continue
        for number, text in enumerate((*row.paraphrases, *row.hard_negatives)):
            negative = text in row.hard_negatives
            without = {(i, of[number % len(of)]) for i, (p, n) in enumerate(places) for of in (p, n) if of}
            paraphrases, negatives = places[index]
            own, across = (negatives, paraphrases) if negative else (paraphrases, negatives)
            spot = row.hard_negatives.index(text) if negative else row.paraphrases.index(text)
            without = {(i, place) for i, place in without if i != index}
            without |= {(index, own[spot]), (index, across[number % len(across)])}
            alone = {(index, place) for place in range(1, counts[index])} | {at for at in without if at[0] != index}
            question = Question.of(text, vectors[text])
            for bare, left_out in ((False, without), (True, alone)):
                nearest = library.near(question, left_out)
                first = nearest[:CANDIDATES]
                kept = first + [near for near in nearest if near.entry is entry and near not in first]
                for one in evidence(library, question, kept, len(kept)):
                    own_one = one.entry is entry
                    name = _number(index, number, library, bare)
                    yield _Judged(name, entry.id, own_one, own_one and not negative, negative, bare, one)


def _number(index: int, number: int, library: Library, bare: bool) -> int:
    """A number for one question, the same in every run."""
    return ((index * 1000 + number) * 2 + (library.language == "zh")) * 2 + bare


def _places(
    entry: FaqEntry, entries: Sequence[FaqEntry], calibration: Sequence[FaqCalibration]
) -> tuple[list[int], list[int]]:
    """Where an entry's paraphrases and hard negatives stand among its anchors."""
    roles = [anchor.role for anchor in anchors(entry, entries, calibration)]
    return (
        [i for i, role in enumerate(roles) if role == "paraphrase"],
        [i for i, role in enumerate(roles) if role == "negative"],
    )


@dataclass(frozen=True)
class _Table:
    """All judgements as scikit-learn takes them."""

    features: NDArray[np.float64]
    labels: NDArray[np.int_]
    weights: NDArray[np.float64]
    trains: NDArray[np.int_]  # the rows that may be learned from
    groups: list[str]

    @classmethod
    def of(cls, judged: Sequence[_Judged]) -> "_Table":
        return cls(
            np.array([one.evidence.features for one in judged]),
            np.array([one.same for one in judged], dtype=int),
            np.array([_HARD if one.own and one.negative else 1.0 for one in judged]),
            np.array([row for row, one in enumerate(judged) if one.trains]),
            [one.group for one in judged],
        )


def _models(table: _Table, rows: NDArray[np.int_]) -> tuple[Any, Any, Any]:
    """The scaler, the regression and the trees, fitted to some rows."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    features, labels, weights = table.features[rows], table.labels[rows], table.weights[rows]
    scaler = StandardScaler().fit(features)
    regression = LogisticRegression(C=_FREEDOM, max_iter=1000)
    trees = ExtraTreesClassifier(_TREES, min_samples_leaf=_LEAF, max_features=0.4, random_state=0, n_jobs=-1)
    regression.fit(scaler.transform(features), labels, sample_weight=weights)
    trees.fit(features.astype(np.float32), labels, sample_weight=weights)
    trees.set_params(n_jobs=1)  # else its mean depends, in the last digit, on which thread is the first
    return scaler, regression, trees


def _out_of_fold(table: _Table) -> NDArray[np.float64]:
    """Each judgement by models that saw nothing of the question's entry, in either language."""
    from sklearn.model_selection import GroupKFold

    found = np.zeros(len(table.labels))
    for seen, new in GroupKFold(_FOLDS).split(table.features, table.labels, table.groups):
        scaler, regression, trees = _models(table, np.intersect1d(seen, table.trains))
        of = table.features[new]
        by_line, by_trees = regression.predict_proba(scaler.transform(of)), trees.predict_proba(of.astype(np.float32))
        found[new] = united(by_line[:, 1], by_trees[:, 1])
    return found


def _threshold(judged: Sequence[_Judged], probabilities: NDArray[np.float64]) -> tuple[float, Figures]:
    """The lowest threshold that keeps `ERROR`, with calibrated entries and with bare ones, and what it gives with the
    former."""
    views = [_view(judged, probabilities, bare) for bare in (False, True)]
    threshold = max(_lowest(hits, asked) for hits, _, asked in views)
    hits, same, asked = views[0]
    right = sum(one.same for probability, one in hits if probability >= threshold)
    wrong = sum(_wrong(one) for probability, one in hits if probability >= threshold)
    figures = Figures(
        pairs=asked,
        same=same,
        true_hits=right,
        false_hits=wrong,
        hit_rate=round(right / same, 4),
        false_hit_upper_95=round(upper_bound(wrong, asked), 6),
    )
    return threshold, figures


def _view(
    judged: Sequence[_Judged], probabilities: NDArray[np.float64], bare: bool
) -> tuple[list[tuple[float, _Judged]], int, int]:
    """Each question's best candidate without an objection, most probable first; how many paraphrases, how many in all."""
    best: dict[int, tuple[float, _Judged]] = {}
    asked: dict[int, bool] = {}
    for one, probability in zip(judged, probabilities.tolist(), strict=True):
        if one.bare == bare:
            asked[one.row] = one.negative
            if not one.evidence.objections and (one.row not in best or probability > best[one.row][0]):
                best[one.row] = (probability, one)
    hits = sorted(best.values(), key=lambda hit: (-hit[0], hit[1].row))
    return hits, sum(not negative for negative in asked.values()), len(asked)


def _lowest(hits: Sequence[tuple[float, _Judged]], asked: int) -> float:
    """The lowest of the hits' probabilities, rounded up, down to which wrong ones stay within `ERROR`."""
    kept, wrong = 1.0, 0
    for probability, one in hits:
        wrong += _wrong(one)
        if upper_bound(wrong, asked) > ERROR:
            break
        kept = probability
    return math.ceil(kept * 10_000) / 10_000


def _wrong(one: _Judged) -> bool:
    """A hit that is false: on the entry of a hard negative, or on another than a paraphrase's."""
    return not one.same and (one.own or not one.negative)


def _own_thresholds(
    judged: Sequence[_Judged], probabilities: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    """Stricter thresholds of entries whose own hard negatives come near the common one."""
    found: dict[str, float] = {}
    for one, probability in zip(judged, probabilities, strict=True):
        if (
            one.own
            and one.negative
            and not one.bare
            and not one.evidence.objections
            and probability + _ABOVE > threshold
        ):
            name = key(one.evidence.entry)
            found[name] = max(found.get(name, 0.0), round(min(float(probability) + _ABOVE, 1.0), 4))
    return dict(sorted(found.items()))
