"""The FAQ's calibration questions: whole, of one mind, and apart from the frozen pairs they are measured on."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from data.chat import language_of
from data.errors import BadInput
from data.firewall import Firewall, normalized
from data.schema import FaqCalibration, write_jsonl
from data.shop import Shop

SHOP = Shop.default()
ROWS = SHOP.faq_calibration
PARAPHRASES = [text for row in ROWS for text in row.paraphrases]
NEGATIVES = [text for row in ROWS for text in row.hard_negatives]


def test_every_entry_has_six_paraphrases_and_four_hard_negatives() -> None:
    assert [(row.id, row.language) for row in ROWS] == [(entry.id, entry.language) for entry in SHOP.faq]
    assert {(len(row.paraphrases), len(row.hard_negatives)) for row in ROWS} == {(6, 4)}


def test_no_text_comes_twice() -> None:
    texts = [normalized(text) for text in (*PARAPHRASES, *NEGATIVES)]
    assert len(set(texts)) == len(texts)


def test_texts_are_in_the_language_of_their_entry() -> None:
    wrong = [t for row in ROWS for t in (*row.paraphrases, *row.hard_negatives) if language_of(t) != row.language]
    assert wrong == []


def test_no_listed_question_is_repeated() -> None:
    listed = {normalized(question) for entry in SHOP.faq for question in (entry.question, *entry.questions)}
    assert [text for text in (*PARAPHRASES, *NEGATIVES) if normalized(text) in listed] == []


def test_nothing_nearly_repeats_a_frozen_pair() -> None:
    frozen = sorted({pair.b for pair in SHOP.faq_pairs()})
    assert Firewall(frozen).leaks([*PARAPHRASES, *NEGATIVES]) == []
    assert Firewall(frozen).leaks([frozen[0].upper()])


def test_a_text_cannot_be_on_both_sides() -> None:
    with pytest.raises(ValidationError, match="both a paraphrase and a hard negative: x"):
        FaqCalibration(id="a", language="en", paraphrases=("x", "y"), hard_negatives=("x",))


def shop_with(folder: Path, rows: list[FaqCalibration]) -> Shop:
    (folder / "faq.yaml").write_text((SHOP.folder / "faq.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    if rows:
        write_jsonl(folder / "faq_calibration.jsonl", list(rows))
    return Shop(folder=folder, train=SHOP.train, cases=SHOP.cases)


def test_a_shop_may_do_without(tmp_path: Path) -> None:
    assert shop_with(tmp_path, []).faq_calibration == ()


def test_rows_must_fit_the_entries(tmp_path: Path) -> None:
    lost = ROWS[0].model_copy(update={"id": "lost"})
    with pytest.raises(BadInput) as error:
        shop_with(tmp_path, [*ROWS, lost, ROWS[1]]).faq_calibration  # noqa: B018
    assert "lost (en) is not in faq.yaml" in str(error.value)
    assert f"{ROWS[1].id} (zh) has 2 rows; join them" in str(error.value)
