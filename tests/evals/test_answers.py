import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schema import Function, Message, ToolCase
from data.shop import Shop
from evals.answers import (
    Answer,
    answer_figures,
    answers_of,
    claims,
    marked,
    promises,
    separated,
    thinks,
    unsupported,
)
from evals.predict import ToolPrediction

RESULT = '{"order_id": "123456", "status": "shipped", "eta": "2026-03-05", "total": "1,299.00"}'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Order #123456 has been shipped on March 5th, 2026: $1,299.00.", ["2026-3-5", "123456", "1299", "shipped"]),
        ("您的订单123456已发货，预计3月5日送达。", ["3-5", "123456", "shipped"]),
        ("Delivered on 5 Mar 2026, or 2026/3/5.", ["2026-3-5", "delivered"]),
        ("It comes on Sept. 7 or the 5th of April.", ["9-7", "4-5"]),
        ("２０２６年１１月２日", ["2026-11-2"]),
        ("It has not been shipped yet.", []),
        ("Once it is delivered, you have 7 days.", ["7"]),
        ("Is it delivered? It will be refunded.", []),
        ("订单未发货，是否已付款？", []),
        ("订单已取消，已退款。", ["cancelled", "refunded"]),
        ("1. Open the app\n2. Tap 3 times", ["3"]),
        ("5 may be too many for 1.50", ["5", "1.5"]),
        ("Marble 5 costs 0.10", ["5", "0.1"]),
        ("3 and 3.0 are one claim", ["3"]),
        ("", []),
    ],
)  # fmt: skip
def test_claims(text: str, found: list[str]) -> None:
    assert claims(text) == found


def test_what_a_source_says_is_supported() -> None:
    assert unsupported("Order 123456 is on its way and arrives on March 5: 1299.", [RESULT]) == []
    assert unsupported("订单123456已发货，3月5日到，共1299元", [RESULT]) == []
    assert unsupported("It arrives on the 5th.", [RESULT]) == []
    assert unsupported("It was delivered on March 6 2026 for 1298.", [RESULT]) == ["2026-3-6", "1298", "delivered"]
    assert unsupported("It arrives on 5 March 2027.", [RESULT]) == ["2027-3-5"]
    assert unsupported("You have 7 days.", [RESULT, "Returns within 7 days"]) == []
    assert unsupported("You have 7 days.", []) == ["7"]


@given(st.text(max_size=60))
def test_a_text_supports_itself(text: str) -> None:
    assert unsupported(text, [text]) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_shops_own_answers_are_grounded_in_themselves_and_promise_nothing(language: str) -> None:
    entries = [entry for entry in Shop.default().faq if entry.language == language]
    assert len(entries) > 10
    assert [e.id for e in entries if promises(e.answer) or marked(e.answer)] == []
    assert [e.id for e in entries if unsupported(e.answer, [e.answer])] == []


@pytest.mark.parametrize(
    "text",
    [
        "I guarantee it arrives.",
        "We'll personally guarantee that",
        "Delivery is fully guaranteed.",
        "It will definitely arrive tomorrow.",
        "We will compensate you.",
        "我保证明天到",
        "一定会送达",
        "我们会赔偿您",
        "请放心，肯定能退",
    ],
)
def test_promises(text: str) -> None:
    assert promises(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't guarantee a date.",
        "We cannot promise that",
        "无法保证明天到",
        "不一定会送达",
        "The two-year guarantee covers it.",
        "It should arrive tomorrow.",
        "店铺保证金",
        "",
    ],
)
def test_no_promises(text: str) -> None:
    assert not promises(text)


def test_thinking() -> None:
    assert thinks("<think>x", "") and thinks("x</think>y", "") and thinks("Hello", "let me see")
    assert not thinks("Hello", " \n")
    assert separated("Hello", "let me see")
    for text, reasoning in (("", "x"), ("Hello", ""), ("<think>Hello", "x"), ("Hello</think>", "x"), (" ", "x")):
        assert not separated(text, reasoning)


@pytest.mark.parametrize(
    "mark", ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<|im_end|>", "<|im_start|>"]
)
def test_marks(mark: str) -> None:
    assert marked(f"a{mark}b") and not marked("a < b > c") and not marked("<think>")


def test_figures_by_hand() -> None:
    found = answer_figures(
        [
            Answer("It is shipped.", "en", (RESULT,)),
            Answer("It takes 4 days, or 5.", "en", (RESULT,)),
            Answer("好的", "en", ()),
            Answer("好的", "zh", ()),
            Answer("  ", "zh", ()),
            Answer("I promise.", "en", ()),
        ]
    )
    assert found.numbers() == {
        "answers": 6,
        "empty": 1,
        "claims": 3,
        "unsupported": 1,
        "ungrounded": 1,
        "in_language": 4,
        "promises": 1,
        "length_median": (2 + 10) / 2,
        "length_longest": 22,
    }
    assert found.examples == ("4: It takes 4 days, or 5.",)
    nothing = answer_figures([])
    assert (nothing.answers, nothing.length_median, nothing.length_longest) == (0, 0.0, 0)
    many = [Answer(f"It takes {k} days", "en", ()) for k in range(9)]
    assert len(answer_figures(many).examples) == 5 and len(answer_figures(many, shown=2).examples) == 2


def test_answers_of_tool_cases() -> None:
    turns = (
        Message(role="user", content="order 77?"),
        Message(role="assistant", content="About 12 days, I think."),
        Message(role="user", content="really?"),
    )
    case = ToolCase(id="t", messages=turns, expect=None, language="en")
    call = Function(name="query_order_status", arguments={})
    found = answers_of(
        [
            ToolPrediction(case=case, raw="For 77 it takes 12 days, 3 at most."),
            ToolPrediction(case=case, calls=(call,)),
            ToolPrediction(case=case, raw="<tool_call>", error="left in the text", unfinished=True),
            ToolPrediction(case=case, raw="half", error="HTTP 500"),
        ],
        facts=("3 days",),
    )
    assert [answer.text for answer in found] == ["For 77 it takes 12 days, 3 at most.", ""]
    assert unsupported(found[0].text, found[0].sources) == ["12"]  # the agent's own earlier word is no source
