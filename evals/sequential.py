"""A comparison of two models under live traffic that may be looked at after every request and stopped at any time.

Each block is a fixed number of requests answered by the champion and by the challenger; an outcome is good or bad (solved,
liked, not handed over). Not covered: splitting the traffic and judging an outcome.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TrafficTest:
    """Evidence that the challenger does worse than the champion.

    The e-process of Turner, Ly & Grünwald, Journal of Statistical Planning and Inference 230 (2024) 106116, section 2: a
    block with outcomes of n_a and n_b requests multiplies the evidence by p_a(y_a) p_b(y_b) / (p_0(y_a) p_0(y_b)), where
    p_a and p_b are learned from the blocks before it and p_0 is their mean weighted by n_a and n_b. Whatever the true
    rates are, as long as the challenger is at least as good the evidence exceeds 1 / alpha at any time with probability
    alpha at most (Ville's inequality); where the challenger looks no worse, nothing is bet and a block counts as 1.
    """

    champion: tuple[int, int] = (0, 0)  # good, bad
    challenger: tuple[int, int] = (0, 0)
    log_evidence: float = 0.0
    highest: float = 0.0  # of `log_evidence`, at any time so far

    def after(self, champion: Sequence[bool], challenger: Sequence[bool]) -> "TrafficTest":
        """The test after one more block. How many requests a block holds must be fixed before it is answered."""
        better, worse = _rate(self.champion), _rate(self.challenger)
        n_a, n_b = len(champion), len(challenger)
        factor = 0.0
        if better > worse and n_a and n_b:
            alike = (n_a * better + n_b * worse) / (n_a + n_b)
            factor = _log_likelihood(better, champion) + _log_likelihood(worse, challenger)
            factor -= _log_likelihood(alike, champion) + _log_likelihood(alike, challenger)
        evidence = self.log_evidence + factor
        return replace(
            self,
            champion=_added(self.champion, champion),
            challenger=_added(self.challenger, challenger),
            log_evidence=evidence,
            highest=max(self.highest, evidence),
        )

    @property
    def p_value(self) -> float:
        """Valid at any time, however often it was looked at before: 1 over the highest evidence so far."""
        return math.exp(-self.highest)


def _rate(counts: tuple[int, int]) -> float:
    """The share of good outcomes, half a case of each added (Krichevsky & Trofimov 1981), so that it is never 0 or 1."""
    good, bad = counts
    return (good + 0.5) / (good + bad + 1)


def _log_likelihood(rate: float, outcomes: Sequence[bool]) -> float:
    good = sum(outcomes)
    return good * math.log(rate) + (len(outcomes) - good) * math.log(1 - rate)


def _added(counts: tuple[int, int], outcomes: Sequence[bool]) -> tuple[int, int]:
    good = sum(outcomes)
    return counts[0] + good, counts[1] + len(outcomes) - good
