"""CLINC150: its class oos is our out_of_scope, as is whatever a shop does not handle."""

import gzip
import json
from pathlib import Path

import pytest

from data.clinc import ClincSource
from data.errors import BadInput
from data.shop import Shop
from data.sources import read_sources

SAMPLE = Path(__file__).parent / "samples" / "clinc_oos.json"


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


def test_its_json(shop: Shop) -> None:
    found = read_sources([ClincSource(name="clinc_oos", path=SAMPLE)], shop).utterances
    assert [(row.text, row.intent) for row in found] == [
        ("has my order gone out yet", "order_status"),
        ("what is the forecast for the weekend", "out_of_scope"),
        ("tell me something funny", "out_of_scope"),
        ("who repairs old clocks near the station", "out_of_scope"),
    ]
    held = read_sources([ClincSource(name="clinc_oos", path=SAMPLE, split="validation")], shop).utterances
    assert [row.intent for row in held] == ["out_of_scope", "out_of_scope"]


def test_broken_pairs_and_an_empty_split(tmp_path: Path, shop: Shop) -> None:
    path = tmp_path / "c.json.gz"
    with gzip.open(path, "wt") as file:
        json.dump({"train": [["hi", "greetin"], "hi", ["hi"]], "oos_train": []}, file)
    with pytest.raises(BadInput) as caught:
        read_sources([ClincSource(name="clinc_oos", path=path)], shop)
    first, *rest = str(caught.value).split("\n")
    assert f"{path}:1: label 'greetin' is none of clinc_oos (meant greeting" in first
    assert [line.split(": ")[0] for line in rest] == [f"{path}:2", f"{path}:3"]
    with pytest.raises(BadInput, match="is empty"):
        read_sources([ClincSource(name="clinc_oos", path=SAMPLE, split="test")], shop)


def test_the_hub_s_form(tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    label = datasets.ClassLabel(names=["oos", "weather"])
    features = datasets.Features({"text": datasets.Value("string"), "intent": label})
    rows = datasets.Dataset.from_dict({"text": ["how deep is it"], "intent": [0]}, features=features)
    rows.to_parquet(tmp_path / "set" / "plus" / "train-00000-of-00001.parquet")
    card = "---\nconfigs:\n- config_name: plus\n  data_files:\n  - split: train\n    path: plus/train-*\n---\n"
    (tmp_path / "set" / "README.md").write_text(card)
    (row,) = read_sources([ClincSource(name="clinc_oos", dataset=str(tmp_path / "set"))], shop).utterances
    assert row.intent == "out_of_scope"
