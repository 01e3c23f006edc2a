"""MultiWOZ 2.2: where the desk's answer gives values it has looked them up, and nothing else is in the result."""

import json
from pathlib import Path

import pytest

from data.errors import BadInput
from data.multiwoz import MultiwozSource
from data.schema import Dialog
from data.shop import Shop
from tests.data.declared import assert_calls_fit
from tests.data.reading import read_sources

SAMPLE = Path(__file__).parent / "samples" / "multiwoz"


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


def first(shop: Shop, **options: object) -> Dialog:
    source = MultiwozSource.model_validate({"name": "multiwoz", "path": SAMPLE, **options})
    found = next(iter(source.rows(shop)))
    assert found.row is not None, found.problem
    return found.row


def test_answers_with_values_rest_on_calls(shop: Shop) -> None:
    dialog = first(shop)
    assert (dialog.id, dialog.intent, dialog.source) == ("multiwoz-PMUL0001.json", None, "multiwoz")
    assert [message.role for message in dialog.messages] == [
        "user", "assistant", "user", "assistant", "tool", "assistant", "user", "assistant", "tool", "tool", "assistant",
        "user", "assistant",
    ]  # fmt: skip
    calls = [[(c.function.name, c.function.arguments) for c in m.tool_calls] for m in dialog.messages if m.tool_calls]
    assert calls == [
        [("find_restaurant", {"area": "centre"})],
        [
            ("book_restaurant", {"bookpeople": "2", "name": "blue kettle"}),
            ("book_taxi", {"destination": "blue kettle"}),
        ],
    ]
    results = [json.loads(message.content) for message in dialog.messages if message.role == "tool"]
    assert results == [{"name": "blue kettle", "phone": "5550142"}, {"ref": "QX7LM2A"}, {"type": "red van"}]
    assert [m.tool_call_id for m in dialog.messages if m.role == "tool"] == ["call_0", "call_1", "call_2"]


def test_tools_come_from_the_schema_and_calls_fit_them(shop: Shop) -> None:
    tools = [tool["function"] for tool in first(shop).tools if isinstance(tool, dict)]
    assert [tool["name"] for tool in tools] == ["find_restaurant", "book_restaurant", "book_taxi"]
    assert tools[0]["parameters"]["properties"]["area"]["enum"] == ["centre", "north"]
    assert_calls_fit(first(shop))
    problems = [found.place for found in MultiwozSource(name="multiwoz", path=SAMPLE).rows(shop) if found.problem]
    assert problems == [f"{SAMPLE}/train/dialogues_001.json:2"]


def test_plain_dialogs(shop: Shop) -> None:
    dialog = first(shop, calls=False)
    assert dialog.tools == () and {message.role for message in dialog.messages} == {"user", "assistant"}
    assert len(dialog.messages) == 8


def test_intents_are_mapped_where_the_recipe_says_so(shop: Shop) -> None:
    assert first(shop, labels={"book_restaurant": "product_inquiry"}).intent == "product_inquiry"
    with pytest.raises(BadInput, match=r"multiwoz: 3 of 3 labels have no intent"):
        first(shop, others="refuse")
    with pytest.raises(BadInput, match=r"multiwoz has no label 'book_taxis' \(meant book_taxi or"):
        first(shop, labels={"book_taxis": None})


def test_a_folder_that_is_none(tmp_path: Path, shop: Shop) -> None:
    with pytest.raises(BadInput, match=r"no dialogues_\*.json; expected the folder MultiWOZ_2.2"):
        read_sources([MultiwozSource(name="multiwoz", path=tmp_path)], shop)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "dialogues_001.json").write_text("[]")
    for content, problem in (
        (None, "cannot be read"),
        ("{}", "not MultiWOZ 2.2's schema"),
        ('[{"service_name": "a", "slots": [], "intents": [{"name": "b", "required_slots": ["c"]}]}]', "slot 'c'"),
    ):
        if content:
            (tmp_path / "schema.json").write_text(content)
        with pytest.raises(BadInput, match=problem):
            read_sources([MultiwozSource(name="multiwoz", path=tmp_path)], shop)
