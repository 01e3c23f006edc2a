"""What the untuned base makes of the frozen intent cases if it is only prompted: one rung of the report's ladder.

It is asked through the same engine and the same template as what is released, in the gated languages; the taxonomy is in its
prompt. Asked once for a base, as every stage. Not covered: its answers and calls, which it was given no tools for.
"""

from pathlib import Path
from typing import Any

from data.artifact import SCRATCH, ArtifactStore, Base, Baseline, code_digest, json_digest, write_json
from data.schema import Language
from data.shop import Shop
from evals.baselines import forgiven, labelling_prompt
from evals.journal import Journal
from evals.metrics import Slice
from evals.metrics import evaluate as measure
from evals.predict import Prediction, predict_intents
from pipelines.evaluate import SERVED_NAME, candidate_engine, numeric_path, read_evaluation
from pipelines.screen import progress_bar
from recipes.recipe import Recipe

RESULT = "evaluation.json"
CODE = (
    *("pipelines.prompted_base", "evals.baselines", "evals.predict", "evals.metrics", "evals.statistics"),
    *("evals.calibration", "data.chat", "serving.engine"),
)


def prompted_base(store: ArtifactStore, base: Base, shop: Shop, recipe: Recipe) -> Baseline:
    """The labels of an untuned base.

    Raises:
        EnvironmentLacks: the engine cannot be started.
    """
    return store.build(
        Baseline,
        lambda target: _ask(target, base, shop, recipe),
        inputs={
            "base": base.digest,
            "cases": json_digest(shop.case_digests("intents")),
            "prompt": json_digest(labelling_prompt(shop.taxonomy)),
            "labels": json_digest(shop.taxonomy.names),
            "numeric_path": numeric_path(base.folder),
        },
        section={"serve": recipe.serve.model_dump(mode="json"), "languages": recipe.gate.languages},
        code=code_digest(*CODE),
    )


def slices_of(baseline: Baseline) -> dict[Language, Slice]:
    """Its figures by language, as the report takes them."""
    return {**read_evaluation(baseline.folder / RESULT).languages}


def _ask(target: Path, base: Base, shop: Shop, recipe: Recipe) -> dict[str, Any]:
    names = shop.taxonomy.names
    prompts = shop.prompts.model_copy(update={"intent": labelling_prompt(shop.taxonomy)})
    cases = [case for case in shop.intent_cases() if case.language in recipe.gate.languages]
    journal = Journal(target / SCRATCH / "frozen.jsonl", Prediction)
    with candidate_engine(base.folder, recipe.serve) as engine, progress_bar("prompted base", len(cases)) as done:
        width = recipe.serve.engine.max_num_seqs
        predictions = predict_intents(
            engine.base_url, SERVED_NAME, cases, prompts, names, concurrency=width, progress=done, journal=journal
        )
    evaluation = measure(
        model=f"{recipe.name} base",
        model_digest=base.digest,
        numeric_path=engine.numeric_path,
        labels=names,
        predictions=forgiven(predictions, names),
    )
    write_json(target / RESULT, evaluation.model_dump(mode="json"))
    return {"cases": len(cases), "macro_f1": {x: figures.macro_f1 for x, figures in evaluation.languages.items()}}
