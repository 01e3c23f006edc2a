import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.sequential import TrafficTest

blocks = st.lists(st.tuples(st.lists(st.booleans(), max_size=4), st.lists(st.booleans(), max_size=4)), max_size=20)


def test_two_blocks_by_hand() -> None:
    first = TrafficTest().after([True], [False])
    assert (first.log_evidence, first.p_value) == (0.0, 1.0)  # nothing is known yet, so nothing is bet
    assert (first.champion, first.challenger) == ((1, 0), (0, 1))
    # rates 1.5 / 2 and 0.5 / 2, their mean 1/2: 3/4 * 3/4 over 1/4
    second = first.after([True], [False])
    assert second.log_evidence == pytest.approx(math.log(9 / 4))
    assert second.p_value == pytest.approx(4 / 9)
    # one champion to two challengers: rates 2.5 / 3 and 0.5 / 3, weighted mean 7/18
    third = second.after([True], [True, False])
    factor = (5 / 6) * (1 / 6) * (5 / 6) / ((7 / 18) * (7 / 18) * (11 / 18))
    assert third.log_evidence == pytest.approx(math.log(9 / 4 * factor))
    assert (third.champion, third.challenger) == ((3, 0), (1, 3))


def test_evidence_may_fall_and_the_p_value_keeps_its_lowest() -> None:
    test = TrafficTest(champion=(9, 1), challenger=(5, 5)).after([True], [False])
    later = test.after([False], [True])
    assert later.log_evidence < test.log_evidence and later.p_value == test.p_value < 1


def test_a_challenger_that_looks_better_is_not_bet_against() -> None:
    assert TrafficTest(champion=(5, 5), challenger=(9, 1)).after([True], [False]).log_evidence == 0.0
    assert TrafficTest(champion=(5, 5), challenger=(5, 5)).after([True], [False]).log_evidence == 0.0
    for block in (([True], []), ([], [False])):
        assert TrafficTest(champion=(9, 1), challenger=(1, 9)).after(*block).log_evidence == 0.0


@given(blocks)
def test_all_outcomes_are_counted(found: list[tuple[list[bool], list[bool]]]) -> None:
    test = TrafficTest()
    for champion, challenger in found:
        test = test.after(champion, challenger)
    assert sum(test.champion) == sum(len(c) for c, _ in found) and test.champion[0] == sum(sum(c) for c, _ in found)
    assert sum(test.challenger) == sum(len(c) for _, c in found)
    assert 0 < test.p_value <= 1 and test.highest >= test.log_evidence


@given(st.floats(0.01, 0.99), st.integers(0, 20), st.integers(0, 20), st.integers(1, 3), st.integers(1, 3))
def test_no_rate_makes_a_block_grow_on_average(rate: float, good: int, bad: int, n_a: int, n_b: int) -> None:
    """The defining property of an e-value, by adding up all outcomes of one block under equal rates."""
    before = TrafficTest(champion=(good, 1), challenger=(1, bad))
    mean = 0.0
    for outcome in range(2 ** (n_a + n_b)):
        bits = [bool(outcome >> k & 1) for k in range(n_a + n_b)]
        chance = math.prod(rate if bit else 1 - rate for bit in bits)
        mean += chance * math.exp(before.after(bits[:n_a], bits[n_a:]).log_evidence)
    assert mean <= 1 + 1e-9


def _stopped(champion: float, challenger: float, runs: int, length: int) -> float:
    """How often a watcher who looks after every block and stops at p <= 0.05 does so within `length` blocks."""
    generator, stopped = np.random.default_rng(4), 0
    for _ in range(runs):
        test = TrafficTest()
        outcomes = generator.random((length, 2)) < (champion, challenger)
        for mine, other in outcomes.tolist():
            test = test.after([mine], [other])
            if test.p_value <= 0.05:
                stopped += 1
                break
    return stopped / runs


def test_looking_all_the_time_does_not_hurt_and_a_worse_one_is_found() -> None:
    assert _stopped(0.9, 0.9, runs=200, length=300) <= 0.05
    assert _stopped(0.8, 0.9, runs=60, length=300) <= 0.05
    assert _stopped(0.9, 0.75, runs=60, length=600) >= 0.8
