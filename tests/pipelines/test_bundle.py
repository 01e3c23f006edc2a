"""A release and its report, from artifacts made by hand: what stands beside the figures, and which parts make it another."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from data.artifact import Artifact, ArtifactStore, Baseline, Corpus, Quantized, Report
from data.chat import Row
from data.schema import Message
from data.shop import Shop
from evals.gate import decide
from evals.metrics import Evaluation
from evals.report import write_report
from pipelines.bundle import Candidate, bundle
from pipelines.evaluate import evaluation_of
from pipelines.faq_fit import FaqFit
from recipes.recipe import RECIPES, Recipe
from tests.evals.conftest import evaluation, intent_predictions, tool_predictions

RECIPE = RECIPES / "smollm2-135m.yaml"
NAMES = Shop.default().taxonomy.names
A = TypeVar("A", bound=Artifact)


def judged(digest: str, wrong: tuple[int, ...] = (), count: int = 50) -> Evaluation:
    return evaluation(intent_predictions(count, wrong, labels=NAMES), tool_predictions(6), digest, labels=NAMES)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def make(store: ArtifactStore, kind: type[A], name: str, files: dict[str, str], facts: dict[str, Any]) -> A:
    def fill(folder: Path) -> dict[str, Any]:
        for path, text in files.items():
            (folder / path).write_text(text, encoding="utf-8")
        return facts

    return store.build(kind, fill, inputs={"name": name}, section=None, code=f"code of {name}")


def report(store: ArtifactStore, said: Evaluation, facts: dict[str, Any]) -> Report:
    def fill(folder: Path) -> dict[str, Any]:
        write_report(folder, said, None, None, {})
        return facts

    return store.build(Report, fill, inputs={"model": said.model_digest}, section=None, code="code of evaluate")


@pytest.fixture
def candidate(store: ArtifactStore) -> Candidate:
    turns = [
        Row(
            task="intent",
            messages=(Message(role="user", content=f"{number} {name}"),),
            completion=name,
            intent=name,
            language="en",
            source="test",
        )
        for name in NAMES[:2]
        for number in range(3)
    ]
    rows = "".join(f"{row.model_dump_json()}\n" for row in turns)
    files = {"config.json": "{}", "model.safetensors": "weights"}
    quantized = make(
        store, Quantized, "quantize", files, {"bytes_before": 2**21, "bytes_after": 2**20, "dtypes": {"F8_E4M3": 3}}
    )
    return Candidate(
        shop=Shop.default(),
        recipe=Recipe.read(RECIPE),
        recipe_path=RECIPE,
        corpus=make(store, Corpus, "corpus", {"train.jsonl": rows}, {}),
        quantized=quantized,
        fp8=report(store, judged("fp8", (3,)), {"labels_per_s": 12.25, "calls_per_s": 3.5}),
        bf16=report(store, judged("bf16"), {}),
    )


def release(store: ArtifactStore, candidate: Candidate, champion: Evaluation | None) -> tuple[Any, str]:
    fp8, bf16 = evaluation_of(candidate.fp8), evaluation_of(candidate.bf16)
    found = bundle(store, candidate, decide(fp8, bf16, champion, candidate.recipe.gate), champion)
    return found, (found.folder / "report" / "report.html").read_text(encoding="utf-8")


def test_sizes_speed_and_digests_are_in_the_report(store: ArtifactStore, candidate: Candidate) -> None:
    made, page = release(store, candidate, None)
    assert "labels a second, 16 at once" in page and "12.25" in page and "1,048,576 (1.0 MiB)" in page
    assert candidate.corpus.digest in page and "code of evaluate" in page and "code of quantize" in page
    assert "Name the customer" in page and "champion" not in page and "untuned base" not in page
    assert not (made.folder / "report" / "champion.json").exists() and "untuned" not in made.manifest["inputs"]


def test_the_champion_and_the_untuned_base_stand_beside_it(store: ArtifactStore, candidate: Candidate) -> None:
    plain, _ = release(store, candidate, None)
    text = json.dumps(judged("base", tuple(range(40))).model_dump(mode="json"))
    untuned = make(store, Baseline, "base", {"evaluation.json": text}, {})
    made, page = release(store, replace(candidate, untuned=untuned), judged("champion", (1, 2)))
    ladder = page.split("What tuning and quantizing bought")[1]
    assert ladder.index("untuned base, prompted") < ladder.index("champion: champion") < ladder.index("candidate: fp8")
    assert "<th>champion</th>" in page and (made.folder / "report" / "champion.json").exists()
    assert made.manifest["inputs"]["untuned"] == untuned.digest and made.digest != plain.digest
    assert "untuned base, prompted" in made.facts["baselines"]


def test_equal_parts_are_the_same_release(store: ArtifactStore, candidate: Candidate) -> None:
    assert release(store, candidate, None)[0].folder == release(store, candidate, None)[0].folder
    assert candidate.is_in(release(store, candidate, None)[0])


def test_a_fitted_faq_is_part_of_it(store: ArtifactStore, candidate: Candidate) -> None:
    plain, _ = release(store, candidate, None)
    fitted = make(store, FaqFit, "faq", {"verifier.json": "{}"}, {})
    made, _ = release(store, replace(candidate, faq=fitted), None)
    assert (made.folder / "faq" / "verifier.json").exists() and not (plain.folder / "faq").exists()
    assert made.manifest["inputs"]["faq"] == fitted.digest and made.digest != plain.digest
