"""The end of a release: the decision, the version it becomes, and the summary of it all.

A champion that was evaluated on other cases, or by another version of Kefu, is evaluated again first. A candidate that is
the champion already is not decided again: the decision that it was promoted with stands, so that a rerun ends where it
ended before.
"""

from typing import Any

from data.artifact import Corpus, Report
from data.errors import BadInput
from data.shop import Shop
from evals.answers import answer_figures, answers_of
from evals.comparison import cases_needed
from evals.evidence import Check, Evidence, trained_on
from evals.gate import Decision, decide
from evals.metrics import Evaluation
from pipelines.bundle import Candidate, bundle, decision_of
from pipelines.conform import as_check, conformance_of, wanted
from pipelines.evaluate import evaluate, evaluation_of, read_evaluation, read_held_out
from pipelines.faq_fit import FaqFit, fitted_faq
from pipelines.job import Job, Stage
from pipelines.prepare import utterances
from pipelines.registry import Version
from pipelines.rollout import Moved
from pipelines.screen import screen
from recipes.recipe import GateRecipe
from serving.release import Release

ASKED = ("intents", "labels", "tools")  # a champion's figures on other cases than these say nothing about the candidate


def decide_on(job: Job, stage: Stage, candidate: Candidate) -> tuple[Decision, Release]:
    """The gate's decision on a candidate, and the release that carries both."""
    champion, reference = job.rollout.champion(), None
    if champion is not None and candidate.is_in(champion.release):
        decision = decision_of(champion.release)
    else:
        fp8, bf16 = evaluation_of(candidate.fp8), evaluation_of(candidate.bf16)
        reference = _comparable(job, champion.release, fp8, candidate.corpus) if champion is not None else None
        decision = decide(fp8, bf16, reference, job.recipe.gate, _evidence(candidate, fp8))
    released = stage.keep(bundle(job.store, candidate, decision, reference))
    for run in (stage.run, job.run):
        run.metrics(decision.figures)
        run.tag(decision=_word(decision), release=released.digest)
    return decision, released


def _evidence(candidate: Candidate, fp8: Evaluation) -> Evidence:
    """Whether the evaluated cases were trained on, whether trainer and engine read the same prompts, whether what the model
    said arrives, and what the candidate's answers claim."""
    facts = [entry.answer for entry in candidate.shop.faq]
    gated = [p for p in fp8.tool_predictions if p.language in candidate.recipe.gate.languages]
    trained = (row.text for row in utterances(candidate.corpus))
    asked = wanted(candidate.quantized, candidate.recipe)
    conformance = [as_check(conformance_of(candidate.fp8))] if asked else []
    return Evidence(
        checks=(trained_on(trained, fp8.predictions), parity_check(candidate.fp8), *conformance),
        answers=answer_figures(answers_of(gated, facts)),
    )


def parity_check(fp8: Report) -> Check:
    """The prompts that trainer and engine read differently, as the evaluation of a quantized model noted them."""
    found = fp8.facts["parity"]
    return Check(name="parity", cases=found["prompts"], failed=len(found["reasons"]), examples=found["reasons"])


def foresee(job: Job, corpus: Corpus) -> None:
    """Says before anything is trained what the gate will refuse whatever comes out."""
    if lacking := too_few_cases(job.shop, corpus, job.recipe.gate):
        screen().print(lacking)


def fitted(job: Job) -> FaqFit | None:
    """The fit of the shop's FAQ that the release takes along; says before anything is trained where there is none, or it
    found near answers too often wrong."""
    faq = fitted_faq(job.store, job.shop)
    if job.shop.faq_calibration and not (faq and faq.facts["open"]):
        why = "is not fitted (kefu faq fit, then release again)" if faq is None else "did not pass its check"
        screen().print(f"the FAQ {why}: it will answer the very questions that it lists, no near ones", soft_wrap=True)
    return faq


def too_few_cases(shop: Shop, corpus: Corpus, gate: GateRecipe) -> str | None:
    """What to add before a run whose gate would lack cases however good the model is; None where there are enough."""
    cases = [case for case in (*shop.intent_cases(), *read_held_out(corpus)) if case.language in gate.languages]
    needed = cases_needed(gate)
    if needed is None or len(cases) >= needed:
        return None
    return (
        f"the gate will refuse this release: {len(cases)} labelled cases in {', '.join(gate.languages)}, {needed} needed "
        f"(gate.power); {needed - len(cases)} missing: add labelled cases or hold out more utterances (data.validation)"
    )


def publish(job: Job, released: Release, decision: Decision) -> Version:
    """Registers the release as challenger and its prompts; all of it again is harmless."""
    version = job.registry.register(released, job.run, _word(decision))
    job.registry.point("challenger", version.number)
    prompts = job.registry.keep_prompts(released.prompts)
    job.run.tag(model_version=version.number, **{f"prompt.{name}": number for name, number in prompts.items()})
    job.run.files(released.folder / "report")
    return version


def summary(job: Job, decision: Decision, released: Release, version: Version, moved: Moved | None) -> dict[str, Any]:
    """What `kefu release --json` prints."""
    figures, model = decision.figures, released.manifest["facts"]
    wanted = ("intent_macro_f1", "intent_f1_lower", "retention", "retention_lower", "retention_n", "tool_call_accuracy")
    return {
        "status": "promoted" if moved and decision.passed else "rejected",
        "promoted_for_mechanics": bool(moved and not decision.passed),
        "recipe": job.recipe.name,
        "model_version": version.number,
        "digest": released.digest,
        **{name: figures.get(name) for name in wanted},
        "gate": {"passed": decision.passed, "reasons": list(decision.reasons)},
        "figures": dict(figures),
        "bytes_before": model.get("bytes_before"),
        "bytes_after": model.get("bytes_after"),
        "numeric_path": released.info.numeric_path,
        **job.costs(),
        "pending": bool(moved and moved.pending),
        "run_id": job.run.run_id,
        "report": str(released.folder / "report" / "report.html"),
        "mlflow": job.registry.launch,
    }


def _comparable(job: Job, champion: Release, fp8: Evaluation, corpus: Corpus) -> Evaluation:
    """The champion's evaluation on the candidate's cases and numeric path; made anew where it carries another."""
    try:
        known = read_evaluation(champion.folder / "report" / "evaluation.json")
        same_cases = all(known.digests.get(name) == fp8.digests.get(name) for name in ASKED)
        if same_cases and known.numeric_path == fp8.numeric_path:
            return known
    except BadInput:
        pass  # of another version, which is reason enough
    screen().print(
        f"the champion {champion.info.name} was evaluated on other cases, another numeric path or by another version: "
        "again, first"
    )
    return evaluation_of(evaluate(job.store, champion, job.shop, champion.recipe, corpus))


def _word(decision: Decision) -> Any:
    return "passed" if decision.passed else "rejected"
