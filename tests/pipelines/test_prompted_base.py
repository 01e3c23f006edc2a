"""The untuned base is asked once, with the taxonomy in its prompt, and what it wraps in words is read."""

from pathlib import Path
from typing import Any

import pytest

from data.artifact import ArtifactStore, Base
from data.schema import IntentCase
from data.shop import Shop
from evals.baselines import forgiven, labelling_prompt
from evals.predict import Prediction
from pipelines.prompted_base import prompted_base, slices_of
from recipes.recipe import Recipe
from tests.pipelines.stage import INTENTS, Oracle
from tests.serving.raw_engine import RawEngine


def test_it_is_asked_once_in_the_gated_languages(
    tmp_path: Path, oracle: Oracle, small_shop: Path, small_recipe: Path, tiny_base: Base
) -> None:
    seen: list[dict[str, Any]] = []

    def says(body: dict[str, Any]) -> str:
        seen.append(body)
        return f"The label is {oracle.says(body)}."

    oracle.engine = RawEngine(says)
    store, shop, recipe = ArtifactStore(tmp_path / "store"), Shop.open(small_shop), Recipe.read(small_recipe)
    found = prompted_base(store, tiny_base, shop, recipe)
    assert {name: figures.macro_f1 for name, figures in slices_of(found).items()} == {"en": 1.0}
    assert found.facts == {"cases": 120, "macro_f1": {"en": 1.0}}
    assert "- refund_status: refund_status" in seen[0]["messages"][0]["content"]
    (shop.cases / "agent.jsonl").write_text("{}", encoding="utf-8")  # no case of its own
    assert prompted_base(store, tiny_base, shop, recipe).folder == found.folder and oracle.starts == 1


def test_the_prompt_has_every_label_and_the_rules_between_them() -> None:
    taxonomy = Shop.default().taxonomy
    prompt = labelling_prompt(taxonomy)
    assert all(f"- {name}: " in prompt for name in taxonomy.names) and "Where two could fit:" in prompt
    assert "Where two" not in labelling_prompt(taxonomy.model_copy(update={"tie_breaks": ()}))


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("Label: order_status.", "order_status"),
        ("**Order_Status**", "order_status"),
        ("order_status or refund_status", None),
        ("reorder_status", None),
        ("hm", None),
    ],
)
def test_one_label_in_words_is_read(raw: str, label: str | None) -> None:
    case = IntentCase(text="x", intent="order_status", language="en")
    (read,) = forgiven([Prediction(case=case, predicted=None, raw=raw)], INTENTS)
    assert read.predicted == label


def test_what_was_read_already_or_failed_stays() -> None:
    case = IntentCase(text="x", intent="order_status", language="en")
    kept = [
        Prediction(case=case, predicted="refund_status", raw="order_status"),
        Prediction(case=case, predicted=None, raw="order_status", error="HTTP 500"),
    ]
    assert forgiven(kept, INTENTS) == kept
