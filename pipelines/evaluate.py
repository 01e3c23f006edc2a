"""Evaluation of a checkpoint as it is served: an engine is started on it and asked over HTTP; the figures are kept.

A quantized model, which is to be served, is held to parity as well while its engine is up, and to conformance if its
recipe lists it in `gate.checks` (`pipelines/conform.py`).
One report is reused for as long as model, cases, prompts, tools and numeric path stay the same; an evaluation that was
interrupted goes on where it stopped.
Not covered: judging figures (`evals/gate.py`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.artifact import (
    SCRATCH,
    Artifact,
    ArtifactStore,
    Corpus,
    Quantized,
    Report,
    code_digest,
    file_digest,
    home,
    json_digest,
)
from data.chat import Prompts
from data.errors import BadInput
from data.schema import IntentCase, read_jsonl
from data.shop import Shop
from evals.journal import Journal
from evals.metrics import Evaluation
from evals.metrics import evaluate as measure
from evals.predict import Prediction, ToolPrediction, predict_intents, predict_tools
from evals.report import write_report
from pipelines import conform
from pipelines.readings import prompt_parity
from pipelines.screen import progress_bar
from recipes.recipe import Recipe, ServeRecipe
from serving.dequantize import quantization_scheme
from serving.engine import Engine, running_engine
from serving.hardware import Hardware, NumericPath
from serving.release import Release

SERVED_NAME = "candidate"
ASKED = ("intents", "tools")  # the case files that an evaluation asks
CODE = (  # how the page looks is no reason to ask a model again
    *("pipelines.evaluate", "evals.predict", "evals.metrics", "evals.statistics", "evals.journal"),
    *("evals.calls", "evals.calibration", "data.chat", "serving.engine", "serving.dequantize"),
    *("pipelines.readings", "pipelines.encode", "evals.parity", "evals.conversations", "evals.token_ids"),
)


def evaluate(store: ArtifactStore, model: Artifact, shop: Shop, recipe: Recipe, corpus: Corpus) -> Report:
    """The report of a checkpoint, or of a whole release, on the shop's frozen cases and the corpus's held-out ones.

    Raises:
        EnvironmentLacks: the engine cannot be started.
    """
    path = numeric_path(checkpoint(model))
    # a champion is asked as it is served: with its own prompts and tools
    prompts = model.prompts if isinstance(model, Release) else shop.prompts
    served = list(model.tools) if isinstance(model, Release) else served_tools(shop, recipe.serve)
    return store.build(
        Report,
        lambda target: _evaluate(store, target, model, path, shop, recipe, corpus, prompts, served),
        inputs={
            "model": model.digest,
            "cases": json_digest(shop.case_digests(*ASKED)),
            "held_out": file_digest(corpus.folder / "held_out.jsonl"),
            "prompts": json_digest(prompts.model_dump()),
            "tools": json_digest(served),
            "labels": json_digest(shop.taxonomy.names),
            "numeric_path": path,
        },
        section={
            "serve": recipe.serve.model_dump(mode="json"),
            "held_out": recipe.gate.languages,
            "conformance": conform.wanted(model, recipe),
        },
        code=code_digest(*CODE, *(conform.CODE if conform.wanted(model, recipe) else ())),
    )


def evaluation_of(report: Report) -> Evaluation:
    """What a report says, as the gate takes it."""
    return read_evaluation(report.folder / "evaluation.json")


def read_evaluation(path: Path) -> Evaluation:
    """Reads `evaluation.json`.

    Raises:
        BadInput: it is missing or of another version of Kefu.
    """
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not an evaluation that this version reads: {error}") from error


def evaluate_cases(
    folder: Path, path: Path, serve: ServeRecipe, prompts: Prompts, labels: Sequence[str]
) -> dict[str, Any]:
    """The intent figures of a checkpoint on a file of cases. Only answers of an interrupted run are kept, for the next one.

    Raises:
        BadInput: the file is missing or malformed, or expects an intent that is not among `labels`.
    """
    cases = read_jsonl(path, IntentCase)
    unknown = sorted({case.intent for case in cases} - set(labels))
    if unknown:
        raise BadInput(f"{path}: unknown intent(s) {', '.join(unknown)}; the taxonomy has {', '.join(labels)}")
    with candidate_engine(folder, serve) as engine, progress_bar("evaluate", len(cases)) as done:
        journal = _interrupted(folder, engine.numeric_path, prompts, labels)
        predictions = predict_intents(
            engine.base_url,
            SERVED_NAME,
            cases,
            prompts,
            labels,
            concurrency=serve.engine.max_num_seqs,
            progress=done,
            journal=journal,
        )
    journal.forget()
    figures = measure(
        model=folder.name, model_digest="", numeric_path=engine.numeric_path, labels=labels, predictions=predictions
    ).overall
    assert figures is not None, "read_jsonl refuses an empty file"
    return {
        "cases": figures.cases,
        "macro_f1": figures.macro_f1,
        "accuracy": figures.accuracy,
        "lower": figures.macro_f1_interval.lower,
        "upper": figures.macro_f1_interval.upper,
        "micro_f1": figures.micro_f1,
        "per_intent": figures.per_intent,
        "unparsable": figures.unparsable,
        "oos_recall": figures.out_of_scope_recall,
        "oos_false_alarms": figures.out_of_scope_false_alarms,
        "calibration_error": figures.calibration.error if figures.calibration is not None else None,
        "numeric_path": engine.numeric_path,
    }


def checkpoint(model: Artifact) -> Path:
    """The checkpoint folder of a model artifact."""
    return model.model if isinstance(model, Release) else model.folder


def numeric_path(folder: Path) -> NumericPath:
    """How this machine would compute with a checkpoint."""
    return Hardware.detect().numeric_path(quantization_scheme(folder))


def served_tools(shop: Shop, serve: ServeRecipe) -> list[dict[str, Any]]:
    """The schemas of the tools that a recipe serves.

    Raises:
        BadInput: the shop lacks one.
    """
    missing = [name for name in serve.tools if name not in shop.tools]
    if missing:
        raise BadInput(
            f"serve.tools: {', '.join(missing)} not in {shop.folder / 'tools.json'}; it has {', '.join(shop.tools)}"
        )
    return [shop.tools[name] for name in serve.tools]


def _evaluate(
    store: ArtifactStore,
    target: Path,
    model: Artifact,
    path: NumericPath,
    shop: Shop,
    recipe: Recipe,
    corpus: Corpus,
    prompts: Prompts,
    served: list[dict[str, Any]],
) -> dict[str, Any]:
    frozen, tools = shop.intent_cases(), shop.tool_cases()
    held_out = [case for case in read_held_out(corpus) if case.language in recipe.gate.languages]
    names, width, scratch = shop.taxonomy.names, recipe.serve.engine.max_num_seqs, target / SCRATCH
    labelled = [Journal(scratch / f"{name}.jsonl", Prediction) for name in ("frozen", "held_out")]
    called = Journal(scratch / "tools.jsonl", ToolPrediction)
    resumed = any([*map(len, labelled), len(called)])
    conforming = conform.CELLS if conform.wanted(model, recipe) else 0
    total = len(frozen) + len(held_out) + len(tools) + conforming
    with (
        candidate_engine(checkpoint(model), recipe.serve) as engine,
        progress_bar(f"evaluate {model.kind}", total) as done,
    ):
        url = engine.base_url
        assert engine.numeric_path == path, "the key of this report names another path"

        def after(count: int) -> Callable[[int], None]:
            return lambda more: done(count + more)

        started = time.monotonic()
        predictions = [
            *predict_intents(
                url,
                SERVED_NAME,
                frozen,
                prompts,
                names,
                concurrency=width,
                progress=done,
                journal=labelled[0],
            ),
            *predict_intents(
                url,
                SERVED_NAME,
                held_out,
                prompts,
                names,
                held_out=True,
                concurrency=width,
                progress=after(len(frozen)),
                journal=labelled[1],
            ),
        ]
        labels_done = time.monotonic()
        calls = predict_tools(
            url,
            SERVED_NAME,
            tools,
            prompts,
            served,
            concurrency=width,
            progress=after(total - conforming - len(tools)),
            journal=called,
        )
        facts: dict[str, Any] = {
            "cases": len(frozen),
            "held_out": len(held_out),
            "tool_cases": len(tools),
            "numeric_path": path,
        }
        if not resumed:  # what was answered before would look fast
            facts |= {
                "labels_per_s": len(predictions) / (labels_done - started),
                "calls_per_s": len(calls) / (time.monotonic() - labels_done),
            }
        if isinstance(model, Quantized):  # it is to be served: `verdict` refuses a prompt that it reads otherwise
            found = prompt_parity(store, model, prompts, served, url, SERVED_NAME, width)
            facts["parity"] = {"prompts": found.prompts, "reasons": found.reasons}
            if conforming:
                said = conform.conform(url, SERVED_NAME, model, shop, recipe, after(total - conforming))
                conform.keep(target, said)
    evaluation = measure(
        model=f"{recipe.name} {model.kind}",
        model_digest=model.digest,
        numeric_path=path,
        labels=names,
        predictions=predictions,
        tool_predictions=calls,
        offered=served,
    )
    write_report(target, evaluation, None, None, {"recipe": recipe.name, "numeric_path": path}, prompts=prompts)
    return facts


def _interrupted(folder: Path, path: NumericPath, prompts: Prompts, labels: Sequence[str]) -> Journal[Prediction]:
    """The answers of a checkpoint to any file of cases. A checkpoint in place of another has other weights, by their sizes
    and times at least."""
    weights = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.glob("*.safetensors"))
    ]
    asked = [str(folder.resolve()), weights, path, prompts.model_dump(), list(labels), code_digest(*CODE)]
    return Journal(home() / "interrupted" / f"{json_digest(asked)[:16]}.jsonl", Prediction)


def read_held_out(corpus: Corpus) -> list[IntentCase]:
    """The corpus's held-out utterances; a small corpus may have none."""
    path = corpus.folder / "held_out.jsonl"
    return read_jsonl(path, IntentCase) if path.stat().st_size else []


@contextmanager
def candidate_engine(folder: Path, serve: ServeRecipe) -> Iterator[Engine]:
    """The engine on a checkpoint that is to be asked, under the name `SERVED_NAME`."""
    log = home() / "logs" / f"engine-{folder.parent.name}-{folder.name}.log"
    with running_engine(folder, serve, served_names=[SERVED_NAME], log=log) as engine:
        yield engine
