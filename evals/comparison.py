"""The candidate against a reference on the same cases: counts of pairs in, findings out.

BF16 asks what quantization kept; the champion asks whether the candidate is as good overall, on each protected slice and
skill by skill. Not covered: whether both were asked the same (`evals/gate.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evals.decision import Figure, Findings, PairedTest, rounded_down
from evals.predict import Prediction, ToolPrediction
from evals.statistics import PairedCounts, Plan, holm, mcnemar, power_at, ratio_lower_bound, required_cases
from recipes.recipe import GateRecipe

# What runs are planned for, fixed before any of them: a good candidate keeps 99.5 % and differs on 3 % of the cases.
PLANNED_KEPT = 0.995
PLANNED_DISCORDANCE = 0.03
CHAMPION_MARGIN = 0.03  # of the champion's accuracy
CHAMPION_POWER = 0.975  # for a candidate that is as good: leaves half of 5 % to the single skills
SIGNIFICANCE = 0.05  # of the paired tests of single skills, after Holm's correction
TOOLS, RESTRAINT = "tool calls", "restraint"

Pair = tuple[Prediction, Prediction]
ToolPair = tuple[ToolPrediction, ToolPrediction]


@dataclass(frozen=True)
class Comparison:
    """How often both, one or neither was right: over all cases, on protected slices, and for each skill."""

    overall: PairedCounts
    skills: dict[str, PairedCounts]
    slices: dict[str, PairedCounts] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        pairs: Sequence[Pair],
        intents: Sequence[str],
        tools: Sequence[ToolPair] = (),
        slices: Sequence[str] = (),
    ) -> "Comparison":
        """Counts the pairs, candidate first. With `tools` due calls and restraint are skills as well."""
        skills = {name: counted([p for p in pairs if p[0].case.intent == name]) for name in intents}
        if tools:
            skills[TOOLS] = counted([p for p in tools if p[0].case.expect is not None])
            skills[RESTRAINT] = counted([p for p in tools if p[0].case.expect is None])
        return cls(
            overall=counted(pairs),
            skills=skills,
            slices={name: counted([p for p in pairs if in_slice(p[0], name)]) for name in slices},
        )


def counted(pairs: Sequence[Pair] | Sequence[ToolPair]) -> PairedCounts:
    """The counts of some pairs."""
    return PairedCounts.of([p.right for p, _ in pairs], [p.right for _, p in pairs])


def in_slice(prediction: Prediction, name: str) -> bool:
    """Whether a case belongs to a slice: its language, its style, or `hard` (every style but plain)."""
    case = prediction.case
    return name in (case.language, case.style) or (name == "hard" and case.style != "plain")


def cases_needed(thresholds: GateRecipe) -> int | None:
    """The labelled cases that the retention test needs, known before any run; None where no number is enough."""
    plan = Plan(thresholds.intent_f1, PLANNED_DISCORDANCE, thresholds.retention, PLANNED_KEPT)
    return required_cases(plan, thresholds.power)


def against_bf16(comparison: Comparison, thresholds: GateRecipe) -> Findings:
    """What quantization kept of the accuracy, and which skills it cost (at least one case)."""
    counts, needed = comparison.overall, cases_needed(thresholds)
    lower, seen = ratio_lower_bound(counts), _seen(counts, thresholds.retention)
    figures: dict[str, Figure] = {
        "retention": counts.ratio,
        "retention_lower": lower,
        "retention_n": counts.n,
        "retention_lost": counts.only_second,
        "retention_gained": counts.only_first,
        "retention_accuracy": (counts.both + counts.only_first) / counts.n,
        "retention_accuracy_bf16": seen.accuracy,
        "retention_power": power_at(counts.n, seen),
    }
    for name, number in (("required", needed), ("required_seen", required_cases(seen, thresholds.power))):
        figures |= {} if number is None else {f"retention_n_{name}": number}
    reasons = _too_few(counts.n, needed, thresholds)
    if lower < thresholds.retention:
        reasons.append(
            f"retention lower bound {rounded_down(lower)} < {thresholds.retention:g} (gate.retention): "
            f"{counts.ratio:.3f} over n={counts.n}, {counts.only_second} lost and {counts.only_first} gained by "
            f"quantization{_missing(counts, seen, thresholds.power)}"
        )
    found, tests = _skills(comparison.skills, "BF16")
    return Findings(figures, reasons + found, tests)


def against_champion(comparison: Comparison, thresholds: GateRecipe) -> Findings:
    """Non-inferior overall and on each protected slice, and on no single skill worse.

    All of them must hold, so that none needs a correction: a candidate that is inferior anywhere passes there with 5 % at
    most (Berger, Technometrics 24 (1982) 295-300). A slice without cases is refused.
    """
    parts = [_non_inferior("champion", "", comparison.overall, 1 - CHAMPION_MARGIN)]
    for name, counts in comparison.slices.items():
        kept = thresholds.protect.get(name, 1 - CHAMPION_MARGIN)
        parts.append(_non_inferior(f"champion.{name}", f" on {name}", counts, kept))
    found, tests = _skills(comparison.skills, "the champion")
    figures = {name: value for part in parts for name, value in part.figures.items()}
    return Findings(figures, [reason for part in parts for reason in part.reasons] + found, tests)


def _non_inferior(name: str, where: str, counts: PairedCounts, kept: float) -> Findings:
    if counts.n == 0:
        return Findings({}, [f"no case to compare with the champion{where}: add labelled cases or change gate.protect"])
    lower, seen = ratio_lower_bound(counts), _seen(counts, kept)
    figures: dict[str, Figure] = {
        f"{name}_ratio": counts.ratio,
        f"{name}_ratio_lower": lower,
        f"{name}_n": counts.n,
        f"{name}_lost": counts.only_second,
        f"{name}_gained": counts.only_first,
    }
    planned = required_cases(Plan(seen.accuracy, PLANNED_DISCORDANCE, kept), CHAMPION_POWER)
    figures |= {} if planned is None else {f"{name}_n_required": planned}
    if lower >= kept:
        return Findings(figures, [])
    reason = (
        f"not shown to be as good as the champion{where}: lower bound {rounded_down(lower)} < {kept:g} of its "
        f"accuracy, {counts.ratio:.3f} over n={counts.n}, {counts.only_second} lost and {counts.only_first} gained"
    )
    return Findings(figures, [reason + _missing(counts, seen, CHAMPION_POWER)])


def _seen(counts: PairedCounts, bar: float) -> Plan:
    """The plan that the pairs themselves suggest: their accuracy and disagreement, in both directions alike."""
    return Plan((counts.both + counts.only_second) / counts.n, counts.discordance, bar)


def _too_few(n: int, needed: int | None, thresholds: GateRecipe) -> list[str]:
    bar = f"retention {thresholds.retention:g} with power {thresholds.power:g}"
    if needed is None:
        return [f"no number of cases shows {bar}; set gate.retention below {PLANNED_KEPT:g} and gate.power below 1"]
    if n < needed:
        return [
            f"too few cases: n={n} in {', '.join(thresholds.languages)}, {bar} (gate.power) needs {needed}; "
            f"{needed - n} missing: add labelled cases or hold out more utterances (data.validation)"
        ]
    return []


def _missing(counts: PairedCounts, seen: Plan, power: float) -> str:
    """How many cases would settle it if the two models differed as often, but equally in both directions."""
    needed = required_cases(seen, power) or 0
    if needed <= counts.n:
        return ""
    return f"; at this disagreement {needed} cases are needed, {needed - counts.n} missing"


def _skills(skills: dict[str, PairedCounts], reference: str) -> tuple[list[str], tuple[PairedTest, ...]]:
    """Names the skills that got worse by more than chance: one-sided exact McNemar, Holm over all of them."""
    p_values = {name: mcnemar(c.only_first, c.only_second, one_sided=True) for name, c in skills.items()}
    adjusted = holm(p_values)
    tests = tuple(
        PairedTest(
            skill=name,
            reference=reference,
            cases=counts.n,
            lost=counts.only_second,
            gained=counts.only_first,
            p_value=p_values[name],
            adjusted=adjusted[name],
        )
        for name, counts in skills.items()
    )
    reasons = [
        f"{test.skill} is worse than with {reference}: {test.lost} of {test.cases} cases lost, "
        f"{test.gained} gained (McNemar, Holm p={test.adjusted:.2g})"
        for test in tests
        if test.adjusted < SIGNIFICANCE
    ]
    return reasons, tests
