"""What others found out about a candidate, as the gate takes it: checks that ran elsewhere, how fast it serves, its answers.

Not covered: running any of it (parity, conformance, agent scenarios, benchmarks).
"""

from collections.abc import Iterable, Sequence

from data.firewall import normalized
from data.schema import Strict
from evals.answers import AnswerFigures
from evals.decision import Figure, Findings
from evals.predict import Prediction
from recipes.recipe import GateRecipe

NAMED = 5  # failures named in a reason
TRAINING_ROWS = "training rows"


class Check(Strict):
    """A check in which nothing may fail: how many cells, prompts or cases it looked at, and which failed."""

    name: str
    cases: int
    failed: int
    examples: tuple[str, ...] = ()  # what failed, as a reader finds it


class Performance(Strict):
    """How a candidate serves. Each that was not measured is None."""

    tokens_per_s: float | None = None
    first_token_ms: float | None = None
    memory_mb: float | None = None


class Evidence(Strict):
    """All that is known beside the evaluations."""

    checks: tuple[Check, ...] = ()
    performance: Performance = Performance()
    answers: AnswerFigures | None = None


def trained_on(texts: Iterable[str], predictions: Sequence[Prediction]) -> Check:
    """Which evaluated cases, held-out ones too, are among the texts that the candidate was trained on."""
    known = {normalized(text) for text in texts}
    repeated = [p.case.text for p in predictions if normalized(p.case.text) in known]
    return Check(
        name=TRAINING_ROWS, cases=len(predictions), failed=len(repeated), examples=tuple(map(repr, repeated[:NAMED]))
    )


def checks(evidence: Evidence, thresholds: GateRecipe) -> Findings:
    """Every check must be clean, must have looked at something, and must have run if the recipe lists it."""
    figures: dict[str, Figure] = {}
    reasons = []
    for check in evidence.checks:
        figures |= {f"check.{check.name}.cases": check.cases, f"check.{check.name}.failed": check.failed}
        if check.cases == 0:
            reasons.append(f"{check.name}: nothing was checked; run it on at least one case")
        if check.failed:
            named = f": {', '.join(check.examples[:NAMED])}" if check.examples else ""
            more = f" and {check.failed - NAMED} more" if check.examples and check.failed > NAMED else ""
            reasons.append(f"{check.name}: {check.failed} of {check.cases} failed{named}{more}")
    ran = {check.name for check in evidence.checks}
    reasons += [f"the check {name} did not run (gate.checks)" for name in thresholds.checks if name not in ran]
    return Findings(figures, reasons)


def performance(evidence: Evidence, thresholds: GateRecipe) -> Findings:
    """The measured speed and memory against the recipe's floors."""
    figures: dict[str, Figure] = {}
    reasons = []
    for name, bar in thresholds.floors.model_dump().items():
        found = getattr(evidence.performance, name)
        if found is not None:
            figures[f"performance.{name}"] = found
        if bar is None:
            continue
        below = found is not None and (found < bar if name == "tokens_per_s" else found > bar)
        if found is None:
            reasons.append(f"{name} was not measured (gate.floors.{name} is {bar:g}); run the benchmark first")
        elif below or found != found:  # not a number is no figure
            sign = "<" if name == "tokens_per_s" else ">"
            reasons.append(f"{name} {found:.4g} {sign} {bar:g} (gate.floors.{name})")
    return Findings(figures, reasons)


def answers(evidence: Evidence, thresholds: GateRecipe) -> Findings:
    """Forbidden promises and claims that no source has, against the recipe's bars."""
    found = evidence.answers
    if found is None:
        wanted = [name for name in ("promises", "ungrounded") if getattr(thresholds, name) is not None]
        return Findings({}, [f"figure answers.{name} is missing (gate.{name})" for name in wanted])
    figures: dict[str, Figure] = {f"answers.{name}": value for name, value in found.numbers().items()}
    reasons = []
    if thresholds.promises is not None and found.promises > thresholds.promises:
        reasons.append(f"{found.promises} of {found.answers} answers promise what no shop can (gate.promises)")
    share = found.ungrounded / found.answers if found.answers else 0.0
    if thresholds.ungrounded is not None and (share > thresholds.ungrounded or not found.answers):
        reasons.append(
            f"{found.ungrounded} of {found.answers} answers state what no source says, bar {thresholds.ungrounded:g} "
            f"(gate.ungrounded)"
        )
    return Findings(figures, reasons)
