"""A conversation on the page: asking, watching the answer grow, stopping it, failures, coming back."""

import asyncio
import re
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from tests.serving.page.conftest import OpenPage, behind_a_socket

pytestmark = pytest.mark.services


def test_question_is_answered(open_page: OpenPage, engine: Any, settings: Any) -> None:
    chat = open_page()
    expect(chat.page).to_have_title("在线客服")
    expect(chat.page.locator("#version-text")).to_have_text(f"kefu-1 · {settings.release.digest[:7]}")
    expect(chat.question).to_be_focused()
    engine.answer("可以的。\n\n- 七天内\n- **未拆封**")
    answer = chat.ask("买了耳机，\n能退吗")
    expect(answer.locator(".text li")).to_have_text(["七天内", "未拆封"])
    expect(answer.locator("strong")).to_have_text("未拆封")
    expect(chat.page.locator(".question")).to_contain_text("买了耳机，\n能退吗")
    expect(answer.locator(".intent")).to_have_text("order_status")
    expect(chat.page.locator("#announcer")).to_contain_text("可以的。")  # said to screen readers, as a whole
    expect(chat.page.locator(".conversation")).to_have_text("买了耳机， 能退吗")
    assert engine.requests[0]["messages"][-1]["content"] == "买了耳机，\n能退吗"


def test_faq_answers_say_so(open_page: OpenPage, engine: Any) -> None:
    chat = open_page()
    answer = chat.ask("怎么退货？")
    expect(answer.locator(".badge")).to_contain_text("来自常见问题库的标准答案（条目 return-start）")
    assert not engine.requests


def test_answer_grows_and_can_be_stopped(open_page: OpenPage, app: FastAPI, engine: Any) -> None:
    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        async def late(message: Any) -> None:
            if b"data: " in message.get("body", b""):
                await asyncio.sleep(0.4)
            await send(message)

        await app(scope, receive, late)

    engine.answer("第一句。第二句。第三句。第四句。第五句。第六句。第七句。第八句。")
    with behind_a_socket(slowly) as url:
        chat = open_page(url=url)
        chat.question.fill("说八句话")
        chat.question.press("Enter")
        expect(chat.last.locator(".text")).to_contain_text("第一句。第二句。")
        expect(chat.last).to_have_attribute("data-state", "growing")
        chat.question.fill("等一下")
        chat.question.press("Enter")  # one question at a time: it stays where it is
        expect(chat.question).to_have_value("等一下")
        chat.question.press("Escape")
        expect(chat.last).to_have_attribute("data-state", "stopped")
        expect(chat.last.locator(".text")).not_to_contain_text("第八句。")
        expect(chat.stop).to_be_hidden()
        chat.button("重新回答").click()
        expect(chat.last.locator(".text")).to_contain_text("第八句。", timeout=20_000)
        expect(chat.page.locator(".question")).to_have_count(1)


def test_stop_button_ends_the_work_behind(open_page: OpenPage, engine: Any) -> None:
    stopped = []

    async def never(_body: Any) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(True)
            raise

    engine.say(never)
    chat = open_page()
    chat.question.fill("在吗，我想问问")
    chat.button("发送").click()
    expect(chat.last).to_have_attribute("data-state", "waiting")
    chat.stop.click()
    expect(chat.last).to_have_attribute("data-state", "stopped")
    expect(chat.question).to_be_focused()
    for _ in range(40):
        chat.page.wait_for_timeout(50)
        if stopped:
            break
    assert stopped


def test_thinking_is_asked_for_and_folded(open_page: OpenPage, engine: Any) -> None:
    engine.answer("一共87.50元。", reasoning="120 - 20 = 100\n100 - 12.5 = 87.5")
    chat = open_page()
    chat.ask("不用想，直接说")
    assert engine.requests[-1]["chat_template_kwargs"] == {"enable_thinking": False}
    expect(chat.page.locator(".thinking")).to_be_hidden()
    chat.button("深度思考").click()
    expect(chat.button("深度思考")).to_have_attribute("aria-pressed", "true")
    answer = chat.ask("优惠20再用12.5元余额，120元的订单要付多少")
    assert engine.requests[-1]["chat_template_kwargs"] == {"enable_thinking": True}
    expect(answer.locator(".text")).to_have_text("一共87.50元。")
    expect(answer.locator(".thoughts")).to_be_hidden()
    answer.locator("summary").click()
    expect(answer.locator(".thoughts")).to_contain_text("100 - 12.5 = 87.5")


def test_failure_is_told_and_tried_again(open_page: OpenPage, engine: Any) -> None:
    chat = open_page()
    engine.up = False
    answer = chat.ask("在吗，我想问问")
    expect(answer.get_by_role("alert")).to_contain_text("服务暂时不可用")
    expect(chat.page.locator("#version")).to_have_attribute("data-state", "unready")
    expect(answer.get_by_role("button")).to_have_text(re.compile("[1-5] 秒后可重试"))
    expect(answer.get_by_role("button")).to_be_disabled()
    engine.up = True
    chat.button("重试").click(timeout=10_000)
    expect(chat.last.locator(".text")).to_have_text("Hello! How can I help?")
    expect(chat.answers).to_have_count(1)
    expect(chat.page.locator("#version")).to_have_attribute("data-state", "ready")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("", "上面的内容可能不完整"),
        ('data: {"choices":[{"delta":{"content":"一半"}}]}\n\n', "上面的内容可能不完整"),
        ('data: {"error":{"message":"m","type":"server_error","code":null}}\n\ndata: [DONE]\n\n', "服务暂时不可用"),
        ("data: [DONE]\n\n", "没有得到回答"),
        ("data: {\n\n", "上面的内容可能不完整"),
    ],
)
def test_broken_streams_are_told(open_page: OpenPage, answer: str, told: str) -> None:
    chat = open_page()
    chat.page.route(
        "**/v1/chat/completions", lambda route: route.fulfill(body=answer, content_type="text/event-stream")
    )
    last = chat.ask("在吗")
    expect(last).to_have_attribute("data-state", "failed")
    expect(last.get_by_role("alert")).to_contain_text(told)
    expect(last.get_by_role("button", name="重试")).to_be_enabled()


def test_server_out_of_reach_is_told(open_page: OpenPage) -> None:
    chat = open_page()
    chat.page.context.set_offline(True)
    expect(chat.ask("在吗").get_by_role("alert")).to_contain_text("连接不上服务器")


def test_page_comes_back_to_its_conversation(open_page: OpenPage, engine: Any) -> None:
    chat = open_page()
    engine.answer("您好，您说。")
    chat.ask("我叫小明，在吗")
    chat.page.reload()
    expect(chat.page.locator(".bubble")).to_have_text("我叫小明，在吗")
    expect(chat.last.locator(".text")).to_have_text("您好，您说。")
    engine.answer("您叫小明。")
    expect(chat.ask("我叫什么").locator(".text")).to_have_text("您叫小明。")
    assert "我叫小明" in str(engine.requests[-1]["messages"])
    expect(chat.page.locator(".conversation")).to_have_count(1)


def test_conversations_are_listed_opened_and_deleted(open_page: OpenPage, engine: Any) -> None:
    chat = open_page()
    forgotten: list[str] = []
    known = {"messages": [{"role": "user", "content": "第一个问题"}, {"role": "assistant", "content": "好的。"}]}

    def remembered(route: Any) -> None:
        if route.request.method == "DELETE":
            forgotten.append(route.request.url)
            route.fulfill(status=204)
        else:
            route.fulfill(json=known)

    chat.page.route("**/v1/conversations/*", remembered)
    chat.ask("第一个问题")
    chat.button("新对话").first.click()
    expect(chat.answers).to_have_count(0)
    expect(chat.page.locator("#welcome")).to_be_visible()
    chat.ask("第二个问题")
    expect(chat.page.locator(".conversation")).to_have_text(["第二个问题", "第一个问题"])
    chat.button("第一个问题").click()
    expect(chat.last.locator(".text")).to_have_text("好的。")
    expect(chat.page.locator("[aria-current]")).to_have_text("第一个问题")
    chat.button("删除对话：第一个问题").click()
    chat.page.get_by_role("dialog").get_by_role("button", name="删除").click()
    expect(chat.page.locator(".conversation")).to_have_text(["第二个问题"])
    expect(chat.answers).to_have_count(0)
    assert len(forgotten) == 1


def test_deleting_what_the_server_keeps_is_told(open_page: OpenPage) -> None:
    chat = open_page()
    chat.ask("第一个问题")
    chat.page.route("**/v1/conversations/*", lambda route: route.fulfill(status=503, json={}))
    chat.button("删除对话：第一个问题").click()
    dialog = chat.page.get_by_role("dialog")
    dialog.get_by_role("button", name="删除").click()
    expect(dialog.get_by_role("alert")).to_contain_text("服务暂时不可用")
    expect(chat.page.locator(".conversation")).to_have_count(1)


def test_somebody_elses_conversation_offers_a_new_one(open_page: OpenPage, engine: Any) -> None:
    chat = open_page()
    lost = {"error": {"message": "no such conversation", "type": "", "code": "conversation_not_found"}}
    chat.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=404, json=lost))
    alert = chat.ask("在吗").get_by_role("alert")
    expect(alert).to_contain_text("请开始新对话")
    chat.page.unroute("**/v1/chat/completions")
    alert.get_by_role("button", name="新对话").click()
    expect(chat.answers).to_have_count(0)


def test_ratings_are_sent_with_a_comment(open_page: OpenPage, engine: Any) -> None:
    chat = open_page()
    answer = chat.ask("在吗，我想问问")
    answer.get_by_role("button", name="没有帮助").click()
    expect(answer.get_by_role("textbox", name="哪里不好")).to_be_focused()
    chat.page.keyboard.type("答非所问")
    with chat.page.expect_request("**/v1/feedback") as sent:
        answer.get_by_role("button", name="提交反馈").click()
    body = sent.value.post_data_json
    assert body.pop("id").startswith("chatcmpl-")
    assert body == {"rating": "down", "comment": "答非所问"}
    expect(answer.locator(".told")).to_have_text("谢谢您的反馈")


def test_ratings_that_are_not_taken_are_told(open_page: OpenPage) -> None:
    chat = open_page()
    answer = chat.ask("在吗，我想问问")
    chat.page.route("**/v1/feedback", lambda route: route.fulfill(status=503, json={}))
    up = answer.get_by_role("button", name="有帮助", exact=True)
    up.click()
    expect(answer.locator(".told")).to_have_text("反馈没有提交成功，请再试一次")
    expect(up).to_have_attribute("aria-pressed", "false")
    chat.page.unroute("**/v1/feedback")
    chat.page.route("**/v1/feedback", lambda route: route.fulfill(status=204))
    up.click()
    expect(answer.locator(".told")).to_have_text("谢谢您的反馈")
    expect(up).to_have_attribute("aria-pressed", "true")
