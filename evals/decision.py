"""What a gate concludes: the decision, the figures and tests behind it, and the findings that it is put together from.

Not covered: reaching it (`evals/gate.py`).
"""

import math
from typing import Any, NamedTuple

from pydantic import Field

from data.schema import Strict

Figure = float | int | str


class PairedTest(Strict):
    """One skill (an intent, or tools) tested on the cases that two models share: one-sided exact McNemar."""

    skill: str
    reference: str
    cases: int
    lost: int
    gained: int
    p_value: float
    adjusted: float  # Holm, over all skills held against this reference


class Decision(Strict):
    """Whether the candidate may be released, why not, every number that was looked at, and the bars it was held to."""

    passed: bool
    reasons: tuple[str, ...]
    figures: dict[str, Figure]
    tests: tuple[PairedTest, ...] = ()
    thresholds: dict[str, Any] = Field(default_factory=dict)  # the recipe's `gate`, as it was


class Findings(NamedTuple):
    """What one part of the gate found; its reasons all speak against the candidate."""

    figures: dict[str, Figure]
    reasons: list[str]
    tests: tuple[PairedTest, ...] = ()


def rounded_down(value: float) -> str:
    """Three digits, rounded down, so that what is below a bar never reads as if it reached it."""
    return f"{math.floor(value * 1000) / 1000:.3f}"
