"""The fitted verifier of a shop: the same every time, closed until frozen pairs were asked, tied to what it was made of."""

from pathlib import Path

import numpy as np
import pytest

from data.artifact import ArtifactStore
from data.errors import BadInput
from data.schema import FaqPair, write_jsonl
from data.shop import Shop
from pipelines.faq_fit import fit_faq, fitted_faq
from pipelines.faq_learning import fit
from serving.faq_evidence import FEATURES
from serving.faq_verifier import VERIFIER, Fitted, read_fitted
from tests.serving.near import Hashing, fitted, matcher, small, vectors, write_small


def shop_in(folder: Path, pairs: list[FaqPair] | None = None) -> Shop:
    (folder / "cases").mkdir(parents=True)
    write_small(folder)
    if pairs:
        write_jsonl(folder / "cases" / "faq_pairs.jsonl", pairs)
    return Shop(folder=folder, train=folder, cases=folder / "cases")


def test_it_is_closed_until_pairs_were_asked_and_is_found_again_on_disk(tmp_path: Path) -> None:
    store, shop = ArtifactStore(tmp_path / "store"), shop_in(tmp_path / "shop")
    assert fitted_faq(store, shop, Hashing()) is None
    first = fit_faq(store, shop, Hashing())
    assert first is not None and first.facts["open"] is False and first.facts["figures"] is None
    again = fit_faq(store, shop, Hashing())
    found_again = fitted_faq(store, shop, Hashing())
    assert again is not None and found_again is not None and again.folder == found_again.folder == first.folder
    found, expected = read_fitted(first.folder), fitted().fitted
    assert found.threshold == expected.threshold and found.features == expected.features

    (tmp_path / "shop" / "cases" / "faq_pairs.jsonl").write_text(
        FaqPair(a="x", b="y", same_answer=False, language="en").model_dump_json() + "\n"
    )
    asked = fit_faq(store, shop, Hashing())
    assert asked is not None and asked.folder != first.folder
    assert asked.facts["open"] is False and asked.facts["figures"]["pairs"] == 1  # one pair shows nothing


def test_a_shop_without_calibration_is_not_fitted(tmp_path: Path) -> None:
    shop = shop_in(tmp_path / "shop")
    (tmp_path / "shop" / "faq_calibration.jsonl").unlink()
    assert fit_faq(ArtifactStore(tmp_path / "store"), shop, Hashing()) is None


def test_too_few_calibrated_entries_are_refused() -> None:
    entries, calibration = small()
    with pytest.raises(BadInput, match="at least 6 entries"):
        fit(entries, calibration[:4], vectors(), Hashing.name)


def test_too_few_questions_show_no_bound_so_that_nothing_near_is_a_hit() -> None:
    found = fitted().fitted
    assert found.threshold == 1.0 and found.cross_validated.true_hits == 0
    assert found.features == FEATURES and len(found.weights) == len(FEATURES)


def test_the_fit_is_deterministic() -> None:
    entries, calibration = small()
    again = fit(entries, calibration, vectors(), Hashing.name)
    assert again.fitted == fitted().fitted
    assert all(np.array_equal(rows, fitted().forest.arrays()[name]) for name, rows in again.forest.arrays().items())


@pytest.mark.parametrize("change", [{"features": ("near",)}, {"words": "0" * 64}])
def test_one_of_other_code_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    other: Fitted = matcher().verifier.fitted.model_copy(update=change)
    (tmp_path / VERIFIER).write_text(other.model_dump_json())
    with pytest.raises(BadInput, match="release the FAQ again"):
        read_fitted(tmp_path)
