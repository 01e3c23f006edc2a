"""Using the page: by keyboard alone, in two languages, with credentials, on a phone, with axe-core's rules; and safely."""

import dataclasses
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from serving.gateway import create_app
from serving.identity import mint
from serving.settings import GatewaySettings
from tests.serving.npm import packages
from tests.serving.page.conftest import ChatPage, OpenPage, behind_a_socket

pytestmark = pytest.mark.services
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_keyboard_alone_does(open_page: OpenPage, engine: Any, h: Any, shop: Any) -> None:
    chat = open_page(locale="en-GB")
    keys = chat.page.keyboard
    engine.say(h.message(None, tool_calls=[h.call("update_delivery_address", {"order_id": "123456", "new_addr": "B"})]))
    keys.type("Send order 123456")
    keys.press("Shift+Enter")
    keys.type("to B")
    expect(chat.question).to_have_value("Send order 123456\nto B")
    keys.press("Enter")
    expect(chat.last.locator(".confirmation")).to_be_visible()
    expect(chat.question).to_be_focused()
    for _ in range(8):  # back from the question over thumbs and copy to the card's buttons
        keys.press("Shift+Tab")
        if focused(chat.page) == "Confirm":
            break
    keys.press("Enter")
    expect(chat.last.locator(".text")).to_contain_text("Done: order 123456")
    expect(chat.question).to_be_focused()


def test_first_tab_skips_to_the_question(open_page: OpenPage) -> None:
    chat = open_page("/?embed=1", locale="en-GB")
    chat.page.keyboard.press("Tab")
    assert focused(chat.page) == "Skip to the question box"
    chat.page.keyboard.press("Enter")
    expect(chat.question).to_be_focused()


def test_enter_of_an_input_method_sends_nothing(open_page: OpenPage, engine: Any) -> None:
    chat = open_page()
    chat.question.fill("nihao")
    chat.question.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    chat.question.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    expect(chat.answers).to_have_count(0)
    expect(chat.question).to_have_value("nihao")


def test_language_follows_the_browser_and_the_reader(open_page: OpenPage, engine: Any) -> None:
    chat = open_page(locale="fr-FR")
    expect(chat.page.get_by_role("heading", level=2)).to_have_text("Hello, how can we help?")
    answer = chat.ask("How do I return an item?")
    expect(answer.locator(".badge")).to_contain_text("FAQ")
    chat.button("切换到中文").click()
    assert chat.page.locator("html").get_attribute("lang") == "zh-CN"
    expect(answer.locator(".badge")).to_contain_text("常见问题")
    expect(answer.get_by_role("button", name="复制回答")).to_be_visible()
    chat.page.goto(chat.url)
    expect(chat.page).to_have_title("在线客服")
    chat.page.goto(f"{chat.url}/?lang=en&theme=dark")
    expect(chat.page).to_have_title("Customer service")
    expect(chat.page.locator("html")).to_have_attribute("data-theme", "dark")


def test_both_languages_say_the_same_things(open_page: OpenPage) -> None:
    page = open_page().page
    texts = page.evaluate("async () => (await import('/page/texts.js')).texts")
    assert texts["zh"].keys() == texts["en"].keys()
    assert all(text.strip() for language in texts.values() for text in language.values())
    for key, text in texts["zh"].items():
        assert holes(text) == holes(texts["en"][key]), key
    marks = ("data-t", "data-t-label", "data-t-title", "data-t-placeholder")
    used = {mark.get_attribute(name) for name in marks for mark in page.locator(f"[{name}]").all()}
    assert used <= texts["zh"].keys()


def test_what_a_model_writes_stays_text(open_page: OpenPage, engine: Any) -> None:
    chat = open_page()
    hostile = (
        "<img src=x onerror=alert(1)> [点我](javascript:alert(1)) <script>alert(1)</script> ![](https://a.example)"
    )
    engine.answer(hostile)
    answer = chat.ask(f"请重复：{hostile}")
    expect(answer.locator(".text")).to_have_text(hostile)
    assert chat.page.locator("#thread :is(a, img, script, iframe)").count() == 0
    refused = chat.page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return false } catch (error) { return error.name } }"
    )
    assert refused == "TypeError"
    assert "TrustedHTML" in chat.complaints.pop()  # by the policy


def test_credentials_last_as_long_as_the_tab(
    open_page: OpenPage, settings: GatewaySettings, engine: Any, shop: Any, h: Any
) -> None:
    settings = dataclasses.replace(settings, demo=False, api_keys=("secret-key",))
    engine.say(
        h.message(None, tool_calls=[h.call("query_order_status", {"order_id": "123456"})]), h.message("已打包。")
    )
    with behind_a_socket(create_app(settings, transport=httpx.MockTransport(engine))) as url:
        chat = open_page(url=url)
        expect(chat.page.locator("#version-state")).to_have_text("需要 API 密钥")
        alert = chat.ask("订单123456到哪了").get_by_role("alert")
        expect(alert).to_contain_text("没有通过身份验证")
        alert.get_by_role("button", name="设置").click()
        chat.page.get_by_label("API 密钥（选填）").fill("secret-key")
        chat.page.get_by_label("顾客令牌（选填）").fill(mint("demo", h.keys, 600))
        chat.button("保存").click()
        expect(chat.page.locator("#version")).to_have_attribute("data-state", "ready")
        expect(chat.ask("订单123456到哪了").locator(".text")).to_have_text("已打包。")
        stored = chat.page.evaluate("() => [JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage})]")
        assert "secret-key" not in stored[0] and "secret-key" in stored[1]


def test_phone_has_a_drawer(open_page: OpenPage) -> None:
    chat = open_page(**PHONE)
    chat.ask("在吗，我想问问")
    drawer = chat.page.get_by_role("complementary", name="对话列表")
    expect(drawer).to_have_count(0)  # neither seen nor in reach of the keyboard
    chat.button("对话列表").tap()
    expect(drawer).to_be_visible()
    expect(chat.button("新对话")).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(chat.button("对话列表")).to_be_focused()
    width = chat.page.evaluate("() => document.documentElement.scrollWidth")
    assert width == PHONE["viewport"]["width"]  # type: ignore[index]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page: OpenPage, engine: Any, h: Any, scheme: str) -> None:
    chat = open_page(locale="en-GB", color_scheme=scheme)
    axe = (packages() / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    seen = [faults(chat, axe)]
    engine.answer("1. One\n2. **Two** `three`\n\n```\ncode\n```", reasoning="Hm.")
    chat.button("Think first").click()
    answer = chat.ask("How long is a piece of string, please?")
    answer.locator("summary").click()
    answer.get_by_role("button", name="Not helpful").click()
    seen.append(faults(chat, axe))
    engine.say(h.message(None, tool_calls=[h.call("update_delivery_address", {"order_id": "123456", "new_addr": "B"})]))
    chat.ask("Send order 123456 to B")
    seen.append(faults(chat, axe))
    engine.up = False
    chat.ask("Send order 123456 to B")
    seen.append(faults(chat, axe))
    chat.button("Settings").click()
    seen.append(faults(chat, axe))
    assert seen == [[]] * 5


def faults(chat: ChatPage, axe: str) -> list[str]:
    """What axe-core finds wrong with the page as it is; WCAG 2.2 AA and best practice."""
    chat.page.evaluate(f"() => {{ {axe} }}")
    result = chat.page.evaluate("() => axe.run()")
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in result["violations"]]


def focused(page: Page) -> str:
    text = page.evaluate("() => document.activeElement.ariaLabel ?? document.activeElement.textContent")
    return str(text)


def holes(text: str) -> set[str]:
    return {part.split("}")[0] for part in text.split("{")[1:]}
