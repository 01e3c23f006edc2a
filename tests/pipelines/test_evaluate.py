import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from data.artifact import ArtifactStore, Corpus, Merged
from data.errors import BadInput
from data.schema import write_jsonl
from data.shop import Shop
from pipelines.evaluate import evaluate, evaluate_cases, evaluation_of, read_evaluation, served_tools
from recipes.recipe import Recipe
from tests.pipelines.stage import INTENTS, Oracle
from tests.serving.raw_engine import RawEngine


@pytest.fixture
def held_out(tmp_path: Path) -> Corpus:
    """A corpus of which evaluation reads the held-out cases."""

    def fill(folder: Path) -> None:
        case = {"id": "h1", "text": "held refund_status", "intent": "refund_status", "language": "en"}
        write_jsonl(folder / "held_out.jsonl", [case])

    return ArtifactStore(tmp_path / "corpus").build(Corpus, fill, inputs={}, section=None, code="")


def test_a_model_is_asked_once_over_http_and_its_report_reused(
    tmp_path: Path, oracle: Oracle, small_shop: Path, small_recipe: Path, tiny_merged: Merged, held_out: Corpus
) -> None:
    store, shop, recipe = ArtifactStore(tmp_path / "store"), Shop.open(small_shop), Recipe.read(small_recipe)
    report = evaluate(store, tiny_merged, shop, recipe, held_out)
    found = evaluation_of(report)
    assert found.model_digest == tiny_merged.digest
    assert found.overall is not None and found.overall.macro_f1 == 1 and found.overall.cases == 120
    assert found.tools is not None and found.tools.accuracy == 1
    assert [prediction.held_out for prediction in found.predictions] == [False] * 120 + [True]
    assert (report.folder / "report.html").exists()
    assert evaluate(store, tiny_merged, shop, recipe, held_out).digest == report.digest
    assert oracle.starts == 1


def test_other_cases_are_another_report(
    tmp_path: Path, oracle: Oracle, small_shop: Path, small_recipe: Path, tiny_merged: Merged, held_out: Corpus
) -> None:
    store, recipe = ArtifactStore(tmp_path / "store"), Recipe.read(small_recipe)
    evaluate(store, tiny_merged, Shop.open(small_shop), recipe, held_out)
    with (small_shop / "cases" / "intents.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "one more order_status", "intent": "order_status", "language": "en"}) + "\n")
    again = evaluation_of(evaluate(store, tiny_merged, Shop.open(small_shop), recipe, held_out))
    assert again.overall is not None and again.overall.cases == 121
    assert oracle.starts == 2


def test_a_file_of_cases(
    oracle: Oracle, small_shop: Path, small_recipe: Path, tiny_merged: Merged, tmp_path: Path
) -> None:
    shop, serve = Shop.open(small_shop), Recipe.read(small_recipe).serve
    found = evaluate_cases(tiny_merged.folder, small_shop / "cases" / "intents.jsonl", serve, shop.prompts, INTENTS)
    assert (found["cases"], found["macro_f1"], found["accuracy"], found["unparsable"]) == (120, 1.0, 1.0, 0.0)
    assert found["oos_recall"] == 1.0 and found["lower"] <= found["macro_f1"] <= found["upper"]
    strange = tmp_path / "strange.jsonl"
    strange.write_text('{"text": "x", "intent": "astrology", "language": "en"}\n', encoding="utf-8")
    with pytest.raises(BadInput, match=r"strange\.jsonl: unknown intent\(s\) astrology"):
        evaluate_cases(tiny_merged.folder, strange, serve, shop.prompts, INTENTS)


class Stopped(Exception):
    """Stands for Ctrl-C."""


PROMISED = {"cases", "macro_f1", "accuracy", "lower", "upper", "per_intent", "unparsable", "oos_recall"}


def test_a_file_of_cases_goes_on_where_it_was_interrupted(
    oracle: Oracle,
    small_shop: Path,
    small_recipe: Path,
    tiny_merged: Merged,
    kefu_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, serve, path = Shop.open(small_shop), Recipe.read(small_recipe).serve, small_shop / "cases" / "intents.jsonl"
    asked: list[str] = []

    def counted(body: dict[str, Any]) -> str:
        asked.append("one")
        return oracle.says(body)

    def move(_label: str, _total: int) -> AbstractContextManager[Callable[..., None]]:
        def stop(done: int) -> None:
            if done == 50:
                raise Stopped

        return nullcontext(stop)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.evaluate.progress_bar", move)
        with pytest.raises(Stopped):
            evaluate_cases(tiny_merged.folder, path, serve, shop.prompts, INTENTS)
    assert len(list((kefu_home / "interrupted").iterdir())) == 1
    oracle.engine = RawEngine(counted)
    found = evaluate_cases(tiny_merged.folder, path, serve, shop.prompts, INTENTS)
    assert found.keys() >= PROMISED and found["cases"] == 120
    assert 50 <= 120 - len(asked) <= 50 + serve.engine.max_num_seqs
    assert list((kefu_home / "interrupted").iterdir()) == []


def test_a_tool_that_the_shop_lacks_is_named(small_shop: Path, small_recipe: Path) -> None:
    serve = Recipe.read(small_recipe).serve.model_copy(update={"tools": ("fly",)})
    with pytest.raises(BadInput, match=r"serve\.tools: fly not in"):
        served_tools(Shop.open(small_shop), serve)


def test_a_foreign_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not an evaluation"):
        read_evaluation(tmp_path / "evaluation.json")
