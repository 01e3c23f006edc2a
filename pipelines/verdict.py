"""The end of a release: the decision, the version it becomes, and the summary of it all.

A champion that was evaluated on other cases is evaluated again first. A candidate that is the champion already is not
decided again: the decision that it was promoted with stands, so that a rerun ends where it ended before.
"""

from typing import Any

from data.artifact import Corpus
from evals.gate import Decision, decide
from evals.metrics import Evaluation
from pipelines.bundle import Candidate, bundle, decision_of
from pipelines.conform import conformance_of, held_against
from pipelines.evaluate import evaluate, evaluation_of, read_evaluation
from pipelines.job import Job, Stage
from pipelines.registry import Version
from pipelines.rollout import Moved
from pipelines.screen import screen
from serving.release import Release

ASKED = ("intents", "labels")  # a champion's figures on other cases than these say nothing about the candidate


def decide_on(job: Job, stage: Stage, candidate: Candidate) -> tuple[Decision, Release]:
    """The gate's decision on a candidate, and the release that carries both."""
    champion = job.rollout.champion()
    if champion is not None and candidate.is_in(champion.release):
        decision = decision_of(champion.release)
    else:
        fp8, bf16 = evaluation_of(candidate.fp8), evaluation_of(candidate.bf16)
        reference = _comparable(job, champion.release, fp8, candidate.corpus) if champion is not None else None
        decision = decide(fp8, bf16, reference, job.recipe.gate)
        decision = held_against(decision, conformance_of(candidate.fp8))
    released = stage.keep(bundle(job.store, candidate, decision))
    for run in (stage.run, job.run):
        run.metrics(decision.figures)
        run.tag(decision=_word(decision), release=released.digest)
    return decision, released


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
    known = read_evaluation(champion.folder / "report" / "evaluation.json")
    same_cases = all(known.digests.get(name) == fp8.digests.get(name) for name in ASKED)
    if same_cases and known.numeric_path == fp8.numeric_path:
        return known
    screen().print(
        f"the champion {champion.info.name} was evaluated on other cases or another numeric path: again, first"
    )
    return evaluation_of(evaluate(job.store, champion, job.shop, champion.recipe, corpus))


def _word(decision: Decision) -> Any:
    return "passed" if decision.passed else "rejected"
