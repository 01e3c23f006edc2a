"""The check of data: every kind of problem is found at its place, and honest rows are left in peace."""

from pathlib import Path
from typing import Any

import pytest

from data.chat import Row
from data.check import Finding, check
from data.lengths import Lengths
from data.rows import Found
from data.schema import Dialog, Message, Utterance
from data.shop import Shop
from data.sources import Example, ShopSource

LONG = {
    "role": "user",
    "content": "I would like to know whether the lamp has left the depot, it is a gift for my sister",
}
ASKED = {"role": "user", "content": "Has the lamp left?"}
LOOP = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
REGEX = {"properties": {"a": {"pattern": "("}}}


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


def utterance(text: str, intent: str = "order_status", language: str = "en") -> Utterance:
    return Utterance.model_validate({"text": text, "intent": intent, "language": language})


def dialog(*messages: dict[str, Any], tools: tuple[Any, ...] = ("query_order_status",), **fields: Any) -> Dialog:
    body = {"id": "d", "messages": messages, "tools": tools, "language": "en", "source": "test", **fields}
    return Dialog.model_validate(body)


def calling(name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    call = {"id": "a", "function": {"name": name, "arguments": arguments}}
    return {"role": "user", "content": "Has the lamp left?"}, {"role": "assistant", "tool_calls": [call]}


def answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def tool(name: str, parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters or {"type": "object"}}}


def found(shop: Shop, *rows: Example) -> list[Finding]:
    return check([Found(f"f:{number}", row) for number, row in enumerate(rows, 1)], shop).findings


def test_the_default_data_is_clean(shop: Shop) -> None:
    checked = check(ShopSource(name="shop").rows(shop), shop)
    assert checked.findings == []
    assert checked.rows == len(checked.utterances) + len(checked.dialogs) > 8000
    assert checked.duplicates == 0


@pytest.mark.parametrize(
    ("row", "kind", "what"),
    [
        (utterance("Any news?", "order_statsu"), "unknown label", "meant order_status?"),
        (utterance("Any news?", "zzz"), "unknown label", "'zzz' is not in intents.yaml"),
        (dialog(*calling("query_order_status", {"order_id": "7"}), intent="zzz"), "unknown label", "'zzz'"),
        (utterance("donâ€™t you know"), "encoding", "donâ€™t"),
        (utterance("caf\N{REPLACEMENT CHARACTER} order"), "encoding", "caf"),
        (utterance("Where is my order", language="zh"), "language", "declared Chinese, reads as English"),
        (utterance("我的订单在哪"), "language", "declared English, reads as Chinese"),
        (dialog(*calling("query_order_status", {"order": "7"})), "tool call", "'order_id' is a required property"),
        (dialog(*calling("query_order_status", {"order_id": 7})), "tool call", "7 is not of type 'string'"),
        (dialog(*calling("cancel", {})), "tool call", "calls 'cancel'; on offer: query_order_status"),
        (dialog(*calling("cancel", {}), tools=()), "tool call", "on offer: none"),
        (utterance("?? ...\u200b"), "empty", "nothing but punctuation or invisible"),
        (utterance("cafÃ© order"), "encoding", 'was it "café order"?'),
        (utterance("Wo bleibt meine Bestellung?"), "language", "declared English, reads as German"),
        (utterance("Any news?", "Order Status"), "unknown label", "meant order_status?"),
        (utterance("Any news?", "查询订单状态"), "unknown label", "meant order_status?"),
        (utterance("Any news?", "3"), "unknown label", "is a number"),
        (dialog(ASKED, answer("Your parcel left Leeds today, and")), "truncated", "turn 1, an answer: ends in 'and'"),
        (dialog(ASKED, answer("It left today (from")), "truncated", "'(' is not closed"),
        (dialog(ASKED, answer("It left today:")), "truncated", "ends in ':'"),
        (
            dialog(ASKED, answer("It left the depot in Leeds today. The courier brings it tomorrow morn")),
            "truncated",
            "has no end",
        ),
        (dialog(ASKED, answer("Yes."), answer("It has.")), "turn order", "turn 2: the assistant twice in a row"),
        (dialog(answer("Hello!"), answer("Bye.")), "turn order", "no turn of the customer"),
        (dialog(ASKED, answer("...")), "empty", "turn 1 (assistant)"),
        (
            dialog(LONG, answer("Ja, Ihre Bestellung wurde verschickt.")),
            "language",
            "the answers read as German",
        ),
        (dialog(*calling("look", {}), tools=(tool("look"), tool("look"))), "tool call", "'look' is offered twice"),
        (dialog(*calling("look", {}), tools=({"function": "look"},)), "tool call", "a tool without function.name"),
        (
            dialog(*calling("look", {}), tools=(tool("look", {"$ref": "http://localhost/x"}),)),
            "tool call",
            "which is not in it",
        ),
        (dialog(*calling("look", {"a": 1}), tools=(tool("look", LOOP),)), "tool call", "refers to itself without end"),
        (dialog(*calling("look", {"a": "x"}), tools=(tool("look", REGEX),)), "tool call", "its own schema is wrong"),
        (
            dialog(
                *calling("look", {}),
                {"role": "tool", "content": "x", "tool_call_id": "b"},
                answer("Yes."),
                tools=(tool("look"),),
            ),
            "tool call",
            "turn 2 is a result of 'b'; the calls before it are a",
        ),
        (
            dialog({"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}, tools=("x",)),
            "tool call",
            "'x'",
        ),
    ],
)
def test_each_kind_is_found(shop: Shop, row: Example, kind: str, what: str) -> None:
    findings = found(shop, utterance("The lamp hums, could it be sent back to you?", "return_item"), row)
    assert {finding.place for finding in findings} == {"f:2"}
    assert any(finding.kind == kind and what in finding.what for finding in findings), findings


def test_a_broken_tool_schema_is_a_finding(shop: Shop) -> None:
    tool = {"type": "function", "function": {"name": "x", "parameters": {"type": "thing"}}}
    (finding,) = found(shop, dialog(*calling("x", {}), tools=(tool,)))
    assert finding.kind == "tool call" and "'thing'" in finding.what


def test_rows_are_looked_at_together(shop: Shop) -> None:
    case = shop.intent_cases()[0]
    asked = Message(role="user", content=case.text)
    rows = [
        utterance("The box was empty!"),
        utterance("the box was EMPTY", "complaint"),
        utterance("The box was empty."),
        Utterance(text=case.text, intent=case.intent, language=case.language),
        Dialog(id="d", messages=(asked, Message(role="assistant", content="ok")), language=case.language, source="x"),
    ]
    checked = check([Found(f"f:{number}", row) for number, row in enumerate(rows, 1)], shop)
    assert [(finding.kind, finding.place) for finding in checked.findings] == [
        ("contradiction", "f:2"),
        ("leak", "f:4"),
    ]
    assert "order_status at f:1" in checked.findings[0].what
    assert checked.duplicates == 1


def test_a_whole_dialog_that_repeats_a_tool_case_is_a_leak(shop: Shop) -> None:
    case = next(case for case in shop.tool_cases() if len(case.messages) > 2)
    messages = (*case.messages, Message(role="assistant", content="One moment."))
    repeated = Dialog(id="d", messages=messages, language=case.language, source="x")
    (finding,) = [finding for finding in found(shop, repeated) if "tool case" in finding.what]
    assert (finding.kind, finding.place) == ("leak", "f:1")


def test_malformed_rows_do_not_stop_it(shop: Shop, tmp_path: Path) -> None:
    checked = check([Found("f:1", None, "broken"), Found("f:2", utterance("Any news?"))], shop)
    assert checked.findings == [Finding("malformed", "f:1", "broken")]
    assert (checked.rows, checked.counts["malformed"]) == (2, 1)


def test_the_same_finding_is_told_once_with_all_its_places(shop: Shop) -> None:
    rows = [utterance(f"Any news of box {number}?", "order_statsu") for number in range(40)]
    checked = check([Found(f"f:{number}", row) for number, row in enumerate(rows, 1)], shop)
    (finding,) = checked.findings
    assert finding.places == tuple(f"f:{number}" for number in range(1, 41))
    assert checked.counts["unknown label"] == 40


def test_a_column_that_was_too_narrow_is_found(shop: Shop) -> None:
    said = "the parcel that I ordered for my sister has not come and nobody can tell me where it is"
    words = said.split()
    texts = [" ".join(words[start:] + words[:start]) for start in range(9)]
    (finding,) = found(shop, *(utterance(text[:64]) for text in texts))
    assert finding.kind == "truncated"
    assert "exactly 64 characters" in finding.what and len(finding.places) >= 5
    assert found(shop, *(utterance(text[:64].strip() + "." * number) for number, text in enumerate(texts))) == []


def test_lengths_are_those_of_trained_rows(shop: Shop) -> None:
    def count(row: Row) -> tuple[int, int]:
        return len(row.messages), len(row.completion.split())

    lengths = Lengths(count, max_length=12, answer_tokens=8)
    rows = [
        dialog(ASKED, answer("Yes, it has.")),
        dialog(ASKED, answer("Yes. " * 9)),
        dialog(ASKED, answer("Yes. " * 11)),
    ]
    checked = check([Found(f"f:{number}", row) for number, row in enumerate(rows, 1)], shop, lengths)
    assert [(finding.kind, finding.place, finding.what) for finding in checked.findings] == [
        ("length", "f:2", "turn 1: an answer of 9 tokens; served ones have 8 (serve.answer_tokens)"),
        (
            "length",
            "f:3",
            "turn 1: 13 tokens, 2 of them the prompt; training leaves out more than 12 (train.max_length)",
        ),
        ("length", "f:3", "turn 1: an answer of 11 tokens; served ones have 8 (serve.answer_tokens)"),
    ]
    assert lengths.summary() == {"rows": 3, "median": 11, "p95": 12.8, "longest": 13, "limit": 12}
