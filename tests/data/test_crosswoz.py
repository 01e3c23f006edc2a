"""CrossWOZ: the desk's queries become calls, whose results hold what the answer then says."""

import json
import zipfile
from pathlib import Path

import pytest

from data.crosswoz import CrosswozSource
from data.errors import BadInput
from data.schema import Dialog
from data.shop import Shop
from tests.data.declared import assert_calls_fit
from tests.data.reading import read_sources

SAMPLE = Path(__file__).parent / "samples" / "crosswoz.json"


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


def first(shop: Shop, path: Path = SAMPLE, calls: bool = True) -> Dialog:
    found = next(iter(CrosswozSource(name="crosswoz", path=path, calls=calls).rows(shop)))
    assert found.row is not None, found.problem
    return found.row


def test_queries_become_calls(shop: Shop) -> None:
    dialog = first(shop)
    assert (dialog.id, dialog.language, len(dialog.tools)) == ("crosswoz-7001", "zh", 5)
    calls = [(c.function.name, c.function.arguments) for m in dialog.messages for c in m.tool_calls]
    assert calls == [
        ("search_attraction", {"评分": "4.5分以上"}),
        ("search_restaurant", {"推荐菜": "锅贴 糖饼", "周边景点": "听雨园"}),
        ("call_taxi", {"出发地": "听雨园", "目的地": "东站"}),
    ]
    results = [json.loads(message.content) for message in dialog.messages if message.role == "tool"]
    assert results == [{"名称": ["听雨园", "石桥公园"]}, {"结果": []}, {"车型": "#CX", "车牌": "#CP"}]
    assert dialog.messages[-1].content == "不客气。"
    assert_calls_fit(dialog)


def test_plain_dialogs_and_what_is_wrong(shop: Shop) -> None:
    assert [message.role for message in first(shop, calls=False).messages] == ["user", "assistant"] * 4
    rows = CrosswozSource(name="crosswoz", path=SAMPLE).rows(shop)
    assert [(found.place, found.problem) for found in rows if found.problem] == [
        (f"{SAMPLE}:7002", "no turn of an agent after one of a customer")
    ]


def test_archives_as_they_are_published(tmp_path: Path, shop: Shop) -> None:
    path = tmp_path / "train.json.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(SAMPLE, "train.json")
    assert first(shop, path) == first(shop)


def test_files_that_are_none(tmp_path: Path, shop: Shop) -> None:
    for content, problem in (("{}", "is empty"), ("[]", "not a JSON object"), ('{"1": {"messages', "not JSON")):
        path = tmp_path / "x.json"
        path.write_text(content)
        with pytest.raises(BadInput, match=problem):
            read_sources([CrosswozSource(name="crosswoz", path=path)], shop)
