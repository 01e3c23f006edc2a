"""The page's parts by themselves, in a browser: streams however they are cut, thinking however it is marked, Markdown."""

from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.serving.page.conftest import OpenPage

pytestmark = pytest.mark.services
STREAM = ': keep-alive\n\ndata: {"a":"您好"}\r\n\r\nevent: x\nid: 1\ndata:one\ndata: two\n\n: end\n\ndata: [DONE]\n\ndata: cut'
EVENTS = ['{"a":"您好"}', "one\ntwo", "[DONE]"]
READ = """async (pieces) => {
  const { events } = await import("/page/sse.js");
  const streams = pieces.map((cuts) => new ReadableStream({
    start(controller) { cuts.forEach((piece) => controller.enqueue(new Uint8Array(piece))); controller.close(); },
  }));
  const found = [];
  for (const stream of streams) {
    const data = [];
    for await (const one of events(stream)) data.push(one);
    found.push(data);
  }
  return found;
}"""
ANSWER = """async (runs) => {
  const { Answer } = await import("/page/answer.js");
  return runs.map((deltas) => {
    const answer = new Answer();
    const seen = [];
    for (const delta of deltas) {
      answer.add({ id: "a", choices: [{ delta }] });
      seen.push([answer.thinking, answer.text]);
    }
    return seen;
  });
}"""


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page().page


def test_events_are_the_same_however_the_bytes_are_cut(page: Page) -> None:
    raw = STREAM.encode()
    runs = [[list(raw)], [[byte] for byte in raw]]
    runs += [[list(raw[:cut]), list(raw[cut:])] for cut in range(1, len(raw))]
    runs += [[list(raw[start:end]) for start, end in pairwise([*range(0, len(raw), 7), len(raw)])]]
    assert page.evaluate(READ, runs) == [EVENTS] * len(runs)


@pytest.mark.parametrize(
    ("raw", "thinking", "text"),
    [
        ("<think>\n想一想\n</think>\n\n您好。", "想一想", "您好。"),
        ("您好，<think>不是标记</think>。", "", "您好，<think>不是标记</think>。"),
        ("<think>\n没有结尾", "没有结尾", ""),
        ("<3 您好", "", "<3 您好"),
    ],
)
def test_thinking_is_apart_however_the_text_is_cut(page: Page, raw: str, thinking: str, text: str) -> None:
    runs = [[{"content": raw}], [{"content": letter} for letter in raw]]
    runs += [[{"content": raw[:cut]}, {"content": raw[cut:]}] for cut in range(1, len(raw))]
    for seen in page.evaluate(ANSWER, runs):
        assert seen[-1] == [thinking, text]
        for thoughts, shown in seen:  # nothing is shown that is taken back later
            assert thinking.startswith(thoughts) and text.startswith(shown)


def test_reasoning_may_come_apart_or_twice(page: Page) -> None:
    apart = [{"reasoning": "想", "reasoning_content": "想"}, {"reasoning": "一想"}, {"content": "您好。"}]
    twice = [{"content": "<think>\n想一想\n</think>\n\n", "reasoning": "想一想"}, {"content": "您好。"}]
    for seen in page.evaluate(ANSWER, [apart, twice]):
        assert seen[-1] == ["想一想", "您好。"]


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("一\n二\n\n三", [("p", ["一", "二"]), ("p", ["三"])]),
        ("说明：\n- 一\n* 二\n\n• 三\n完", [("p", ["说明："]), ("ul", ["一", "二", "三"]), ("p", ["完"])]),
        ("2. two\n   goes on\n3、 three", [("ol", ["two goes on", "three"])]),
        ("```js\n- no list\n\n**x**\n```\nafter", [("pre", ["- no list", "", "**x**"]), ("p", ["after"])]),
        ("```\nopen", [("pre", ["open"])]),
        ("-5 degrees\n3.5 kg", [("p", ["-5 degrees", "3.5 kg"])]),
    ],
)
def test_markdown_has_few_blocks(page: Page, text: str, blocks: Any) -> None:
    found = page.evaluate("async (text) => (await import('/page/markdown.js')).blocks(text)", text)
    assert [(block["kind"], block["lines"]) for block in found] == blocks
