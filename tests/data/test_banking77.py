"""Banking77: its labels are a bank's; through the ready source or as a plain table, all rows come, conflicts included."""

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from data.banking77 import Banking77Source
from data.check import check
from data.errors import BadInput
from data.label_map import ReadyMap
from data.schema import Intent, Taxonomy
from data.shop import Shop
from data.sources import TableSource, read_sources

SAMPLE = Path(__file__).parent / "samples" / "banking77.csv"


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose taxonomy is the bank's."""
    names = ReadyMap.of("banking77").names
    taxonomy = Taxonomy(intents={name: Intent(zh=name, means=name) for name in names})
    shop = Shop.default()
    monkeypatch.setitem(shop.__dict__, "taxonomy", taxonomy)
    return shop


def test_a_bank_reads_all_of_it(bank: Shop) -> None:
    found = read_sources([Banking77Source(name="banking77", path=SAMPLE)], bank).utterances
    assert [row.intent for row in found] == [
        "card_arrival",
        "card_swallowed",
        "visa_or_mastercard",
        "card_delivery_estimate",
        "reverted_card_payment?",
    ]
    assert {(row.language, row.source) for row in found} == {("en", "banking77")}


def test_its_conflicts_are_reported(bank: Shop) -> None:
    checked = check(TableSource(name="table", path=SAMPLE, label="category").rows(bank), bank)
    assert checked.rows == 5
    (conflict,) = checked.findings
    assert (conflict.kind, conflict.place) == ("contradiction", f"{SAMPLE}:5")


def test_a_shop_leaves_out_what_it_has_no_intent_for() -> None:
    shop, mapped = Shop.default(), {"card_arrival": "delivery_tracking"}
    source = Banking77Source(name="banking77", path=SAMPLE, labels=mapped, others="unlabelled")
    assert [row.intent for row in read_sources([source], shop).utterances] == ["delivery_tracking"]
    none = Banking77Source(name="banking77", path=SAMPLE, others="unlabelled")
    with pytest.raises(BadInput, match="every row is left out"):
        read_sources([none], shop)


@pytest.mark.parametrize("streaming", [False, pytest.param(True, marks=pytest.mark.slow)])  # streaming imports torch
def test_the_hub_s_form_has_numbers_for_labels(
    tmp_path: Path, bank: Shop, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names = sorted(ReadyMap.of("banking77").names)
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    rows = {"text": ["Was I charged twice?"], "label": [names.index("transaction_charged_twice")]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set" / "train-00000-of-00001.parquet")
    source = Banking77Source(name="banking77", dataset=str(tmp_path / "set"), streaming=streaming)
    (row,) = read_sources([source], bank).utterances
    assert row.intent == "transaction_charged_twice"


def test_parquet_is_a_file_as_well(tmp_path: Path, bank: Shop) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"text": ["hi"], "category": ["age_limt"]}), path)
    with pytest.raises(BadInput, match=r"x.parquet:1: label 'age_limt' is none of banking77 \(meant age_limit\?\)"):
        read_sources([Banking77Source(name="banking77", path=path)], bank)
