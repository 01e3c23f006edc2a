import json
import math
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.chat import INTENT_MAX_TOKENS
from data.schema import Function, IntentCase, Message, ToolCase
from data.shop import Shop
from evals.predict import ATTEMPTS, TOOL_MAX_TOKENS, ToolPrediction, normalized, predict_intents, predict_tools
from tests.evals.conftest import FakeEngine, completion

SHOP = Shop.default()
NAMES = ("order_status", "refund_status")
CASES = [IntentCase(id=f"c{i}", text=f"question {i}", intent="order_status", language="en") for i in range(40)]
DUE = Function(name="query_order_status", arguments={"order_id": "123"})


def tool_case(expect: Function | None) -> ToolCase:
    return ToolCase(id="t", messages=(Message(role="user", content="where is 123?"),), expect=expect, language="en")


def written(name: str = DUE.name, arguments: Any = '{"order_id": "123"}') -> dict[str, Any]:
    return {"id": "a", "type": "function", "function": {"name": name, "arguments": arguments}}


def ask_tool(engine: FakeEngine, case: ToolCase, answer: Any) -> ToolPrediction:
    engine.reply = lambda body: (200, answer)
    return predict_tools(engine.base_url, "m", [case], SHOP.prompts, list(SHOP.tools.values()))[0]


def test_order_is_kept_and_concurrency_limited(fake_engine: FakeEngine) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        number = int(body["messages"][-1]["content"].split()[1])
        time.sleep(0.02 if number % 7 == 0 else 0.002)
        return 200, completion("refund_status" if number % 2 else "order_status")

    fake_engine.reply = reply
    seen: list[int] = []
    found = predict_intents(fake_engine.base_url, "m", CASES, SHOP.prompts, NAMES, concurrency=4, progress=seen.append)
    assert [p.case for p in found] == CASES
    assert [p.right for p in found] == [i % 2 == 0 for i in range(40)]
    assert seen == list(range(1, 41))
    assert 1 < fake_engine.busiest <= 4


def test_the_intent_request(fake_engine: FakeEngine) -> None:
    predict_intents(fake_engine.base_url, "kefu", CASES[:1], SHOP.prompts, NAMES)
    assert fake_engine.requests == [
        {
            "path": "/v1/chat/completions",
            "model": "kefu",
            "messages": [
                {"role": "system", "content": SHOP.prompts.intent},
                {"role": "user", "content": "question 0"},
            ],
            "max_tokens": INTENT_MAX_TOKENS,
            "logprobs": True,
            "temperature": 0,
            "chat_template_kwargs": {"enable_thinking": False},
        }
    ]


@pytest.mark.parametrize(
    ("content", "label"),
    [(" refund_status\n", "refund_status"), ("refund", None), ("", None), (None, None), ("order_status.", None)],
)
def test_a_label_is_exact_or_unparsable(fake_engine: FakeEngine, content: str | None, label: str | None) -> None:
    fake_engine.reply = lambda body: (200, completion(content))
    (found,) = predict_intents(fake_engine.base_url, "m", CASES[:1], SHOP.prompts, NAMES, held_out=True)
    assert (found.predicted, found.raw, found.error, found.held_out) == (label, content or "", None, True)


@pytest.mark.parametrize(
    ("logprobs", "probability"),
    [
        ({"content": [{"logprob": math.log(0.5)}, {"logprob": math.log(0.8)}]}, 0.4),
        ({"content": [{"logprob": 1e-9}]}, 1.0),
        ({"content": [{"logprob": -9999.0}]}, 0.0),
        ({"content": []}, None),
        ({"content": [{"token": "x"}]}, None),
        (None, None),
    ],
)
def test_the_probability_of_a_label(fake_engine: FakeEngine, logprobs: Any, probability: float | None) -> None:
    answer = completion("order_status")
    answer["choices"][0]["logprobs"] = logprobs
    fake_engine.reply = lambda body: (200, answer)
    (found,) = predict_intents(fake_engine.base_url, "m", CASES[:1], SHOP.prompts, NAMES)
    assert found.probability == (None if probability is None else pytest.approx(probability)) and found.right


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_that_comes_along_is_kept(fake_engine: FakeEngine, field: str) -> None:
    for calls in (None, [written()], [written(arguments="{")]):
        answer = completion("order_status", calls)
        answer["choices"][0]["message"][field] = "Let me think."
        assert ask_tool(fake_engine, tool_case(DUE), answer).reasoning == "Let me think."
        (found,) = predict_intents(fake_engine.base_url, "m", CASES[:1], SHOP.prompts, NAMES)
        assert found.reasoning == "Let me think."


@pytest.mark.parametrize("trouble", [(503, "busy"), (200, None)])
def test_trouble_that_passes_is_retried(fake_engine: FakeEngine, trouble: tuple[int, Any]) -> None:
    answers = iter([trouble, trouble])
    lock = threading.Lock()

    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        with lock:
            return next(answers, (200, completion("order_status")))

    fake_engine.reply = reply
    (found,) = predict_intents(fake_engine.base_url, "m", CASES[:1], SHOP.prompts, NAMES)
    assert found.right and len(fake_engine.requests) == 3


def test_trouble_that_stays_is_a_wrong_answer(fake_engine: FakeEngine) -> None:
    fake_engine.reply = lambda body: (503, "no room")
    (found,) = predict_intents(fake_engine.base_url, "m", CASES[:1], SHOP.prompts, NAMES)
    assert not found.right and found.predicted is None
    assert found.error == f"no answer after {ATTEMPTS} attempts: Busy: no room"
    assert len(fake_engine.requests) == ATTEMPTS


def test_a_timeout_is_a_wrong_answer(fake_engine: FakeEngine) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        time.sleep(0.2)
        return 200, completion("order_status")

    fake_engine.reply = reply
    (found,) = predict_intents(fake_engine.base_url, "m", CASES[:1], SHOP.prompts, NAMES, timeout_s=0.02)
    assert found.error is not None and "ReadTimeout" in found.error


def test_nobody_there_is_a_wrong_answer() -> None:
    (found,) = predict_tools("http://127.0.0.1:9", "m", [tool_case(None)], SHOP.prompts, [])
    assert found.error is not None and "ConnectError" in found.error and not found.right


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (400, "too long", "HTTP 400: too long"),
        (500, "boom", "HTTP 500: boom"),
        (200, "<html>", "not a chat completion: <html>"),
        (200, {"choices": []}, 'not a chat completion: {"choices": []}'),
        (200, [], "not a chat completion: []"),
        (200, {"choices": [{"message": None}]}, 'not a chat completion: {"choices": [{"message": null}]}'),
    ],
)
def test_refusals_and_nonsense_are_not_retried(fake_engine: FakeEngine, status: int, answer: Any, error: str) -> None:
    fake_engine.reply = lambda body: (status, answer)
    (found,) = predict_intents(fake_engine.base_url, "m", CASES[:1], SHOP.prompts, NAMES)
    assert found.error == error and len(fake_engine.requests) == 1


def test_the_tool_request(fake_engine: FakeEngine) -> None:
    ask_tool(fake_engine, tool_case(DUE), completion(None, [written()]))
    (request,) = fake_engine.requests
    assert request["messages"][0] == {"role": "system", "content": SHOP.prompts.agent["en"]}
    assert request["tools"] == list(SHOP.tools.values())
    assert (request["max_tokens"], request["temperature"]) == (TOOL_MAX_TOKENS, 0)
    assert request["chat_template_kwargs"] == {"enable_thinking": False}


def test_right_calls(fake_engine: FakeEngine) -> None:
    for arguments in ('{"order_id": "123"}', '{"order_id": " #123 "}', '{"order_id": "１２３"}'):
        assert ask_tool(fake_engine, tool_case(DUE), completion(None, [written(arguments=arguments)])).right
    assert ask_tool(fake_engine, tool_case(None), completion("Which order?")).right
    assert ask_tool(fake_engine, tool_case(None), completion("Which order?", [])).right


@pytest.mark.parametrize(
    ("expect", "calls"),
    [
        (None, [written()]),
        (DUE, None),
        (DUE, [written(name="update_delivery_address")]),
        (DUE, [written(arguments='{"order_id": "124"}')]),
        (DUE, [written(arguments='{"order_id": 123}')]),
        (DUE, [written(arguments='{"order_id": "123", "more": "x"}')]),
        (DUE, [written(), written()]),
    ],
)
def test_wrong_calls(fake_engine: FakeEngine, expect: Function | None, calls: Any) -> None:
    found = ask_tool(fake_engine, tool_case(expect), completion("Let me see.", calls))
    assert not found.right and found.error is None and len(found.calls) == len(calls or [])


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (completion("", []), "an empty answer"),
        (completion(None), "an empty answer"),
        (completion('<tool_call>\n{"name": "query'), "<tool_call> left in the text"),
        (completion(None, [written(arguments='{"order_id": "12')]), "malformed tool call"),
        (completion(None, [written(arguments='"123"')]), "malformed tool call"),
        (completion(None, [written(arguments=None)]), "malformed tool call"),
        (completion(None, [{"type": "function"}]), "malformed tool call"),
        (completion(None, ["query_order_status"]), "malformed tool call"),
    ],
)
def test_unusable_answers_are_wrong_even_where_no_call_is_due(fake_engine: FakeEngine, answer: Any, error: str) -> None:
    for expect in (None, DUE):
        found = ask_tool(fake_engine, tool_case(expect), answer)
        assert not found.right and (found.error or "").startswith(error)
        assert found.unfinished == (error != "an empty answer")


def test_predictions_survive_json(fake_engine: FakeEngine) -> None:
    found = ask_tool(fake_engine, tool_case(DUE), completion("好的", [written()]))
    assert ToolPrediction.model_validate_json(found.model_dump_json()) == found
    assert json.loads(found.model_dump_json())["raw"] == "好的"
    assert found.language == "en"


@given(st.dictionaries(st.sampled_from(["order_id", "new_addr", "n"]), st.text(max_size=12) | st.integers()))
def test_normalizing_twice_changes_nothing(arguments: dict[str, Any]) -> None:
    once = normalized(Function(name="f", arguments=arguments))
    assert normalized(once) == once
