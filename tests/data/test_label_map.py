"""Labels: every foreign label has an answer, or the source is refused before its first row."""

import pytest
from pydantic import ValidationError

from data.banking77 import Banking77Source
from data.bitext import BitextSource
from data.errors import BadInput
from data.label_map import LabelMap, ReadyMap, found_in
from data.schema import Intent, Taxonomy
from data.shop import Shop

TAXONOMY = Taxonomy(intents={"card_arrival": Intent(zh="卡", means="a card under way")})


@pytest.mark.parametrize(("name", "labels"), [("bitext", 27), ("banking77", 77), ("clinc_oos", 151), ("abcd", 55)])
def test_ready_maps_are_whole_and_lead_into_the_default_taxonomy(name: str, labels: int) -> None:
    ready = ReadyMap.of(name)
    assert len(ready.names) == len(set(ready.names)) == labels
    assert {intent for intent in ready.intents.values() if intent} <= set(Shop.default().taxonomy.names)


def test_a_recipe_s_map_goes_before_the_same_name_and_that_before_the_ready_map() -> None:
    taxonomy = Shop.default().taxonomy
    given = BitextSource(name="bitext", labels={"cancel_order": "complaint", "review": "complaint", "complaint": None})
    intents = given.intents(taxonomy)
    assert (intents["cancel_order"], intents["review"], intents["complaint"]) == ("complaint", "complaint", None)
    assert (intents["change_order"], intents["track_refund"]) == ("change_order", "refund_status")
    assert intents["create_account"] is None


def test_labels_without_an_intent_are_all_named_with_the_nearest() -> None:
    with pytest.raises(BadInput) as caught:
        Banking77Source(name="banking77").intents(Shop.default().taxonomy)
    said = str(caught.value)
    assert "77 of 77 labels" in said and "labels: {activate_my_card: ...}" in said
    assert "  Refund_not_showing_up (meant refund_status?)" in said
    with pytest.raises(
        BadInput, match=r"19 of 27 .*\n  cancel_order\n(.*\n)+  track_order -> delivery_tracking, which"
    ):
        BitextSource(name="bitext").intents(TAXONOMY)


def test_others_may_be_unlabelled_but_not_a_label_that_the_recipe_maps() -> None:
    source = Banking77Source(name="banking77", others="unlabelled")
    assert {label for label, intent in source.intents(TAXONOMY).items() if intent} == {"card_arrival"}
    wrong = Banking77Source(name="banking77", others="unlabelled", labels={"age_limit": "card_arival"})
    with pytest.raises(BadInput, match=r"1 of 77 .*\n  age_limit -> card_arival, which intents.yaml lacks"):
        wrong.intents(TAXONOMY)


def test_a_map_of_a_label_that_the_data_set_has_not_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"bitext has no label 'cancel_ordre' \(meant cancel_order"):
        BitextSource(name="bitext", labels={"cancel_ordre": "cancel_order"})
    with pytest.raises(ValueError, match=r"label 'cancel_ordre' is none of bitext \(meant cancel_order\?\)"):
        found_in({"cancel_order": "cancel_order"}, "cancel_ordre", "bitext")


def test_an_open_set_keeps_unknown_labels_for_the_build_to_refuse() -> None:
    assert LabelMap().intent("card_arrival", TAXONOMY) == "card_arrival"
    assert LabelMap().intent("x", TAXONOMY) == "x"
    assert LabelMap(others="unlabelled").intent("x", TAXONOMY) is None
    assert LabelMap(labels={"x": "card_arrival", "y": None}).intent("x", TAXONOMY) == "card_arrival"
    assert LabelMap(labels={"y": None}).intent("y", TAXONOMY) is None
