"""The difference of two corpora: what came, went, moved and was relabelled; and the page of one."""

from pathlib import Path

import pytest

from data.artifact import ArtifactStore, Corpus
from data.diff import diff
from data.schema import Utterance
from data.shop import Shop
from tests.data.test_build import build

TEXTS = {
    "my lamp came with a cracked shade": "damaged_or_wrong_item",
    "can I pay when the courier hands it over": "payment_methods",
    "please put the company's name on the bill": "invoice_request",
    "<b>is</b> the tent waterproof & light": "product_inquiry",
}


def rows(**labels: str) -> list[Utterance]:
    return [Utterance(text=text, intent=label, language="en") for text, label in (TEXTS | labels).items()]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Corpus:
    bad = [Utterance(text="thing", intent="order_statu", language="en")]
    store = ArtifactStore(tmp_path_factory.mktemp("before"))
    return build(store, [*rows(), *bad], shop, validation=0.0001, bad_rows="drop")


def test_a_corpus_is_the_same_as_itself(before: Corpus) -> None:
    found = diff(before, before)
    assert found.pop("same")
    assert found.pop("held_out") == {"added": 0, "removed": 0}
    assert found.pop("moved") == {"to training": [], "to held out": []}
    assert not any(found.values())


def test_what_changed_is_named(tmp_path: Path, shop: Shop, before: Corpus) -> None:
    text = "can I pay when the courier hands it over"
    changed = [row for row in rows(**{text: "delivery_options"}) if "lamp" not in row.text]
    changed.append(Utterance(text="the drill stopped after a month", intent="warranty_repair", language="en"))
    found = diff(before, build(ArtifactStore(tmp_path), changed, shop, validation=0.0001, repeat={"intent": 2}))

    assert not found["same"]
    assert found["relabelled"] == {text: ["payment_methods", "delivery_options"]}
    assert found["removed"]["intent en"] == {"rows": 2, "examples": sorted([text, "my lamp came with a cracked shade"])}
    assert found["added"]["intent en"]["rows"] == 2 * 4 - 2
    assert found["dropped"] == {"unknown label": [1, None]}
    assert found["section"] == {"bad_rows": ["drop", "refuse"], "repeat": [{}, {"intent": 2}]}


def test_sides_are_compared(tmp_path: Path, shop: Shop, before: Corpus) -> None:
    found = diff(before, build(ArtifactStore(tmp_path), rows(), shop, validation=1.0))
    assert found["moved"]["to held out"] == sorted(TEXTS)
    assert found["held_out"] == {"added": 4, "removed": 0}


def test_the_page_shows_what_was_left_out_and_escapes_what_customers_write(before: Corpus) -> None:
    page = (before.folder / "corpus.html").read_text(encoding="utf-8")
    assert "meant order_status?" in page and "given:5" in page
    assert "&lt;b&gt;is&lt;/b&gt; the tent" in page and "<b>is" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
