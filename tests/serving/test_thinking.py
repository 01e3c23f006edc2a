"""Thinking: the rule of `auto` on labelled questions, budgets, and what is told and counted of it."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.protocol import ChatRequest
from serving.thinking import EASY_INTENTS, ENOUGH, HARD_INTENTS, Thinking, intent_decides, judged

CASES = [json.loads(line) for line in Path(__file__).with_name("thinking_cases.jsonl").read_text("utf-8").splitlines()]
SUM = "Two packs at 12.50 or five for 27: how much is each?"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_rule_on_labelled_questions(language: str) -> None:
    cases = [case for case in CASES if case["language"] == language]
    hard = [judged(case["text"]).think for case in cases if case["think"]]
    easy = [judged(case["text"]).think for case in cases if not case["think"]]
    assert len(hard) >= 15 and len(easy) >= 20
    assert sum(hard) >= 0.9 * len(hard) and sum(easy) <= 0.05 * len(easy)


def test_ordinary_messages_rarely_think() -> None:
    """What `auto` saves: of the seed's messages, less than one in twenty thinks."""
    for path in (Path(__file__).parents[2] / "data" / "seed").glob("utterances.*.jsonl"):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()[::5]]
        assert sum(judged(row["text"], row["intent"]).think for row in rows) < len(rows) / 20


@settings(max_examples=40)
@given(st.text(max_size=60), st.sampled_from([None, *HARD_INTENTS, *EASY_INTENTS, "complaint"]))
def test_the_rule_takes_any_text_and_the_intent_turns_only_what_is_close(text: str, intent: str | None) -> None:
    decided = judged(text, intent)
    assert decided.think == bool(decided.reasons)
    if not intent_decides(text):
        assert decided.think == judged(text).think


def test_an_intent_can_turn_the_decision() -> None:
    text = "If the parcel is late, can I use it again?"
    assert intent_decides(text) and not judged(text).think
    assert judged(text, "coupon_promotion").reasons == ("conditions", "intent")
    assert ENOUGH == 2 and not judged(f"{text} But how?", "human_agent").think and judged(f"{text} But how?").think


@pytest.mark.parametrize(
    ("body", "mode", "tokens"),
    [
        ({}, "off", 100),
        ({"enable_thinking": True}, "on", 100),
        ({"enable_thinking": "auto", "thinking_budget": 30}, "auto", 30),
        ({"enable_thinking": True, "thinking_budget": 300}, "on", 100),
        ({"chat_template_kwargs": {"enable_thinking": "auto"}}, "auto", 100),
        ({"enable_thinking": False, "chat_template_kwargs": {"enable_thinking": True}}, "off", 100),
        ({"reasoning_effort": "none"}, "off", 100),
        ({"reasoning_effort": "low"}, "on", 25),
        ({"reasoning_effort": "medium", "thinking_budget": 10}, "on", 10),
        ({"reasoning_effort": "high"}, "on", 100),
        ({"reasoning_effort": "high", "enable_thinking": False}, "off", 100),
        ({"reasoning_effort": "none", "enable_thinking": True}, "on", 100),
    ],
)
def test_what_a_caller_asks_for(body: dict[str, Any], mode: str, tokens: int) -> None:
    request = ChatRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": "a"}], **body})
    assert (request.thinking.mode, request.thinking.tokens(100)) == (mode, tokens)
    assert Thinking("on").tokens(1) == 1


def thought_for(text: str, tokens: int) -> dict[str, Any]:
    """A whole answer of the engine that thought."""
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": tokens + 1,
        "completion_tokens_details": {"reasoning_tokens": tokens},
    }
    message = {"role": "assistant", "content": text, "reasoning": "Hm."}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


@pytest.mark.parametrize("tools", [None, [TOOL]])
async def test_auto_is_told_and_counted(chat: Any, client: Any, engine: Any, tools: Any) -> None:
    async def thinks(body: dict[str, Any]) -> Any:
        whole = thought_for("Five for 27.", 40)
        if not body["chat_template_kwargs"]["enable_thinking"]:
            whole = thought_for("Hello.", 0)
        choice = whole["choices"][0]
        if not body.get("stream"):
            return httpx.Response(200, json=whole)
        chunks = [
            {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": "stop"}]},
            {**whole, "choices": []},
        ]
        return httpx.Response(
            200, text="".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        )

    engine.say(thinks)
    engine.intent = "complaint"  # speaks neither for thinking nor against it
    hard = await chat(SUM, enable_thinking="auto", thinking_budget=64, tools=tools)
    told = {"mode": "auto", "used": True, "reasons": ["arithmetic"], "budget": 64, "tokens": 40}
    assert hard["kefu"]["thinking"] == told
    assert hard["usage"]["completion_tokens_details"] == {"reasoning_tokens": 40}
    assert hard["choices"][0]["message"]["content"] == "Five for 27."  # the thinking itself was not asked for
    assert engine.requests[0]["thinking_token_budget"] == 64
    easy = await chat("Hello there!", enable_thinking="auto", tools=tools)
    assert easy["kefu"]["thinking"] == {"mode": "auto", "used": False, "reasons": [], "budget": 512, "tokens": 0}
    assert "thinking_token_budget" not in engine.requests[1]
    assert (await chat("Hello there!", tools=tools))["kefu"]["thinking"] is None
    text = (await client.get("/metrics")).text
    assert 'kefu_thinking_total{mode="auto",used="yes"} 1.0' in text
    assert 'kefu_thinking_total{mode="auto",used="no"} 1.0' in text
    assert 'kefu_thinking_tokens_total{mode="auto"} 40.0' in text


async def test_auto_asks_for_the_intent_only_where_it_could_turn_the_decision(chat: Any, engine: Any) -> None:
    engine.intent = "coupon_promotion"
    close = await chat("If the parcel is late, can I use it again?", enable_thinking="auto")
    assert (
        close["kefu"]["thinking"]["reasons"] == ["conditions", "intent"]
        and close["kefu"]["intent"] == "coupon_promotion"
    )
    assert len(engine.intents_asked) == 1  # before the answer, and not again after it
    await chat("Hello there!", enable_thinking="auto")
    assert [request["chat_template_kwargs"]["enable_thinking"] for request in engine.requests] == [True, False]


async def test_a_limit_of_tokens_leaves_half_for_the_answer(chat: Any, engine: Any) -> None:
    await chat("hi", tools=[TOOL], enable_thinking=True, max_completion_tokens=60)
    assert (engine.requests[0]["max_tokens"], engine.requests[0]["thinking_token_budget"]) == (60, 30)


@pytest.mark.parametrize("tools", [None, [TOOL]])
async def test_an_engine_without_budgets_is_asked_without(chat: Any, engine: Any, tools: Any) -> None:
    async def refuses(body: dict[str, Any]) -> Any:
        if "thinking_token_budget" in body:
            told = "thinking_token_budget is set but reasoning_config is not configured."
            return httpx.Response(400, json={"error": {"message": told}})
        if body.get("stream"):
            return httpx.Response(200, text='data: {"choices": [{"delta": {"content": "Yes."}}]}\n\ndata: [DONE]\n\n')
        return httpx.Response(200, json=thought_for("Yes.", 3))

    engine.say(refuses)
    for asked in (2, 3):  # it is not asked again with one
        answer = await chat("Is it?", enable_thinking=True, tools=tools)
        assert answer["choices"][0]["message"]["content"] == "Yes." and len(engine.requests) == asked
