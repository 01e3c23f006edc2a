"""The gate: one pure function from evaluations and thresholds to a decision. It fails closed.

Every figure is computed here from the single predictions, never taken from an evaluation's own summary. Not covered:
acting on the decision, and evaluating a champion again on new cases; both are the flow's.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from data.schema import Language, Strict
from evals.metrics import (
    OTHER,
    Evaluation,
    case_digests,
    collapse,
    failed_requests,
    intent_f1,
    macro_f1_interval,
    tool_figures,
    unparsable_share,
)
from evals.predict import Prediction
from evals.statistics import PairedCounts, holm, mcnemar, ratio_lower_bound, required_cases
from recipes.recipe import GateRecipe

PLANNED_DISCORDANCE = 0.03  # share of cases on which FP8 and BF16 are expected to differ, fixed before any run
CHAMPION_MARGIN = 0.03  # of the champion's accuracy
SIGNIFICANCE = 0.05  # of the paired tests of single intents, after Holm's correction
WEAKEST = 5  # intents named in a reason

Figure = float | int | str
Pairs = Sequence[tuple[Prediction, Prediction]]


class Decision(Strict):
    """Whether the candidate may be released, why not, and every number that was looked at."""

    passed: bool
    reasons: tuple[str, ...]
    figures: dict[str, Figure]


class _Findings(NamedTuple):
    figures: dict[str, Figure]
    reasons: list[str]


def decide(candidate: Evaluation, bf16: Evaluation, champion: Evaluation | None, thresholds: GateRecipe) -> Decision:
    """Holds a quantized candidate against the bars, its BF16 reference and, where there is one, the champion."""
    parts = [
        _provenance(candidate, bf16, champion),
        _intent_f1(candidate, thresholds),
        _retention(candidate, bf16, thresholds),
        _tool_calls(candidate, thresholds),
        _unparsable(candidate, thresholds),
    ]
    if champion is not None:
        parts.append(_champion(candidate, champion, thresholds))
    figures = {name: value for part in parts for name, value in part.figures.items()}
    reasons = [reason for part in parts for reason in part.reasons]
    reasons += [f"figure {name} is missing (gate.require)" for name in thresholds.require if name not in figures]
    return Decision(passed=not reasons, reasons=tuple(reasons), figures=figures)


def _provenance(candidate: Evaluation, bf16: Evaluation, champion: Evaluation | None) -> _Findings:
    """Which models were evaluated, how they computed, on which cases, and how many requests failed."""
    figures: dict[str, Figure] = {}
    for name, evaluation in (("candidate", candidate), ("bf16", bf16), ("champion", champion)):
        if evaluation is not None:
            figures[f"{name}.model"] = evaluation.model_digest
            figures[f"{name}.numeric_path"] = evaluation.numeric_path
            figures[f"{name}.failed"] = evaluation.failed
    figures |= {f"digest.{name}": digest for name, digest in sorted(candidate.digests.items())}
    reasons = []
    if candidate.model_digest == bf16.model_digest:
        reasons.append("the BF16 reference is the candidate itself; evaluate the merged model as the reference")
    return _Findings(figures, reasons)


def _intent_f1(candidate: Evaluation, thresholds: GateRecipe) -> _Findings:
    """Macro-F1 on the frozen cases in each gated language, by point estimate; the worst is the figure."""
    figures: dict[str, Figure] = {}
    reasons: list[str] = []
    worst: list[tuple[float, float]] = []
    for language in thresholds.languages:
        cases = [p for p in candidate.predictions if p.language == language and not p.held_out]
        lacking = [x for x in _gated(candidate, thresholds) if x not in {p.case.intent for p in cases}]
        if lacking:
            reasons.append(f"no frozen {language} case of {', '.join(lacking)}; add at least one of each")
        if not cases:
            continue
        labels: Sequence[str] = candidate.labels
        if thresholds.intents is not None:
            cases, labels = collapse(cases, thresholds.intents), (*thresholds.intents, OTHER)
        scores, interval = intent_f1(cases, labels), macro_f1_interval(cases, labels)
        value = sum(scores.values()) / len(scores)
        worst.append((value, interval.lower))
        figures |= {
            f"intent_macro_f1.{language}": value,
            f"intent_f1_lower.{language}": interval.lower,
            f"intent_f1_upper.{language}": interval.upper,
            f"intent_accuracy.{language}": _share(p.right for p in cases),
            f"intent_cases.{language}": len(cases),
        }
        if value < thresholds.intent_f1:
            low = sorted(scores.items(), key=lambda item: item[1])[:WEAKEST]
            named = ", ".join(f"{label} {score:.2f}" for label, score in low)
            reasons.append(
                f"intent F1 {_down(value)} < {thresholds.intent_f1:g} (gate.intent_f1, {language}); weakest: {named}"
            )
    if len(worst) == len(thresholds.languages):
        figures["intent_macro_f1"], figures["intent_f1_lower"] = min(worst)
    return _Findings(figures, reasons)


def _retention(candidate: Evaluation, bf16: Evaluation, thresholds: GateRecipe) -> _Findings:
    """What quantization kept of the accuracy, on all labelled cases of the gated languages, held-out ones included."""
    if differing := _differing(candidate, bf16):
        return _Findings({}, [f"BF16 was evaluated on other cases ({', '.join(differing)}); evaluate both on the same"])
    pairs = _paired(candidate, bf16, thresholds.languages)
    if not pairs:
        return _Findings({}, [f"no labelled case in {', '.join(thresholds.languages)} to compare with BF16"])
    counts = _count(pairs)
    lower = ratio_lower_bound(counts)
    planned = required_cases(thresholds.intent_f1, PLANNED_DISCORDANCE, thresholds.retention, thresholds.power)
    figures: dict[str, Figure] = {
        "retention": counts.ratio,
        "retention_lower": lower,
        "retention_n": counts.n,
        "retention_lost": counts.only_second,
        "retention_gained": counts.only_first,
        "retention_accuracy": (counts.both + counts.only_first) / counts.n,
        "retention_accuracy_bf16": (counts.both + counts.only_second) / counts.n,
    }
    reasons = _power_reasons(counts.n, planned, thresholds)
    if planned is not None:
        figures["retention_n_required"] = planned
    failed = failed_requests(reference for _, reference in pairs)
    if failed:
        reasons.append(
            f"{failed} requests of the BF16 evaluation failed, which flatters the candidate; evaluate it again"
        )
    if lower < thresholds.retention:
        reasons.append(_retention_reason(counts, lower, thresholds))
    return _Findings(figures, reasons + _single_intents(pairs, _gated(candidate, thresholds), "BF16"))


def _power_reasons(n: int, planned: int | None, thresholds: GateRecipe) -> list[str]:
    bar = f"retention {thresholds.retention:g} with power {thresholds.power:g}"
    if planned is None:
        return [f"no number of cases shows {bar}; set gate.retention and gate.power below 1"]
    if n < planned:
        return [
            f"too few cases: n={n} in {', '.join(thresholds.languages)}, {bar} (gate.power) needs {planned}; "
            f"{planned - n} missing: add labelled cases or hold out more utterances (data.validation)"
        ]
    return []


def _retention_reason(counts: PairedCounts, lower: float, thresholds: GateRecipe) -> str:
    """Says also how many cases would settle it if the two models differed as often, but equally in both directions."""
    accuracy = (counts.both + counts.only_second) / counts.n
    needed = required_cases(accuracy, counts.discordance, thresholds.retention, thresholds.power) or 0
    more = f"; at this disagreement {needed} cases are needed, {needed - counts.n} missing" if needed > counts.n else ""
    return (
        f"retention lower bound {_down(lower)} < {thresholds.retention:g} (gate.retention): {counts.ratio:.3f} over "
        f"n={counts.n}, {counts.only_second} lost and {counts.only_first} gained by quantization{more}"
    )


def _tool_calls(candidate: Evaluation, thresholds: GateRecipe) -> _Findings:
    """Right next steps (the due call with its arguments, or none) over the tool cases of the gated languages."""
    cases = [p for p in candidate.tool_predictions if p.language in thresholds.languages]
    if not cases:
        return _Findings({}, [])  # `gate.require` decides whether that matters
    found = tool_figures(cases)
    figures: dict[str, Figure] = {"tool_call_accuracy": found.accuracy, "tool_call_cases": found.cases}
    figures |= {"tool_call_lower": found.accuracy_interval.lower, "tool_call_upper": found.accuracy_interval.upper}
    parts = {"tool_call_due": found.call_accuracy, "tool_call_restraint": found.restraint}
    figures |= {name: value for name, value in parts.items() if value is not None}
    for language in sorted({p.language for p in cases}):
        figures[f"tool_call_accuracy.{language}"] = _share(p.right for p in cases if p.language == language)
    if found.accuracy >= thresholds.tool_calls:
        return _Findings(figures, [])
    wrong = [p.case.id for p in cases if not p.right]
    more = f" and {len(wrong) - WEAKEST} more" if len(wrong) > WEAKEST else ""
    shortfall = f"tool calls {_down(found.accuracy)} < {thresholds.tool_calls:g} (gate.tool_calls)"
    return _Findings(figures, [f"{shortfall}; wrong: {', '.join(wrong[:WEAKEST])}{more}"])


def _unparsable(candidate: Evaluation, thresholds: GateRecipe) -> _Findings:
    """The share of intent cases of the gated languages that got no label at all."""
    cases = [p for p in candidate.predictions if p.language in thresholds.languages]
    if not cases:
        return _Findings({}, [])
    share = unparsable_share(cases)
    reasons = []
    if share > thresholds.unparsable:
        missing, failed = sum(p.predicted is None for p in cases), failed_requests(cases)
        reasons.append(
            f"unparsable labels {share:.3f} > {thresholds.unparsable:g} (gate.unparsable): {missing} of {len(cases)}, "
            f"{failed} of them failed requests"
        )
    return _Findings({"unparsable": share}, reasons)


def _champion(candidate: Evaluation, champion: Evaluation, thresholds: GateRecipe) -> _Findings:
    """Non-inferior overall and on no single intent worse, on cases that neither model was trained on."""
    differing = _differing(candidate, champion)
    if "intents" in differing or "labels" in differing:
        return _Findings({}, ["the champion was evaluated on other cases; evaluate it again on the candidate's"])
    # Held-out utterances belong to one corpus: another corpus may have trained the champion on them.
    pairs = _paired(candidate, champion, thresholds.languages, held_out="held_out" not in differing)
    counts = _count(pairs)
    lower = ratio_lower_bound(counts)
    figures: dict[str, Figure] = {"champion_ratio": counts.ratio, "champion_ratio_lower": lower, "champion_n": counts.n}
    reasons = []
    failed = failed_requests(reference for _, reference in pairs)
    if failed:
        reasons.append(f"{failed} requests of the champion's evaluation failed; evaluate it again")
    if lower < 1 - CHAMPION_MARGIN:
        reasons.append(
            f"not shown to be as good as the champion: lower bound {_down(lower)} < {1 - CHAMPION_MARGIN:g} of its "
            f"accuracy, {counts.ratio:.3f} over n={counts.n}, {counts.only_second} lost and {counts.only_first} gained"
        )
    return _Findings(figures, reasons + _single_intents(pairs, _gated(candidate, thresholds), "the champion"))


def _single_intents(pairs: Pairs, intents: Sequence[str], reference: str) -> list[str]:
    """Names the intents that got worse by more than chance: one-sided exact McNemar, Holm over all intents."""
    counts = {label: _count([pair for pair in pairs if pair[0].case.intent == label]) for label in intents}
    p_values = holm({x: mcnemar(c.only_first, c.only_second, one_sided=True) for x, c in counts.items()})
    return [
        f"{label} is worse than with {reference}: {counts[label].only_second} of {counts[label].n} cases lost, "
        f"{counts[label].only_first} gained (McNemar, Holm p={p:.2g})"
        for label, p in p_values.items()
        if p < SIGNIFICANCE
    ]


def _paired(
    first: Evaluation, second: Evaluation, languages: Sequence[Language], *, held_out: bool = True
) -> list[tuple[Prediction, Prediction]]:
    """The two models' predictions of the same cases, frozen ones first; equal digests make the order the same."""

    def chosen(evaluation: Evaluation, outside: bool) -> list[Prediction]:
        return [p for p in evaluation.predictions if p.language in languages and p.held_out == outside]

    parts = (False, True) if held_out else (False,)
    return [pair for part in parts for pair in zip(chosen(first, part), chosen(second, part), strict=True)]


def _gated(candidate: Evaluation, thresholds: GateRecipe) -> Sequence[str]:
    return candidate.labels if thresholds.intents is None else thresholds.intents


def _differing(first: Evaluation, second: Evaluation) -> list[str]:
    """Which of intents, held_out, tools and labels the two were not asked alike, by the cases and not by their word."""
    ones, others = (case_digests(e.labels, e.predictions, e.tool_predictions) for e in (first, second))
    return sorted(name for name in ones if ones[name] != others[name])


def _count(pairs: Pairs) -> PairedCounts:
    return PairedCounts.of([p.right for p, _ in pairs], [p.right for _, p in pairs])


def _share(right: Iterable[bool]) -> float:
    found = list(right)
    return sum(found) / len(found)


def _down(value: float) -> str:
    """Three digits, rounded down, so that what is below a bar never reads as if it reached it."""
    return f"{math.floor(value * 1000) / 1000:.3f}"
