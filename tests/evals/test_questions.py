"""Thinking and memory questions: what counts as an answer, how they are asked, how they are counted."""

from typing import Any

import httpx
import pytest

from evals.questions import NOTES, Question, Recall, recall, says, think, way_figures

SUM = Question(id="q1", language="en", kind="sum", text="64 and 8 for shipping?", answer="72")
POLICY = Question(id="q2", language="zh", kind="policy", text="能退吗？", answer="no")


def client(*answers: Any, seen: list[dict[str, Any]] | None = None) -> httpx.Client:
    """An endpoint that gives these answers in turn, the last one again and again; a number is a status."""
    left = list(answers)

    def respond(request: httpx.Request) -> httpx.Response:
        import json

        if seen is not None:
            seen.append(json.loads(request.content))
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, int):
            return httpx.Response(answer, text="enable_thinking: a boolean")
        message = {"role": "assistant", "content": answer}
        body = {"choices": [{"message": message}], "usage": {"completion_tokens": 10}, "kefu": {"tools": []}}
        return httpx.Response(200, json=body)

    return httpx.Client(base_url="http://kefu", transport=httpx.MockTransport(respond))


@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        ("72", "64 + 8 = 72 yuan", True),
        ("72", "You pay ￥72.00.", True),
        ("72", "It is 720.", False),
        ("45.5", "45.50元", True),
        ("7-2", "最晚7月2日到。", True),
        ("7-2", "By July 2nd, 2026", True),
        ("7-2", "2026-07-02", True),
        ("7-2", "By 12 July", False),
        ("7-2", "On 7 February", False),
        ("yes", "Yes, you can.", True),
        ("yes", "You cannot, yes.", False),
        ("no", "No, that can't be returned.", True),
        ("no", "I'm afraid you can’t.", True),
        ("no", "不可以，因为穿过了。", True),
        ("yes", "可以退。", True),
        ("yes", "不可以", False),
        ("no", "Who knows?", False),
    ],
)
def test_what_counts_as_an_answer(answer: str, text: str, right: bool) -> None:
    assert says(answer, text) is right


def test_a_thinking_question_is_asked_alone_and_past_the_faq() -> None:
    seen: list[dict[str, Any]] = []
    with client("It is 72.", seen=seen) as http:
        replies = [think(http, SUM, "off"), think(http, SUM, "on")]
    assert all(reply.right and reply.tokens == 10 and reply.offered for reply in replies)
    assert [body["enable_thinking"] for body in seen] == [False, True]
    assert seen[0]["messages"][0] == {"role": "system", "content": NOTES["en"]} and "conversation_id" not in seen[0]


def test_an_endpoint_without_auto_does_not_offer_it_and_a_failure_is_wrong() -> None:
    with client(400) as http:
        reply = think(http, SUM, "auto")
    assert not reply.offered and not reply.right
    with client(503) as http:
        reply = think(http, SUM, "auto")
    assert reply.offered and not reply.right


def test_what_was_told_is_asked_for_in_the_same_conversation() -> None:
    question = Recall(
        id="m", language="en", tells=("I am Marguerite.", "From Lyon."), asks="Who am I?", answer=("marguerite",)
    )
    seen: list[dict[str, Any]] = []
    with client("Hello.", "Fine.", "You asked that.", "You are Marguerite.", seen=seen) as http:
        reply = recall(http, question, ["How do I return an item?"], "c", "at once")
    assert reply.right and reply.way == "at once"
    assert [body["messages"][-1]["content"] for body in seen] == [
        *question.tells,
        "How do I return an item?",
        "Who am I?",
    ]
    assert {body["conversation_id"] for body in seen} == {"c"}
    with client(500, "You are Marguerite.") as http:
        lost = recall(http, question, [], "c", "at once")
    assert not lost.right and lost.error is not None


def test_figures_by_way_kind_and_language() -> None:
    with client("It is 72.") as http:
        replies = [think(http, SUM, "off"), think(http, POLICY, "off"), think(http, SUM, "on")]
    found = way_figures(replies)
    assert list(found) == ["off", "on"]
    assert (found["off"].cases, found["off"].accuracy, found["off"].tokens, found["off"].tokens_each) == (
        2,
        0.5,
        20,
        10.0,
    )
    assert found["off"].kinds["sum"].accuracy == 1.0 and found["off"].languages["zh"].accuracy == 0.0
    assert found["on"].failed == 0
