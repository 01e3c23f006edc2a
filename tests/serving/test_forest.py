"""The walk gives what scikit-learn gives."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from serving.forest import Forest


def test_probabilities_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 6)).astype(np.float32)
    labels = (rows[:, 0] * rows[:, 1] > 0).astype(int)
    weights = np.where(labels, 1.0, 3.0)
    grown = ExtraTreesClassifier(20, min_samples_leaf=3, random_state=0).fit(rows, labels, sample_weight=weights)
    forest = Forest.of(Forest.grown(grown).arrays())
    new = random.normal(size=(50, 6)).astype(np.float32)
    assert np.allclose(forest.probability(new), grown.predict_proba(new)[:, 1], atol=1e-6)


def test_a_missing_array_is_told() -> None:
    with pytest.raises((KeyError, TypeError)):
        Forest.of({"roots": np.zeros(1, dtype=np.int32)})
