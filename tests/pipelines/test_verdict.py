"""What can be said before a run; decisions themselves are tested with the main job."""

import shutil
from dataclasses import replace
from pathlib import Path

from data.artifact import ArtifactStore, Corpus
from data.schema import write_jsonl
from data.shop import Shop
from pipelines.verdict import too_few_cases
from recipes.recipe import RECIPES, Recipe


def corpus(folder: Path, held_out: int) -> Corpus:
    def fill(target: Path) -> None:
        case = {"text": "x", "intent": "refund_status", "language": "en"}
        write_jsonl(target / "held_out.jsonl", [case | {"text": f"held {k}"} for k in range(held_out)])

    return ArtifactStore(folder / str(held_out)).build(Corpus, fill, inputs={}, section=None, code="")


def test_too_few_cases_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    gate = Recipe.read(RECIPES / "smollm2-135m.yaml").gate
    shop = replace(Shop.default(), cases=tmp_path)
    for language in ("en", "zh"):
        shutil.copy(Shop.default().cases / f"intents.{language}.jsonl", tmp_path)
    said = too_few_cases(shop, corpus(tmp_path, 0), gate)
    assert said is not None
    assert "300 labelled cases in en, 442 needed (gate.power); 142 missing: add labelled cases" in said
    assert too_few_cases(shop, corpus(tmp_path, 141), gate) is not None
    assert too_few_cases(shop, corpus(tmp_path, 142), gate) is None
    both = Recipe.read(RECIPES / "qwen3-1.7b.yaml").gate
    assert too_few_cases(shop, corpus(tmp_path, 0), both) is None
    assert too_few_cases(shop, corpus(tmp_path, 0), gate.model_copy(update={"power": 1.0})) is None


def test_the_default_shop_has_enough_cases_by_itself(tmp_path: Path) -> None:
    gate = Recipe.read(RECIPES / "smollm2-135m.yaml").gate
    assert too_few_cases(Shop.default(), corpus(tmp_path, 0), gate) is None
