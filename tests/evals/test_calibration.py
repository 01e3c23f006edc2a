import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schema import IntentCase
from evals.calibration import calibration
from evals.predict import Prediction


def said(probability: float | None, right: bool = True, predicted: str | None = None) -> Prediction:
    case = IntentCase(text="x", intent="a", language="en")
    return Prediction(case=case, predicted="a" if right else predicted, probability=probability)


def test_by_hand() -> None:
    found = calibration([said(0.95), said(0.85), said(0.85, False, "b"), said(0.3, False), said(None, False)])
    assert found is not None
    assert (found.cases, found.missing) == (4, 1)
    rows = [(b.cases, round(b.probability, 9), b.accuracy) for b in found.bins]
    assert rows == [(1, 0.3, 0.0), (2, 0.85, 0.5), (1, 0.95, 1.0)]
    assert found.error == pytest.approx((0.3 + 2 * 0.35 + 0.05) / 4)
    assert found.brier == pytest.approx((0.05**2 + 0.15**2 + 0.85**2 + 0.3**2) / 4)
    # pairs of a right and a wrong one: 0.95 beats both, 0.85 beats 0.3 and ties with 0.85
    assert found.ranking == pytest.approx(3.5 / 4)


def test_the_ends_of_the_scale_have_bins() -> None:
    found = calibration([said(0.0, False), said(0.1, False), said(0.1000001), said(1.0)])
    assert found is not None
    assert [b.cases for b in found.bins] == [2, 1, 1]


def test_nothing_known_nothing_said() -> None:
    assert calibration([]) is None and calibration([said(None)]) is None
    all_right = calibration([said(0.7), said(0.9)])
    assert all_right is not None and all_right.ranking is None
    all_wrong = calibration([said(0.7, False)])
    assert all_wrong is not None and (all_wrong.ranking, all_wrong.brier) == (None, pytest.approx(0.49))


def test_a_model_that_knows_how_sure_it_may_be_has_no_error() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.random(4000)
    right = generator.random(4000) < probabilities
    honest = calibration([said(float(p), bool(r)) for p, r in zip(probabilities, right, strict=True)])
    boastful = calibration([said(float(p) ** 0.2, bool(r)) for p, r in zip(probabilities, right, strict=True)])
    assert honest is not None and boastful is not None
    assert honest.error < 0.03 < 0.2 < boastful.error
    assert honest.ranking == pytest.approx(boastful.ranking)  # the order is the same


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_every_case_is_in_one_bin(found: list[tuple[float, bool]]) -> None:
    figures = calibration([said(p, right) for p, right in found])
    assert figures is not None and sum(b.cases for b in figures.bins) == len(found)
    assert 0 <= figures.error <= 1 and 0 <= figures.brier <= 1
