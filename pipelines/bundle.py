"""Putting a release together: the model, everything it was evaluated with, and the decision, under one digest.

Equal parts give the same release again, wherever it is run. Not covered: registering and promoting it.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.artifact import (
    ArtifactStore,
    Baseline,
    Corpus,
    Quantized,
    Report,
    code_digest,
    file_digest,
    folder_files,
    json_digest,
    write_json,
)
from data.shop import Shop
from evals.baselines import PROMPTED, baselines
from evals.gate import Decision
from evals.metrics import Evaluation
from evals.report import write_report
from pipelines.conform import RESULT
from pipelines.evaluate import evaluation_of
from pipelines.faq_fit import FaqFit
from pipelines.ledger import now
from pipelines.prepare import utterances
from pipelines.prompted_base import slices_of
from recipes.recipe import Recipe
from serving.faq_opening import FOLDER as FAQ
from serving.release import Release, ReleaseInfo

ALWAYS = ("kefu", "Qwen3-1.7B")  # names that every release answers to


@dataclass(frozen=True)
class Candidate:
    """The parts of a release before it is decided on."""

    shop: Shop
    recipe: Recipe
    recipe_path: Path
    corpus: Corpus
    quantized: Quantized
    fp8: Report
    bf16: Report
    untuned: Baseline | None = None  # where the recipe asks for it
    faq: FaqFit | None = None  # where `kefu faq fit` made one of this shop

    @property
    def inputs(self) -> dict[str, str]:
        """The digests that identify it."""
        texts = ("intents.yaml", "faq.yaml", "tools.json")
        return {
            "quantized": self.quantized.digest,
            "fp8": self.fp8.digest,
            "bf16": self.bf16.digest,
            "shop": json_digest({name: file_digest(self.shop.folder / name) for name in texts}),
            "prompts": json_digest(folder_files(self.shop.folder / "prompts")),
            "recipe": file_digest(self.recipe_path),
            **({"untuned": self.untuned.digest} if self.untuned else {}),
            **({"faq": self.faq.digest} if self.faq else {}),
        }

    def is_in(self, release: Release) -> bool:
        """Whether a release was made of exactly these parts."""
        made_of: Mapping[str, str] = release.manifest["inputs"]
        return {name: made_of.get(name) for name in self.inputs} == self.inputs


def bundle(
    store: ArtifactStore, candidate: Candidate, decision: Decision, champion: Evaluation | None = None
) -> Release:
    """The release of a candidate and the decision on it, which names the champion that it was compared with; a rejected one is
    kept as well."""
    return store.build(
        Release,
        lambda folder: _fill(folder, candidate, decision, champion),
        inputs={**candidate.inputs, "decision": json_digest(decision.model_dump())},
        section=None,
        code=code_digest("pipelines.bundle", "serving.release"),
    )


def decision_of(release: Release) -> Decision:
    """The decision that a release carries."""
    return Decision.model_validate_json((release.folder / "decision.json").read_bytes())


def _fill(folder: Path, candidate: Candidate, decision: Decision, champion: Evaluation | None) -> dict[str, Any]:
    shop, recipe = candidate.shop, candidate.recipe
    ignore = shutil.ignore_patterns("manifest.json")
    shutil.copytree(candidate.quantized.folder, folder / "model", copy_function=_link, ignore=ignore)
    shutil.copytree(shop.folder / "prompts", folder / "prompts")
    for name in ("intents.yaml", "faq.yaml", "tools.json"):
        shutil.copy(shop.folder / name, folder / name)
    if candidate.faq is not None:
        shutil.copytree(candidate.faq.folder, folder / FAQ, ignore=ignore)
    shutil.copy(candidate.recipe_path, folder / "recipe.yaml")
    evaluation = evaluation_of(candidate.fp8)
    (folder / "report").mkdir()
    simpler = baselines(utterances(candidate.corpus), shop.intent_cases(), shop.taxonomy.names)
    if candidate.untuned is not None:
        simpler[PROMPTED] = slices_of(candidate.untuned)
    write_report(
        folder / "report",
        evaluation,
        evaluation_of(candidate.bf16),
        decision,
        _facts(candidate),
        simpler,
        champion,
        shop.prompts,
    )
    if (candidate.fp8.folder / RESULT).exists():
        shutil.copy(candidate.fp8.folder / RESULT, folder / "report")
    write_json(folder / "decision.json", decision.model_dump(mode="json"))
    info = ReleaseInfo(
        name=recipe.name,
        purpose=recipe.purpose,
        languages=recipe.gate.languages,
        numeric_path=evaluation.numeric_path,
        model_names=tuple(dict.fromkeys((*ALWAYS, recipe.name))),
        created=now(),
    )
    write_json(folder / "release.json", info.model_dump(mode="json"))
    sizes = {key: candidate.quantized.facts.get(key) for key in ("bytes_before", "bytes_after")}
    beside = {name: {x: figures.macro_f1 for x, figures in spoken.items()} for name, spoken in simpler.items()}
    return {"passed": decision.passed, **sizes, "baselines": beside}


def _facts(candidate: Candidate) -> dict[str, Any]:
    """What the report says of sizes, speed, data and code."""
    quantized, evaluated, made = candidate.quantized.facts, candidate.fp8.facts, candidate.fp8.manifest
    at_once = candidate.recipe.serve.engine.max_num_seqs
    found = {
        "bytes in BF16": quantized.get("bytes_before"),
        "bytes in FP8": quantized.get("bytes_after"),
        "tensors": quantized.get("dtypes"),
        f"labels a second, {at_once} at once": evaluated.get("labels_per_s"),
        f"tool answers a second, {at_once} at once": evaluated.get("calls_per_s"),
        "seconds of the evaluation": made["seconds"],
        "peak memory of the evaluation, MB": made["peak_memory_mb"],
    }
    stages = {"quantize": candidate.quantized, "evaluate": candidate.fp8}
    return {
        "recipe": candidate.recipe.name,
        "sizes and speed": {name: value for name, value in found.items() if value is not None},
        "digests of data and code": {
            "corpus": candidate.corpus.digest,
            **candidate.inputs,
            **{f"code: {name}": artifact.manifest["code"] for name, artifact in stages.items()},
        },
    }


def _link(source: str, target: str) -> None:
    """Large files are shared with the quantized model, not written twice; across file systems they are copied."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
