"""Parity between training and serving, from token ids: whether all sides read the same conversations as the same prompt, and
whether the models between the adapter and the engine write the same labels. Pure: ids come in, a verdict goes out.

Not covered: asking an engine for ids (`evals/token_ids.py`), Transformers, and finding what to compare (`pipelines/parity.py`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple

from data.schema import Strict
from evals.statistics import wilson_interval

# The least share of equal labels, neighbours of the chain. Adapter and merged model differ by one rounding to BF16; FP8 may
# change as many labels as the gate expects (`gate.PLANNED_DISCORDANCE`); the engine has other kernels, and on a GPU FP8
# activations.
RATES = {("adapter", "merged"): 0.995, ("merged", "dequantized"): 0.97, ("dequantized", "served"): 0.98}
BEFORE, AFTER = 12, 6  # tokens shown around the first that differs
SHOWN = 5  # differences that are told in full

Ids = Sequence[int]
Decode = Callable[[Ids], str]
Json = dict[str, Any]


class Side(NamedTuple):
    """Who made ids, one sequence a case, and how it reads them."""

    name: str
    ids: Sequence[Ids]
    decode: Decode


class Difference(Strict):
    """The first token at which two sides part; None where one has already ended. Texts mark that token with ⟨⟩."""

    case: str
    position: int
    sides: tuple[str, str]
    tokens: tuple[int | None, int | None]
    texts: tuple[str, str]

    def __str__(self) -> str:
        told = (
            f"{side}: {'the end' if token is None else token} in {text!r}"
            for side, token, text in zip(self.sides, self.tokens, self.texts, strict=True)
        )
        return f"{self.case}: token {self.position} differs; " + "; ".join(told)


class Agreement(Strict):
    """How many labels two models write alike, token by token, the end of turn included. `lower`: 95 %, two-sided, Wilson."""

    sides: tuple[str, str]
    cases: int
    equal: int
    required: float
    lower: float
    differences: tuple[Difference, ...]  # the first of them

    @property
    def rate(self) -> float:
        """The share of equal labels; 0 without cases."""
        return self.equal / self.cases if self.cases else 0.0

    @property
    def fault(self) -> str | None:
        """Why this is not parity, if it is not."""
        pair, needed = "-".join(self.sides), fewest_cases(self.required)
        if self.cases < needed:
            few = f"{pair}: {self.cases} labels cannot show a rate of {self.required:.1%}"
            return f"{few}; {needed - self.cases} more are needed"
        if self.rate >= self.required:
            return None
        found = (
            f"{pair}: {self.equal} of {self.cases} labels are the same ({self.rate:.1%}), expected {self.required:.1%}"
        )
        return f"{found}; {self.differences[0]}"


class Parity(Strict):
    """The verdict. `missing` names what was not there to be compared; with anything missing parity is not shown."""

    prompts: int
    sides: tuple[str, ...]  # whose prompts were compared
    token_ids_equal: bool
    differences: tuple[Difference, ...]
    agreements: tuple[Agreement, ...]
    missing: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was compared and nothing differs."""
        return not self.reasons and not self.missing

    def body(self) -> Json:
        """As `kefu parity --json` prints it."""
        shown = ("prompts", "sides", "token_ids_equal", "missing", "reasons")
        labels = [difference for found in self.agreements for difference in found.differences]
        return {
            **{key: getattr(self, key) for key in shown},
            "labels_equal": {"-".join(found.sides): found.rate for found in self.agreements},
            "labels_required": {"-".join(found.sides): found.required for found in self.agreements},
            "labels": {"-".join(found.sides): found.cases for found in self.agreements},
            "differences": [found.model_dump() for found in (*self.differences, *labels)],
            "passed": self.passed,
        }


def first_difference(case: str, one: Side, other: Side, index: int) -> Difference | None:
    """Where the two sides' ids of the case at `index` part, or None."""
    pairs = list(zip_longest(one.ids[index], other.ids[index]))
    position = next((place for place, (left, right) in enumerate(pairs) if left != right), None)
    if position is None:
        return None
    texts = (_around(one, index, position), _around(other, index, position))
    return Difference(case=case, position=position, sides=(one.name, other.name), tokens=pairs[position], texts=texts)


def prompt_differences(names: Sequence[str], sides: Sequence[Side]) -> list[Difference]:
    """Every case in which a side reads another prompt than the side before it."""
    return [
        found
        for one, other in pairwise(sides)
        for index, name in enumerate(names)
        if (found := first_difference(name, one, other, index)) is not None
    ]


def agreement(names: Sequence[str], one: Side, other: Side, required: float) -> Agreement:
    """How far two models write the same labels."""
    found = [first_difference(name, one, other, index) for index, name in enumerate(names)]
    different = [difference for difference in found if difference is not None]
    equal = len(names) - len(different)
    return Agreement(
        sides=(one.name, other.name),
        cases=len(names),
        equal=equal,
        required=required,
        lower=wilson_interval(equal, len(names)).lower,
        differences=tuple(different[:SHOWN]),
    )


def fewest_cases(rate: float) -> int:
    """With fewer cases than this a single difference, and nothing finer, decides about `rate`."""
    return math.ceil(round(1 / (1 - rate), 6))


def wrong_ends(end: int, found: Mapping[str, Sequence[int]]) -> list[str]:
    """What does not end a turn with the token that the trained rows end with; `found` maps a place to its end tokens."""
    return [
        f"{place} ends a turn with {', '.join(map(str, ends)) or 'nothing'}, the trained rows with {end}"
        for place, ends in found.items()
        if end not in ends
    ]


def judge(
    names: Sequence[str],
    sides: Sequence[Side],
    agreements: Sequence[Agreement] = (),
    ends: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> Parity:
    """The verdict on prompts (of at least two sides), labels and end tokens."""
    differences = prompt_differences(names, sides)
    reasons = [str(difference) for difference in differences[:SHOWN]]
    if len(differences) > SHOWN:
        reasons.append(f"{len(differences) - SHOWN} prompts more differ")
    if not names or len(sides) < 2:
        reasons.append("no prompts were compared")
    reasons += [*ends, *(fault for found in agreements if (fault := found.fault) is not None)]
    return Parity(
        prompts=len(names),
        sides=tuple(side.name for side in sides),
        token_ids_equal=bool(names) and len(sides) > 1 and not differences,
        differences=tuple(differences[:SHOWN]),
        agreements=tuple(agreements),
        missing=tuple(missing),
        reasons=tuple(reasons),
    )


def _around(side: Side, index: int, position: int) -> str:
    ids = side.ids[index]
    before, at, after = ids[max(0, position - BEFORE) : position], ids[position : position + 1], ids[position + 1 :]
    return f"{side.decode(before)}⟨{side.decode(at)}⟩{side.decode(after[:AFTER])}"
