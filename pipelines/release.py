"""The whole job as one Prefect flow: prepare, train, merge, quantize, evaluate, decide, publish, promote.

Manifests are the only cache (`data/artifact.py`), so every task is `NO_CACHE`; only what merely talks to MLflow is
tried again. A failed gate ends the flow in the state Rejected. Not covered: schedules, and how a command line wants
Prefect to behave (`pipelines/orchestration.py`).
"""

from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from data.artifact import Adapter, Artifact, Base, Baseline, Corpus, Merged, Quantized, Report
from evals.gate import Decision
from pipelines import verdict
from pipelines.apart import apart
from pipelines.base_model import prepare_base
from pipelines.bundle import Candidate
from pipelines.evaluate import evaluate
from pipelines.job import Job, opened
from pipelines.merge import merge
from pipelines.prepare import prepare, sift_sources
from pipelines.prompted_base import prompted_base
from pipelines.quantize import quantize
from pipelines.registry import RegistryAway, Version
from pipelines.rollout import Moved
from pipelines.train import train
from serving.release import Release

stage = partial(task, cache_policy=NO_CACHE)


def _registry_away(_task: Any, _run: Any, state: State) -> bool:
    return isinstance(state.result(raise_on_failure=False), RegistryAway)


patient = partial(stage, retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=_registry_away)


@flow(name="release", flow_run_name="release {recipe_path}")
def release(recipe_path: Path, data: Path | None = None, mechanics: bool = False) -> State:
    """From a recipe and a shop's data to the serving champion, or to a reasoned refusal."""
    with opened(recipe_path, data) as job:
        base, corpus = _prepare(job)
        adapter = _train(job, corpus, base)
        merged = _merge(job, base, adapter)
        quantized = _quantize(job, merged)
        bf16 = _evaluate(job, "evaluate-bf16", merged, corpus)
        fp8 = _evaluate(job, "evaluate-fp8", quantized, corpus)
        untuned = _evaluate_base(job, base) if job.recipe.evaluate.prompted_base else None
        candidate = Candidate(job.shop, job.recipe, job.recipe_path, corpus, quantized, fp8, bf16, untuned)
        decision, released = _decide(job, candidate)
        version = _publish(job, released, decision)
        moved = _promote(job, version, mechanics) if decision.passed or mechanics else None
        summary = verdict.summary(job, decision, released, version, moved)
    _announce(summary, released)
    if moved is None:
        return Failed(name="Rejected", message="; ".join(decision.reasons), data=summary)
    return Completed(name="Promoted", message=f"version {version.number} serves", data=summary)


@stage(name="prepare")
def _prepare(job: Job) -> tuple[Base, Corpus]:
    with job.stage("prepare") as record:
        # first of all, so that bad data is told before a base is fetched
        sifted = record.keep(apart(sift_sources, job.store, job.shop, job.recipe))
        base = record.keep(apart(prepare_base, job.store, job.recipe.base))
        corpus = record.keep(apart(prepare, job.store, job.shop, job.recipe, base, sifted))
        verdict.foresee(job, corpus)
        return base, corpus


@stage(name="train")
def _train(job: Job, corpus: Corpus, base: Base) -> Adapter:
    with job.stage("train") as record:
        record.reads("train.jsonl", corpus.folder / "train.jsonl", "training")
        return record.keep(apart(train, job.store, corpus, base, job.recipe.train, hear=record.run.step))


@stage(name="merge")
def _merge(job: Job, base: Base, adapter: Adapter) -> Merged:
    with job.stage("merge") as record:
        return record.keep(apart(merge, job.store, base, adapter))


@stage(name="quantize")
def _quantize(job: Job, merged: Merged) -> Quantized:
    with job.stage("quantize") as record:
        return record.keep(apart(quantize, job.store, merged, job.recipe.quantize))


@stage(name="evaluate", task_run_name="{name}")
def _evaluate(job: Job, name: str, model: Artifact, corpus: Corpus) -> Report:
    with job.stage(name) as record:
        for path in sorted(job.shop.cases.glob("*.jsonl")):
            record.reads(path.name, path, "evaluation")
        return record.keep(evaluate(job.store, model, job.shop, job.recipe, corpus))


@stage(name="evaluate", task_run_name="evaluate-base")
def _evaluate_base(job: Job, base: Base) -> Baseline:
    with job.stage("evaluate-base") as record:
        return record.keep(prompted_base(job.store, base, job.shop, job.recipe))


@stage(name="decide")
def _decide(job: Job, candidate: Candidate) -> tuple[Decision, Release]:
    with job.stage("decide") as record:
        return verdict.decide_on(job, record, candidate)


@patient(name="publish")
def _publish(job: Job, released: Release, decision: Decision) -> Version:
    return verdict.publish(job, released, decision)


@patient(name="promote")
def _promote(job: Job, version: Version, mechanics: bool) -> Moved:
    return job.rollout.promote(version.number, mechanics=mechanics)


def _announce(summary: dict[str, Any], released: Release) -> None:
    """What Prefect's page shows of this run."""
    report, peak = released.folder / "report", summary["peak_memory_mb"]
    create_markdown_artifact((report / "report.md").read_text(encoding="utf-8"), key="report")
    rows = [
        {
            "stage": name,
            "seconds": seconds,
            "peak MB": peak[name],
            "reused": name in summary["reused"],
        }
        for name, seconds in summary["seconds"].items()
    ]
    create_table_artifact(rows, key="stages", description=f"{summary['recipe']}: {summary['status']}")
    create_link_artifact((report / "report.html").as_uri(), key="report-page", link_text="the whole report")
