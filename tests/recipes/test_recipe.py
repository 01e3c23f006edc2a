"""Recipes: all complete, strict, each with its launch command."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from data.errors import BadInput
from data.shop import Shop
from recipes.recipe import RECIPES, Recipe

PATHS = sorted(RECIPES.glob("*.yaml"))


def test_the_recipes_are_there() -> None:
    assert {path.stem for path in PATHS} >= {"qwen2.5-0.5b", "qwen3-1.7b", "qwen3-tiny", "smollm2-135m"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_recipe_is_complete(path: Path) -> None:
    recipe = Recipe.read(path)
    assert recipe.name == path.stem
    assert f"# kefu release recipes/{path.name}\n" in path.read_text(encoding="utf-8")
    assert set(recipe.serve.tools) <= set(Shop.default().tools)
    assert recipe.gate.retention >= 0.97
    assert recipe.gate.intent_f1 >= 0.924
    assert recipe.purpose == ("mechanics" if recipe.base.kind == "random" else "production")


def changed(tmp_path: Path, **changes: Any) -> Path:
    content = yaml.safe_load((RECIPES / "smollm2-135m.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        target, *rest = reversed(key.split("__"))
        section = content
        for part in reversed(rest):
            section = section[part]
        section[target] = value
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_all_problems_are_named_at_once_with_the_valid_keys(tmp_path: Path) -> None:
    path = changed(tmp_path, train__lr=1, base__x=1, serve__engine__fast=True, gate__retention=97, extra=1)
    with pytest.raises(BadInput) as error:
        Recipe.read(path)
    message = str(error.value)
    assert "train.lr: unknown key; valid here: rank, alpha" in message
    assert "base.x: unknown key; valid here: kind, package, file" in message
    assert "serve.engine.fast: unknown key; valid here: max_num_seqs" in message
    assert "gate.retention: Input should be less than or equal to 1 (found 97)" in message
    assert "extra: unknown key; valid here: name, purpose, base" in message


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"quantize__block": None}, "FP8_BLOCK needs a block"),
        ({"serve__history": 8000}, "must fit into context"),
        ({"data__redact_people": ["tabel"]}, "no source is called tabel; known: .*, dataset, jsonl"),
        ({"data__sources": [{"name": "jsonl"}]}, r"data.sources.0.path: Field required"),
        (
            {"data__sources": [{"name": "table", "path": "x.csv", "txt": "q"}]},
            r"sources.0.txt: unknown key.* text, label",
        ),
        (
            {"data__sources": [{"name": "dataset", "dataset": 3}]},
            r"data.sources.0.dataset: Input should be a valid string",
        ),
        ({"data__sources": [{"name": "sql"}]}, "'shop', 'jsonl', 'openai', 'sharegpt', 'table', 'dataset'"),
        ({"base": {"kind": "s3"}}, "base"),
    ],
)
def test_values_that_do_not_go_together(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        Recipe.read(changed(tmp_path, **change))


def test_unreadable_recipes(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"recipes/smollm2-135m.yaml"):
        Recipe.read(tmp_path / "no.yaml")
    for content, problem in (("a: [", "not valid YAML"), ("- 1", "expected a mapping")):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(BadInput, match=problem):
            Recipe.read(tmp_path / "bad.yaml")
