"""Changes of orders on the page: nothing happens before the customer's yes, and the card says what became of it."""

from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from serving.orders import OrderStore
from tests.serving.page.conftest import ChatPage, OpenPage

pytestmark = pytest.mark.services
ADDRESS = "北京市朝阳区建国路88号1203室"


def asked(chat: ChatPage, engine: Any, h: Any, text: str = f"订单123456改送到{ADDRESS}", to: str = ADDRESS) -> Locator:
    """The card after the agent was asked for a change of address."""
    engine.say(
        h.message(None, tool_calls=[h.call("update_delivery_address", {"order_id": "123456", "new_addr": to})]),
        h.message("好的，保持原样。"),
    )
    chat.ask(text)
    card = chat.page.locator(".confirmation")
    expect(card).to_be_visible()
    return card


def test_address_changes_by_the_button_and_once(
    open_page: OpenPage, engine: Any, h: Any, shop: OrderStore, orders: Any
) -> None:
    chat = open_page()
    card = asked(chat, engine, h)
    expect(card.get_by_role("heading")).to_have_text("请您确认 修改收货地址")
    expect(card.locator(".facts")).to_contain_text(ADDRESS)
    expect(card.locator(".pill")).to_contain_text("剩余")
    expect(chat.page.locator("#announcer")).to_contain_text("需要您确认：修改收货地址")
    assert shop.all() == orders
    card.get_by_role("button", name="确认").click()
    expect(card).to_contain_text("您已确认")
    expect(card.get_by_role("button")).to_have_count(0)
    expect(chat.last.locator(".text")).to_contain_text("已办好")
    expect(chat.last.locator(".tool")).to_contain_text("修改收货地址123456已完成")
    assert shop.all()["123456"].address == ADDRESS
    assert len(engine.requests) == 1  # the server words the outcome, not the model
    expect(chat.question).to_be_focused()


def test_english_speakers_confirm_in_english(open_page: OpenPage, engine: Any, h: Any, shop: OrderStore) -> None:
    chat = open_page()  # with a Chinese page
    card = asked(chat, engine, h, "Send order 123456 to 1 Harbour Road", "1 Harbour Road")
    card.get_by_role("button", name="确认").dblclick()
    expect(chat.last.locator(".text")).to_have_text("Done: order 123456 now goes to: 1 Harbour Road")
    assert shop.all()["123456"].address == "1 Harbour Road"
    expect(chat.page.locator(".question")).to_have_count(2)  # the second click said nothing


def test_no_leaves_the_order_as_it_is(open_page: OpenPage, engine: Any, h: Any, shop: OrderStore, orders: Any) -> None:
    chat = open_page()
    card = asked(chat, engine, h)
    code = chat.last.locator(".text").inner_text().split("确认 ")[1][:4]
    card.get_by_role("button", name="不改了").click()
    expect(card).to_contain_text("您已取消，没有改动")
    expect(chat.last.locator(".text")).to_have_text("好的，保持原样。")
    assert "没有等待这个确认的操作" in chat.ask(f"确认 {code}").locator(".text").inner_text()
    assert shop.all() == orders


def test_code_may_be_typed_instead(open_page: OpenPage, engine: Any, h: Any, shop: OrderStore) -> None:
    chat = open_page()
    card = asked(chat, engine, h)
    code = chat.last.locator(".text").inner_text().split("确认 ")[1][:4]
    chat.ask(f"确认 {code}")
    expect(card).to_contain_text("您已确认")
    assert shop.all()["123456"].address == ADDRESS


def test_talking_on_voids_the_question(open_page: OpenPage, engine: Any, h: Any, shop: OrderStore, orders: Any) -> None:
    chat = open_page()
    card = asked(chat, engine, h)
    chat.ask("等等，你们几点下班？")
    expect(card).to_contain_text("已作废，没有改动")
    assert shop.all() == orders


def test_confirmation_survives_a_lost_connection(open_page: OpenPage, engine: Any, h: Any, shop: OrderStore) -> None:
    chat = open_page()
    card = asked(chat, engine, h)
    chat.page.route("**/v1/chat/completions", lambda route: route.abort())
    card.get_by_role("button", name="确认").click()
    expect(chat.last.get_by_role("alert")).to_contain_text("连接不上服务器")
    expect(card.get_by_role("button", name="确认")).to_be_enabled()
    chat.page.unroute("**/v1/chat/completions")
    chat.button("重试").click()
    expect(card).to_contain_text("您已确认")
    assert shop.all()["123456"].address == ADDRESS


def test_question_expires_by_the_servers_clock(open_page: OpenPage, engine: Any, h: Any) -> None:
    chat = open_page()
    chat.page.clock.install()
    chat.page.reload()
    card = asked(chat, engine, h)
    chat.page.clock.run_for(590_000)
    expect(card.get_by_role("button", name="确认")).to_be_visible()
    chat.page.clock.run_for(15_000)
    expect(card).to_contain_text("已过期，没有改动")
    expect(card.get_by_role("button")).to_have_count(0)


def test_what_is_refused_is_no_confirmation(open_page: OpenPage, engine: Any, h: Any) -> None:
    chat = open_page()
    engine.say(h.message(None, tool_calls=[h.call("update_delivery_address", {"order_id": "1", "new_addr": ADDRESS})]))
    answer = chat.ask(f"订单1改送到{ADDRESS}")
    expect(answer.locator(".tool")).to_contain_text("未执行")
    expect(answer.locator(".confirmation")).to_have_count(0)
    answer.locator(".tool summary").click()
    expect(answer.locator(".tool .facts")).to_contain_text(ADDRESS)
