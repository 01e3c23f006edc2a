"""Bitext: placeholders become a customer's values, the same in question and answer; the shop's own facts are never made up."""

import logging
import re
from pathlib import Path

import pytest

from data.bitext import BitextSource
from data.errors import BadInput
from data.schema import Dialog, Utterance
from data.shop import Shop
from data.sources import read_sources

SAMPLE = Path(__file__).parent / "samples" / "bitext.csv"


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


def test_utterances_and_dialogs(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = read_sources([BitextSource(name="bitext", path=SAMPLE)], shop)
    assert [row.intent for row in found.utterances] == ["cancel_order", "cancel_order", "refund_status"]
    assert [(row.id, row.intent) for row in found.dialogs] == [
        ("bitext-2", "cancel_order"),
        ("bitext-4", None),
        ("bitext-5", None),
    ]
    question, answer = (message.content for message in found.dialogs[0].messages)
    (number,) = re.findall(r"\d{8}", question)
    assert number in answer and "{{" not in question + answer
    assert question == found.utterances[0].text
    assert "Customer Support Phone Number (1)" in caplog.text and "Website URL (1)" in caplog.text
    assert "Person Name" in caplog.text  # only the answer has it: the customer has not said it


def test_the_recipe_fills_what_the_shop_knows(shop: Shop) -> None:
    facts = {"Customer Support Phone Number": "555 0100", "Customer Support Hours": "9 to 18"}
    source = BitextSource(name="bitext", path=SAMPLE, take=("dialogs",), placeholders=facts)
    found = read_sources([source], shop)
    assert not found.utterances and len(found.dialogs) == 4
    assert "at 555 0100 between 9 to 18 about" in found.dialogs[1].messages[-1].content


def test_rows_come_with_places_that_differ(shop: Shop) -> None:
    rows = list(BitextSource(name="bitext", path=SAMPLE).rows(shop))
    assert len({found.place for found in rows}) == len(rows)
    assert [type(found.row) for found in rows[:2]] == [Utterance, Dialog]
    assert rows[0].place == f"{SAMPLE}:2"


def test_a_foreign_label_and_a_foreign_table(tmp_path: Path, shop: Shop) -> None:
    path = tmp_path / "b.csv"
    path.write_text("instruction,intent,response\nhi,cancel_ordre,ho\n,cancel_order,ho\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"b.csv:2: label 'cancel_ordre' is none of bitext .*\n.*b.csv:3: text: "):
        read_sources([BitextSource(name="bitext", path=path)], shop)
    path.write_text("text,label\nhi,x\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"no column instruction or intent or response; it has text, label: expected Bi"):
        read_sources([BitextSource(name="bitext", path=path)], shop)
