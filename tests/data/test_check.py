"""The check of data: every kind of problem is found at its place, and honest rows are left in peace."""

from pathlib import Path
from typing import Any

import pytest

from data.check import Finding, check
from data.rows import Found
from data.schema import Dialog, Message, Utterance
from data.shop import Shop
from data.sources import Example, ShopSource


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


def utterance(text: str, intent: str = "order_status", language: str = "en") -> Utterance:
    return Utterance.model_validate({"text": text, "intent": intent, "language": language})


def dialog(*messages: dict[str, Any], tools: tuple[Any, ...] = ("query_order_status",), **fields: Any) -> Dialog:
    body = {"id": "d", "messages": messages, "tools": tools, "language": "en", "source": "test", **fields}
    return Dialog.model_validate(body)


def calling(name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    call = {"function": {"name": name, "arguments": arguments}}
    return {"role": "user", "content": "Has the lamp left?"}, {"role": "assistant", "tool_calls": [call]}


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
    assert any(finding.kind == kind and what in finding.what for finding in findings)


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
