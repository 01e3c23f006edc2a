"""The eight tools in the demo shop: what each does, what it refuses, and that no two confirmations do the same."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import wording
from serving.database import Database
from serving.demo_shop import seed_demo_shop
from serving.orders import ShopTables
from serving.proposals import Confirmation, Party, Proposals
from serving.toolset import Toolset

NOW = 1_000_000.0
# what each tool does in the demo shop: its arguments, then how it ends
ENDS: list[tuple[str, dict[str, str], str]] = [
    ("track_delivery", {"order_id": "700418"}, "ok"),
    ("track_delivery", {"order_id": "72450"}, "ok"),
    ("track_delivery", {"order_id": "88213"}, "not_shipped"),
    ("track_delivery", {"order_id": "640218"}, "already_cancelled"),
    ("track_delivery", {"order_id": "118264"}, "no_such_order"),
    ("query_refund_status", {"order_id": "640218"}, "ok"),
    ("query_refund_status", {"order_id": "66034"}, "ok"),
    ("query_refund_status", {"order_id": "88213"}, "no_refund"),
    ("query_refund_status", {"order_id": "2200183947"}, "no_such_order"),
    ("create_return", {"order_id": "31870", "reason": "too small"}, "done"),
    ("create_return", {"order_id": "31870", "reason": " "}, "bad_reason"),
    ("create_return", {"order_id": "72450", "reason": "too small"}, "too_late_to_return"),
    ("create_return", {"order_id": "91806", "reason": "wrong colour"}, "already_returned"),
    ("create_return", {"order_id": "700418", "reason": "late"}, "not_delivered"),
    ("create_return", {"order_id": "5093", "reason": "noisy"}, "no_such_order"),
    ("cancel_order", {"order_id": "640218"}, "already_cancelled"),
    ("cancel_order", {"order_id": "700418"}, "too_late_to_cancel"),
    ("cancel_order", {"order_id": "46823"}, "no_such_order"),
    ("request_invoice", {"order_id": "88213", "title": "Hill Ltd"}, "done"),
    ("request_invoice", {"order_id": "20240771", "title": "Hill Ltd"}, "already_invoiced"),
    ("request_invoice", {"order_id": "640218", "title": "Hill Ltd"}, "already_cancelled"),
    ("request_invoice", {"order_id": "88213", "title": "x" * 101}, "bad_title"),
    ("request_invoice", {"order_id": "90517", "title": "Hill Ltd"}, "no_such_order"),
    ("transfer_to_human", {"summary": "The lamp flickers."}, "done"),
    ("transfer_to_human", {"summary": ""}, "bad_summary"),
    ("update_delivery_address", {"order_id": "88213", "new_addr": "1 Hill Road"}, "done"),
    ("update_delivery_address", {"order_id": "31870", "new_addr": "1 Hill Road"}, "too_late"),
    ("cancel_order", {"order_id": "88213"}, "done"),
]


@pytest.fixture
def demo(tmp_path: Path, shop: Any) -> Iterator[Toolset]:
    """All eight tools over the whole demo shop."""
    url = f"sqlite:///{tmp_path}/shop.db"
    seed_demo_shop(url, NOW)
    database = Database.open(url, ShopTables)
    yield Toolset(database, Proposals(lambda: NOW))
    database.close()


def test_every_tool_in_the_demo_shop(demo: Toolset) -> None:
    for number, (name, arguments, end) in enumerate(ENDS):
        for language in ("en", "zh"):
            party = Party("demo", f"{number}-{language}", language)
            result = demo.call(name, arguments, party)
            if result.status == "ok":
                assert end == "ok" and json.loads(result.text)["order_id"] == arguments["order_id"]
                continue
            if result.status == "refused":
                assert result.reason == end, (name, arguments)
                assert wording.reason(end, language) != wording.reason("failed", language)
                continue
            assert result.proposal is not None and end == "done", (name, arguments, result)
            asked = demo.asks(result.proposal, language)
            assert all(value in asked for value in arguments.values())
            if language == "zh":  # asked in both languages, done once
                proposal, outcome = demo.confirm(Confirmation(id=result.proposal.id), party)
                assert outcome == "done" and proposal is not None
                said = demo.done(proposal, language)
                assert all(value in said for value in arguments.values() if value != "too small")
                assert demo.done_for(party) == [(name, proposal.arguments)]
                again, outcome = demo.confirm(Confirmation(id=proposal.id), party)
                assert outcome == "done" and again == proposal  # the facts, too


def test_amounts_and_days_come_from_the_shop(demo: Toolset) -> None:
    party = Party("demo", None, "en")
    cancelled = demo.call("cancel_order", {"order_id": "123456"}, party).proposal
    assert cancelled is not None
    assert demo.asks(cancelled, "en") == "cancel order 123456; ¥159.00 goes back the way you paid"
    assert demo.confirm(Confirmation(id=cancelled.id), party)[1] == "done"
    refund = json.loads(demo.call("query_refund_status", {"order_id": "123456"}, party).text)["refunds"]
    assert refund == [
        {
            "amount": "¥159.00",
            "cause": "cancelled",
            "state": "requested",
            "method": "alipay",
            "expected_on": "1970-01-19",
        }
    ]
    tracked = json.loads(demo.call("track_delivery", {"order_id": "700418"}, Party("demo", None, "zh")).text)
    assert tracked["events"][0].endswith("已到达北京分拨中心") and len(tracked["events"]) == 3


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("cancel_order", {"order_id": "123456"}, "already_cancelled"),
        ("create_return", {"order_id": "31870", "reason": "small"}, "already_returned"),
        ("request_invoice", {"order_id": "55821", "title": "Hill Ltd"}, "already_invoiced"),
        ("transfer_to_human", {"summary": "help"}, "already_waiting"),
    ],
)
def test_two_conversations_that_confirm_the_same_write_do_it_once(
    demo: Toolset, name: str, arguments: dict[str, str], reason: str
) -> None:
    parties = [Party("demo", conversation, "en") for conversation in ("a", "b")]
    proposals = [demo.call(name, arguments, party).proposal for party in parties]
    confirmed = [
        demo.confirm(Confirmation(id=proposal.id), party)[1]
        for proposal, party in zip(proposals, parties, strict=True)
        if proposal
    ]
    assert confirmed == ["done", reason]


def test_the_demo_shop_is_set_up_once(demo: Toolset, tmp_path: Path) -> None:
    party = Party("demo", None, "en")
    proposal = demo.call("cancel_order", {"order_id": "123456"}, party).proposal
    assert proposal is not None and demo.confirm(Confirmation(id=proposal.id), party)[1] == "done"
    seed_demo_shop(f"sqlite:///{tmp_path}/shop.db", NOW)
    assert demo.call("cancel_order", {"order_id": "123456"}, party).reason == "already_cancelled"


def test_every_reason_that_a_tool_gives_has_words() -> None:
    modules = [path for path in (Path(__file__).resolve().parents[2] / "serving").rglob("*.py")]
    given = {reason for path in modules for reason in re.findall(r'Refused\("(\w+)"\)', path.read_text("utf-8"))}
    assert len(given) > 15 and given <= wording.REASONS.keys()
