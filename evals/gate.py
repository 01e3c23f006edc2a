"""The gate: one pure function from evaluations, evidence and thresholds to a decision. It fails closed.

Every figure is computed here from the single predictions, never taken from an evaluation's own summary. Not covered:
acting on the decision, and evaluating a champion again on new cases; both are the flow's.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from data.schema import Language
from evals import evidence as others
from evals.answers import marked, thinks
from evals.calls import ToolFigures, tool_figures
from evals.comparison import Comparison, against_bf16, against_champion
from evals.decision import Decision, Figure, Findings, rounded_down
from evals.evidence import Evidence
from evals.metrics import (
    OTHER,
    Evaluation,
    by_series,
    case_digests,
    collapse,
    failed_requests,
    intent_f1,
    macro_f1_interval,
    unparsable_share,
)
from evals.predict import Prediction, ToolPrediction
from recipes.recipe import GateRecipe

__all__ = ["Decision", "Evidence", "decide"]

WEAKEST = 5  # intents and cases named in a reason
P = TypeVar("P", Prediction, ToolPrediction)
NOTHING_ELSE = Evidence()


def decide(
    candidate: Evaluation,
    bf16: Evaluation,
    champion: Evaluation | None,
    thresholds: GateRecipe,
    evidence: Evidence = NOTHING_ELSE,
) -> Decision:
    """Holds a quantized candidate against the bars, its BF16 reference, what others found and, where there is one, the
    champion."""
    parts = [
        _provenance(candidate, bf16, champion),
        _intent_f1(candidate, thresholds),
        _retention(candidate, bf16, thresholds),
        _tool_calls(candidate, thresholds),
        _unparsable(candidate, thresholds),
        _leaks(candidate, thresholds),
        others.checks(evidence, thresholds),
        others.performance(evidence, thresholds),
        others.answers(evidence, thresholds),
    ]
    if champion is not None:
        parts.append(_champion(candidate, champion, thresholds))
    figures = {name: value for part in parts for name, value in part.figures.items()}
    reasons = [reason for part in parts for reason in part.reasons]
    reasons += [f"figure {name} is missing (gate.require)" for name in thresholds.require if name not in figures]
    tests = tuple(test for part in parts for test in part.tests)
    return Decision(
        passed=not reasons,
        reasons=tuple(reasons),
        figures=figures,
        tests=tests,
        thresholds=thresholds.model_dump(mode="json"),
    )


def _provenance(candidate: Evaluation, bf16: Evaluation, champion: Evaluation | None) -> Findings:
    """Which models were evaluated, how they computed, on which cases, and how many requests failed."""
    figures: dict[str, Figure] = {}
    for name, evaluation in (("candidate", candidate), ("bf16", bf16), ("champion", champion)):
        if evaluation is not None:
            figures[f"{name}.model"] = evaluation.model_digest
            figures[f"{name}.numeric_path"] = evaluation.numeric_path
            failed = failed_requests(evaluation.predictions) + failed_requests(evaluation.tool_predictions)
            figures[f"{name}.failed"] = failed
    asked = case_digests(candidate.labels, candidate.predictions, candidate.tool_predictions)
    figures |= {f"digest.{name}": digest for name, digest in asked.items()}
    reasons = []
    if candidate.model_digest == bf16.model_digest:
        reasons.append("the BF16 reference is the candidate itself; evaluate the merged model as the reference")
    return Findings(figures, reasons)


def _intent_f1(candidate: Evaluation, thresholds: GateRecipe) -> Findings:
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
        for number, some in by_series(cases).items():
            alone = intent_f1(some, labels)
            figures[f"intent_macro_f1.{language}.series_{number}"] = sum(alone.values()) / len(alone)
            figures[f"intent_cases.{language}.series_{number}"] = len(some)
        if value < thresholds.intent_f1:
            low = sorted(scores.items(), key=lambda item: item[1])[:WEAKEST]
            named = ", ".join(f"{label} {score:.2f}" for label, score in low)
            reasons.append(
                f"intent F1 {rounded_down(value)} < {thresholds.intent_f1:g} (gate.intent_f1, {language}); weakest: {named}"
            )
    if len(worst) == len(thresholds.languages):
        figures["intent_macro_f1"], figures["intent_f1_lower"] = min(worst)
    return Findings(figures, reasons)


def _retention(candidate: Evaluation, bf16: Evaluation, thresholds: GateRecipe) -> Findings:
    """What quantization kept of the accuracy, on all labelled cases of the gated languages, held-out ones included."""
    if differing := _differing(candidate, bf16):
        return Findings({}, [f"BF16 was evaluated on other cases ({', '.join(differing)}); evaluate both on the same"])
    pairs = _paired(candidate.predictions, bf16.predictions, thresholds.languages)
    if not pairs:
        return Findings({}, [f"no labelled case in {', '.join(thresholds.languages)} to compare with BF16"])
    found = against_bf16(Comparison.of(pairs, _gated(candidate, thresholds)), thresholds)
    if failed := failed_requests(reference for _, reference in pairs):
        found.reasons.append(
            f"{failed} requests of the BF16 evaluation failed, which flatters the candidate; evaluate it again"
        )
    return found


def _tool_calls(candidate: Evaluation, thresholds: GateRecipe) -> Findings:
    """Right next steps (the due call with its arguments, or none) over the tool cases of the gated languages."""
    cases = [p for p in candidate.tool_predictions if p.language in thresholds.languages]
    if not cases:  # `gate.require` decides whether that matters, unless a bar was set
        return Findings({}, [] if thresholds.restraint is None else [_no_restraint(thresholds)])
    found = tool_figures(cases, candidate.offered)
    figures = _tool_numbers(found)
    for language in sorted({p.language for p in cases}):
        figures[f"tool_call_accuracy.{language}"] = _share(p.right for p in cases if p.language == language)
    reasons = []
    if found.accuracy < thresholds.tool_calls:
        wrong = [p.case.id for p in cases if not p.right]
        cut = f"; {found.unfinished} calls cut or malformed" if found.unfinished else ""
        shortfall = f"tool calls {rounded_down(found.accuracy)} < {thresholds.tool_calls:g} (gate.tool_calls)"
        reasons.append(f"{shortfall}{cut}; wrong: {_named(wrong)}")
    if thresholds.restraint is not None and found.restraint is None:
        reasons.append(_no_restraint(thresholds))
    elif thresholds.restraint is not None and found.restraint is not None and found.restraint < thresholds.restraint:
        wrong = [p.case.id for p in cases if p.case.expect is None and not p.right]
        bar = f"restraint {rounded_down(found.restraint)} < {thresholds.restraint:g} (gate.restraint)"
        reasons.append(f"{bar}: {len(wrong)} of {found.restraint_cases} cases in which no call is due: {_named(wrong)}")
    return Findings(figures, reasons)


def _tool_numbers(found: ToolFigures) -> dict[str, Figure]:
    interval = found.accuracy_interval
    numbers: dict[str, Figure | None] = {
        "tool_call_accuracy": found.accuracy,
        "tool_call_cases": found.cases,
        "tool_call_lower": interval.lower,
        "tool_call_upper": interval.upper,
        "tool_call_due": found.call_accuracy,
        "tool_call_name": found.name_accuracy,
        "tool_call_restraint": found.restraint,
        "tool_call_valid": found.valid,
        "tool_call_unfinished": found.unfinished,
        "tool_call_surplus": found.surplus,
    }
    parts: dict[str, Figure] = {f"tool_call.{name}": right.accuracy for name, right in found.arguments.items()}
    return {name: value for name, value in numbers.items() if value is not None} | parts


def _no_restraint(thresholds: GateRecipe) -> str:
    return f"no tool case without a due call in {', '.join(thresholds.languages)} (gate.restraint); add some"


def _unparsable(candidate: Evaluation, thresholds: GateRecipe) -> Findings:
    """The share of intent cases of the gated languages that got no label at all."""
    cases = [p for p in candidate.predictions if p.language in thresholds.languages]
    if not cases:
        return Findings({}, [])
    share = unparsable_share(cases)
    reasons = []
    if share > thresholds.unparsable:
        missing, failed = sum(p.predicted is None for p in cases), failed_requests(cases)
        reasons.append(
            f"unparsable labels {share:.3f} > {thresholds.unparsable:g} (gate.unparsable): {missing} of {len(cases)}, "
            f"{failed} of them failed requests"
        )
    return Findings({"unparsable": share}, reasons)


def _leaks(candidate: Evaluation, thresholds: GateRecipe) -> Findings:
    """Thinking that arrives although it is off, and marks of the template in a text, in whatever language."""
    everything: list[Prediction | ToolPrediction] = [*candidate.predictions, *candidate.tool_predictions]
    thinking = [p.case.id or "a case without id" for p in everything if thinks(p.raw, p.reasoning)]
    markup = [p.case.id or "a case without id" for p in everything if marked(p.raw)]
    reasons = []
    if len(thinking) > thresholds.thinking_leaks:
        reasons.append(
            f"thinking in {len(thinking)} of {len(everything)} answers although it is off, {thresholds.thinking_leaks} "
            f"allowed (gate.thinking_leaks): {_named(thinking)}"
        )
    if thresholds.markup_leaks is not None and len(markup) > thresholds.markup_leaks:
        reasons.append(
            f"marks of the template in {len(markup)} of {len(everything)} answers, {thresholds.markup_leaks} allowed "
            f"(gate.markup_leaks): {_named(markup)}"
        )
    return Findings({"leaks.thinking": len(thinking), "leaks.markup": len(markup)}, reasons)


def _champion(candidate: Evaluation, champion: Evaluation, thresholds: GateRecipe) -> Findings:
    """Non-inferior overall and on protected slices, and no skill worse, on cases that neither model was trained on."""
    differing = _differing(candidate, champion)
    if other := [name for name in differing if name != "held_out"]:
        reason = f"the champion was evaluated on other cases ({', '.join(other)}); evaluate it again on the candidate's"
        return Findings({}, [reason])
    # Held-out utterances belong to one corpus: another corpus may have trained the champion on them.
    spoken, held_out = thresholds.languages, "held_out" not in differing
    pairs = _paired(candidate.predictions, champion.predictions, spoken, held_out=held_out)
    tools = _paired(candidate.tool_predictions, champion.tool_predictions, spoken)
    slices = dict.fromkeys([*(spoken if len(spoken) > 1 else ()), *thresholds.protect])
    comparison = Comparison.of(pairs, _gated(candidate, thresholds), tools, list(slices))
    found = against_champion(comparison, thresholds)
    if failed := failed_requests(p for _, p in pairs) + failed_requests(p for _, p in tools):
        found.reasons.append(f"{failed} requests of the champion's evaluation failed; evaluate it again")
    return found


def _paired(
    first: Sequence[P], second: Sequence[P], languages: Sequence[Language], *, held_out: bool = True
) -> list[tuple[P, P]]:
    """The two models' predictions of the same cases, frozen ones first; equal digests make the order the same."""

    def chosen(predictions: Sequence[P], outside: bool) -> list[P]:
        return [p for p in predictions if p.language in languages and getattr(p, "held_out", False) == outside]

    parts = (False, True) if held_out else (False,)
    return [pair for part in parts for pair in zip(chosen(first, part), chosen(second, part), strict=True)]


def _gated(candidate: Evaluation, thresholds: GateRecipe) -> Sequence[str]:
    return candidate.labels if thresholds.intents is None else thresholds.intents


def _differing(first: Evaluation, second: Evaluation) -> list[str]:
    """Which of intents, held_out, tools and labels the two were not asked alike, by the cases and not by their word."""
    ones, others = (case_digests(e.labels, e.predictions, e.tool_predictions) for e in (first, second))
    return sorted(name for name in ones if ones[name] != others[name])


def _share(right: Iterable[bool]) -> float:
    found = list(right)
    return sum(found) / len(found)


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - WEAKEST} more" if len(ids) > WEAKEST else ""
    return f"{', '.join(ids[:WEAKEST])}{more}"
