"""Sources: every form becomes the one schema, whole, or each bad row is named with its line."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pyarrow
import pytest
import yaml
from pyarrow import parquet
from pydantic import TypeAdapter

from data import sources
from data.conversations import from_sharegpt
from data.errors import BadInput
from data.label_map import ReadyMap
from data.rows import all_good
from data.schema import Dialog, Function, ToolCall
from data.shop import Shop
from data.sources import (
    DatasetSource,
    JsonlSource,
    OpenAISource,
    ShareGPTSource,
    ShopSource,
    Source,
    TableSource,
    guessed,
    guessed_document,
)
from tests.data.reading import Examples, read_sources

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": '{"order_id": "7"}'}}
OPENAI = {
    "messages": [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Where is "}, {"type": "text", "text": "7?"}]},
        {"role": "assistant", "content": "Hm.", "weight": 0},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "packed", "tool_call_id": "a"},
        {"role": "assistant", "content": "It is packed."},
    ],
    "tools": [TOOL],
}
SHAREGPT = {
    "system": "Be kind.",
    "conversations": [
        {"from": "human", "value": "查一下7"},
        {"from": "function_call", "value": '{"name": "look_up", "arguments": {"order_id": "7"}}'},
        {"from": "observation", "value": "packed"},
        {"from": "gpt", "value": "已打包。"},
    ],
    "tools": json.dumps([TOOL["function"]]),
}
SAMPLES = Path(__file__).parent / "samples"
LOOKED_UP = Function(name="look_up", arguments={"order_id": "7"})


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


def read(source: Source, shop: Shop) -> Examples:
    return read_sources([source], shop)


def lines(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_openai_s_form_in_all_its_ways(tmp_path: Path, shop: Shop) -> None:
    older = {"name": "look_up", "arguments": '{"order_id": "7"}'}
    legacy = [
        {"role": "user", "content": "7?"},
        {"role": "assistant", "function_call": older},
        {"role": "function", "name": "look_up", "content": "packed"},
        {"role": "assistant", "content": "Packed.", "reasoning_content": "It says packed."},
    ]
    path = lines(tmp_path / "chat.jsonl", OPENAI, {"messages": legacy, "functions": [TOOL["function"]]})
    first, second = read(OpenAISource(name="openai", path=path), shop).dialogs

    assert (first.id, second.id, first.language, first.source) == ("chat-1", "chat-2", "en", "chat")
    assert [message.role for message in first.messages][:2] == ["system", "user"]
    assert first.messages[1].content == "Where is 7?"
    assert [message.trained for message in first.messages if message.role == "assistant"] == [False, True, True]
    assert first.messages[4].tool_calls == (ToolCall(id="a", function=LOOKED_UP),)
    assert first.tools == second.tools == (TOOL,)
    assert second.messages[1].tool_calls[0].function == LOOKED_UP
    assert (first.thinking, second.thinking) == (False, True)


def test_sharegpt_s_form(tmp_path: Path, shop: Shop) -> None:
    plain = {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}], "tools": [TOOL]}
    path = lines(tmp_path / "share.jsonl", SHAREGPT, plain)
    first, second = read(ShareGPTSource(name="sharegpt", path=path), shop).dialogs

    assert [message.role for message in first.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert first.messages[2].tool_calls[0].function == LOOKED_UP
    assert (first.language, second.language) == ("zh", "en")
    assert first.tools == second.tools == (TOOL,)


def test_bad_dialogs_are_all_named(tmp_path: Path, shop: Shop) -> None:
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    broken = {"id": "a", "function": {"name": "look_up", "arguments": "{"}}
    path = lines(
        tmp_path / "bad.jsonl",
        {"messages": said},
        {"messages": said[:1]},
        {"messages": [said[0], {"role": "assistant", "tool_calls": [broken]}]},
        {"messages": [said[0], {"role": "assistant", "tool_calls": [{"id": "a", "function": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, said[1]]},
        {"messages": "hi"},
        "[1]",
        "{",
    )
    with pytest.raises(BadInput) as caught:
        read(OpenAISource(name="openai", path=path), shop)
    found = str(caught.value).split("\n")
    assert [line.split(":")[1] for line in found] == ["2", "3", "4", "5", "6", "7", "8"]
    for line, problem in zip(
        found,
        ("at least 2", "not JSON", "without a name", "image_url", "list of turns", "a JSON object", "Expecting"),
        strict=True,
    ):
        assert problem in line
    with pytest.raises(BadInput, match=r"turn 0: from 'bot'; expected one of human"):
        read(
            ShareGPTSource(name="sharegpt", path=lines(path, {"conversations": [{"from": "bot", "value": "x"}]})), shop
        )
    with pytest.raises(ValueError, match="tools: not JSON"):
        from_sharegpt(SHAREGPT | {"tools": "["}, "x", "x")


def test_jsonl_holds_our_own_dialogs_or_utterances(tmp_path: Path, shop: Shop) -> None:
    assert read(JsonlSource(name="jsonl", path=shop.train / "dialogs.en.jsonl"), shop).dialogs
    assert read(JsonlSource(name="jsonl", path=shop.train / "utterances.zh.jsonl"), shop).utterances
    with pytest.raises(BadInput, match="not a JSON object"):
        read(JsonlSource(name="jsonl", path=lines(tmp_path / "bad.jsonl", "[1]")), shop)
    with pytest.raises(BadInput, match="no such file"):
        read(JsonlSource(name="jsonl", path=tmp_path / "no.jsonl"), shop)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables(tmp_path: Path, shop: Shop, suffix: str) -> None:
    table = {"query": ["Where is it, now?", "在哪", 'the "box"'], "category": ["where", "where", "other"]}
    path = tmp_path / f"bank{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.table(table), path)
    else:
        mark = "," if suffix == ".csv" else "\t"
        rows = [f'"Where is it, now?"{mark}where', f"在哪{mark}where", f'"the ""box"""{mark}other']
        path.write_text("\n".join([f"query{mark}category", *rows]), encoding="utf-8-sig")
    source = TableSource(name="table", path=path, text="query", label="category", labels={"where": "order_status"})
    found = read(source, shop).utterances

    assert [row.text for row in found] == table["query"]
    assert [row.intent for row in found] == ["order_status", "order_status", "other"]
    assert [row.language for row in found] == ["en", "zh", "en"]
    assert {row.source for row in found} == {"bank"}


def test_bad_tables(tmp_path: Path, shop: Shop) -> None:
    def written(name: str, content: str | bytes) -> None:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        read(TableSource(name="table", path=path), shop)

    for name, content, problem in (
        ("a.csv", "text,label\nhi,x\n,x\nho,\n", r"a.csv:3: text: .*\n.*a.csv:4: intent: "),
        ("b.csv", "query,label\nhi,x\n", r"no column text; it has query, label: set text and label"),
        ("c.csv", "text,label\n", "c.csv: is empty"),
        ("d.csv", 'text,label\n"hi,x\n', r"d.csv:\d+: not a table"),
        ("e.csv", b"text,label\n\xff\xfe,x\n", "not UTF-8"),
        ("f.parquet", "text,label\n", "not a Parquet file"),
    ):
        with pytest.raises(BadInput, match=problem):
            written(name, content)
    with pytest.raises(BadInput, match="no such file"):
        read(TableSource(name="table", path=tmp_path / "no.csv"), shop)


def test_data_sets_come_through_the_library(tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features({"text": datasets.Value("string"), "intent": datasets.ClassLabel(names=["a", "b"])})
    rows = datasets.Dataset.from_dict({"text": ["hi", "ho"], "intent": [1, 0]}, features=features)
    rows.to_parquet(tmp_path / "set" / "train-00000-of-00001.parquet")
    source = DatasetSource(name="dataset", dataset=str(tmp_path / "set"), label="intent", labels={"b": "greeting"})

    assert [row.intent for row in read(source, shop).utterances] == ["greeting", "a"]
    with pytest.raises(BadInput, match="no column label; it has text, intent"):
        read(DatasetSource(name="dataset", dataset=str(tmp_path / "set")), shop)
    with pytest.raises(BadInput, match=r"data set .*nowhere"):
        read(DatasetSource(name="dataset", dataset=str(tmp_path / "nowhere")), shop)


def test_a_file_says_what_it_is(tmp_path: Path, shop: Shop) -> None:
    assert guessed(tmp_path / "a.parquet") == TableSource(name="table", path=tmp_path / "a.parquet")
    for row, source in ((OPENAI, OpenAISource), (SHAREGPT, ShareGPTSource), ({"text": "hi"}, JsonlSource)):
        assert isinstance(guessed(lines(tmp_path / "x.jsonl", row)), source)
    assert isinstance(guessed(shop.train / "dialogs.en.jsonl"), JsonlSource)


def test_a_known_data_set_is_known_by_its_look(tmp_path: Path) -> None:
    for name, source in (
        ("bitext.csv", "bitext"),
        ("banking77.csv", "table"),
        ("abcd.json", "abcd"),
        ("crosswoz.json", "crosswoz"),
        ("clinc_oos.json", "clinc_oos"),
    ):
        assert guessed(SAMPLES / name).name == source
    table = guessed(SAMPLES / "banking77.csv")
    assert isinstance(table, TableSource) and (table.text, table.label) == ("text", "category")
    for content in ("", "{", '{"messages": []}', "[1]"):
        path = tmp_path / "x.json"
        path.write_text(content)
        assert guessed_document(path) is None


def test_sources_add_up(tmp_path: Path, shop: Shop) -> None:
    path = lines(tmp_path / "chat.jsonl", OPENAI)
    alone = read(ShopSource(name="shop"), shop)
    both = read_sources([ShopSource(name="shop"), OpenAISource(name="openai", path=path)], shop)
    assert (len(both.utterances), len(both.dialogs)) == (len(alone.utterances), len(alone.dialogs) + 1)


def test_dialogs_about_tools_that_are_not_served_are_left_out(shop: Shop) -> None:
    served = ("query_order_status", "update_delivery_address")
    every, kept = (
        {row.id: row for row in all_good(source.rows(shop)) if isinstance(row, Dialog)}
        for source in (ShopSource(name="shop"), ShopSource(name="shop", tools=served))
    )
    foreign = {id for id, row in every.items() if {t for t in row.tools if isinstance(t, str)} - set(served)}
    assert foreign and set(kept) == every.keys() - foreign
    assert any(isinstance(tool, dict) for row in kept.values() for tool in row.tools)


def test_the_page_about_sources_names_each_of_them_as_a_recipe_would() -> None:
    page = (Path(sources.__file__).parent / "SOURCES.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shown = TypeAdapter(list[Source]).validate_python(yaml.safe_load(block)["sources"])
    known = {kind.model_fields["name"].annotation for kind in get_args(get_args(Source)[0])}
    assert {get_args(name)[0] for name in known} == {source.name for source in shown}
    for name, mapped in re.findall(r"^\| `(\w+)`.*\| (\d+) of \d+", page, re.MULTILINE):
        assert int(mapped) == sum(intent is not None for intent in ReadyMap.of(name).intents.values()), name
