"""The page in a frame of a shop's own page, on another origin: signed in from there, and only where the server allows."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import FrameLocator, expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from serving.gateway import create_app
from serving.identity import mint
from serving.settings import GatewaySettings
from tests.serving.page.conftest import OpenPage, behind_a_socket

pytestmark = pytest.mark.services

SHOP = """<!doctype html><title>Shop</title><iframe id="kefu" src="{kefu}/?embed=1" style="width:380px;height:600px"></iframe>
<script>
  const frame = document.getElementById("kefu");
  addEventListener("message", (event) => {{
    if (event.source !== frame.contentWindow || event.data?.type !== "kefu:conversation") return;
    sessionStorage.setItem("conversation", event.data.id);
  }});
  addEventListener("message", (event) => {{
    if (event.source !== frame.contentWindow || event.data?.type !== "kefu:ready") return;
    const given = {{customerToken: "{token}", apiKey: "{key}", conversation: sessionStorage.getItem("conversation")}};
    frame.contentWindow.postMessage({{type: "kefu:sign-in", ...given}}, "{kefu}");
  }});
</script>"""


@pytest.fixture
def shop_page() -> Iterator[Any]:
    """The shop's own site, on `localhost`, which is another origin than 127.0.0.1: {"url", "html"}."""
    held = {"html": ""}

    async def page(_request: Any) -> HTMLResponse:
        return HTMLResponse(held["html"])

    with behind_a_socket(Starlette(routes=[Route("/", page)])) as url:
        held["url"] = url.replace("127.0.0.1", "localhost")
        yield held


def framed(open_page: OpenPage, shop_page: Any, kefu: str, token: str, key: str) -> tuple[Any, FrameLocator]:
    shop_page["html"] = SHOP.format(kefu=kefu, token=token, key=key)
    chat = open_page(url=shop_page["url"])
    return chat, chat.page.frame_locator("#kefu")


def test_shop_embeds_the_page_and_signs_its_customer_in(
    open_page: OpenPage, settings: GatewaySettings, engine: Any, shop: Any, shop_page: Any, h: Any
) -> None:
    settings = dataclasses.replace(
        settings, demo=False, api_keys=("page-key",), page_embedders=(shop_page["url"],)
    )  # as for a shop
    engine.say(
        h.message(None, tool_calls=[h.call("query_order_status", {"order_id": "123456"})]), h.message("已打包。")
    )
    with behind_a_socket(create_app(settings, transport=httpx.MockTransport(engine))) as kefu:
        chat, frame = framed(open_page, shop_page, kefu, mint("demo", h.keys, 600), "page-key")
        expect(frame.get_by_role("heading", level=2)).to_have_text("您好，有什么可以帮您？")
        frame.get_by_role("textbox").fill("订单123456到哪了")
        frame.get_by_role("textbox").press("Enter")
        expect(frame.locator(".answer .text")).to_have_text("已打包。")
        expect(frame.locator(".answer .tool")).to_contain_text("已查询")
        for hidden in ("#sidebar", "#open-settings", "#version", ".intent"):
            expect(frame.locator(hidden).first).to_be_hidden()
        assert chat.page.evaluate("() => sessionStorage.conversation").startswith("page-")
        chat.page.reload()  # the frame keeps nothing; the shop's page does
        engine.answer("订单123456。")
        expect(frame.locator("#stop")).to_be_hidden()
        expect(frame.locator("#thread > li").first).to_be_visible()
        frame.get_by_role("textbox").fill("我问的是哪个订单？")
        frame.get_by_role("textbox").press("Enter")
        expect(frame.locator(".answer .text").last).to_have_text("订单123456。")
        assert "订单123456到哪了" in str(engine.requests[-1]["messages"])


def test_other_sites_get_no_frame(open_page: OpenPage, served: str, shop_page: Any) -> None:
    chat, frame = framed(open_page, shop_page, served, "", "")
    chat.page.wait_for_timeout(500)
    assert frame.locator("#question").count() == 0
    assert "frame-ancestors" in chat.complaints.pop()


def test_nobody_but_the_page_around_signs_in(open_page: OpenPage, engine: Any) -> None:
    chat = open_page("/?embed=1")  # in no frame
    chat.page.evaluate("() => window.postMessage({type: 'kefu:sign-in', customerToken: 'stranger'}, '*')")
    with chat.page.expect_request("**/v1/chat/completions") as sent:
        chat.ask("在吗，我想问问")
    assert "x-customer-token" not in sent.value.headers
