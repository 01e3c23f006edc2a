"""ABCD: presses of buttons become tool calls that fit their declared schema, with the lines that followed as results."""

import gzip
import json
from pathlib import Path

import pytest

from data.abcd import AbcdSource, Ontology, arguments
from data.errors import BadInput
from data.schema import Dialog
from data.shop import Shop
from tests.data.declared import assert_calls_fit
from tests.data.reading import read_sources

SAMPLE = Path(__file__).parent / "samples" / "abcd.json"


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


@pytest.fixture(scope="module")
def dialogs(shop: Shop) -> list[Dialog]:
    return read_sources([AbcdSource(name="abcd", path=SAMPLE)], shop).dialogs


def test_actions_become_calls_with_results(dialogs: list[Dialog]) -> None:
    first = dialogs[0]
    assert (first.id, first.intent, first.language, len(first.tools)) == ("abcd-41", "return_item", "en", 30)
    assert [message.role for message in first.messages] == [
        "user", "assistant", "user", "assistant", "tool", "assistant", "user", "assistant", "tool", "assistant", "tool",
        "assistant",
    ]  # fmt: skip
    assert first.messages[0].content == "The boots are too small.\nCan they go back?"
    calls = [call.function for message in first.messages for call in message.tool_calls]
    assert [(call.name, call.arguments) for call in calls] == [
        ("pull_up_account", {"customer_name": "Rosa Feld"}),
        ("validate_purchase", {"username": "rfeld12", "email": "rfeld12@email.com", "order_id": "5550001234"}),
        ("enter_details", {"details": "(555) 010-0199"}),
    ]
    assert first.messages[4].content == "Account has been pulled up for Rosa Feld."
    assert first.messages[7].content == "One second." and first.messages[7].tool_calls
    assert first.messages[-1].content == "The label is in your mail."


def test_calls_fit_the_schemas_that_are_declared(dialogs: list[Dialog]) -> None:
    for dialog in dialogs:
        assert_calls_fit(dialog)


def test_a_label_without_an_intent_leaves_the_dialog_without_one(dialogs: list[Dialog], shop: Shop) -> None:
    assert dialogs[1].intent is None
    assert [call.function.arguments for m in dialogs[1].messages for call in m.tool_calls] == [
        {},
        {"storewide_query": "timing_2"},
    ]
    used = AbcdSource(name="abcd", path=SAMPLE, tools="used", labels={"timing": "coupon_promotion"})
    second = read_sources([used], shop).dialogs[1]
    assert second.intent == "coupon_promotion" and len(second.tools) == 2


def test_values_find_their_slots() -> None:
    facts = {"street_address": "12 mill lane", "phone": "(555) 010-0199"}
    assert arguments("update-account", ["Extend Subscription", "12 Mill  Lane"], facts) == {
        "account_slotval": "Extend Subscription",
        "street_address": "12 Mill  Lane",
    }
    assert arguments("offer-refund", ["64", "65"], {}) == {"amount": "64", "details": "65"}
    assert arguments("send-link", ["a", "b"], {}) == {"details": "a; b"}
    assert len(Ontology.read().tools) == 30


def test_a_list_and_an_archive_are_read_as_well(tmp_path: Path, shop: Shop, dialogs: list[Dialog]) -> None:
    content = json.loads(SAMPLE.read_bytes())
    (tmp_path / "sample.json").write_text(json.dumps(content["train"]))
    with gzip.open(tmp_path / "abcd.json.gz", "wt") as file:
        json.dump(content, file)
    for path in (tmp_path / "sample.json", tmp_path / "abcd.json.gz"):
        assert read_sources([AbcdSource(name="abcd", path=path)], shop).dialogs == dialogs


def test_what_does_not_fit_is_named(tmp_path: Path, shop: Shop) -> None:
    with pytest.raises(BadInput, match=r"abcd.json:test:1: value: .*original has 2 turns, delexed 1"):
        read_sources([AbcdSource(name="abcd", path=SAMPLE, split="test")], shop)
    with pytest.raises(BadInput, match=r"abcd.json:dev: is empty"):
        read_sources([AbcdSource(name="abcd", path=SAMPLE, split="dev")], shop)
    row = json.loads(SAMPLE.read_bytes())["train"][1]
    row["delexed"][2]["targets"][2] = "dance"
    other = json.loads(json.dumps(row).replace('"timing"', '"timings"').replace("dance", "search-faq"))
    path = tmp_path / "bad.json"
    path.write_text(json.dumps([row, other, 7]))
    with pytest.raises(BadInput) as caught:
        read_sources([AbcdSource(name="abcd", path=path)], shop)
    first, second, third = str(caught.value).split("\n")
    assert f"{path}:1: turn 2: action 'dance' is not in ABCD's ontology" in first
    assert f"{path}:2: label 'timings' is none of abcd (meant timing" in second
    assert f"{path}:3: " in third
