"""Customers over a real socket: what they say, what they make of an answer, and what they count as a yes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.customer import AGREEING, REFUSING, Call, Exchange, agrees, ask, converse
from evals.scenario import Scenario
from tests.evals.served import served

ADDRESS = "66 River View, Changsha"
MOVE = {"tool": "update_delivery_address", "arguments": {"order_id": "480263", "new_addr": ADDRESS}}


def body(content: str | None, **kefu: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"message": message}], "usage": {"completion_tokens": 7}, "kefu": {"tools": [], **kefu}}


@contextmanager
def endpoint(answer: Callable[[dict[str, Any]], Any]) -> Iterator[httpx.Client]:
    """A client of an endpoint that answers so."""

    def respond(_path: str, request: dict[str, Any]) -> str:
        found = answer(request)
        return found if isinstance(found, str) else json.dumps(found)

    with served(respond) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def scenario(**fields: Any) -> Scenario:
    return Scenario.model_validate({"id": "s", "language": "en", "turns": ["Hello."], **fields})


def test_the_script_is_said_in_one_conversation() -> None:
    seen: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        seen.append(request)
        return body("Hi.", tools=[{"name": "x", "status": "ok"}], cache={"kind": "exact", "id": "a"})

    calls = [Call(tool="query_order_status", arguments={"order_id": "#5"})]
    with endpoint(answer) as client:
        said = converse(client, scenario(turns=["a", "b"]), "c1", lambda: calls, enable_thinking=True)
    assert [exchange.customer for exchange in said] == ["a", "b"]
    assert said[0].calls[0].function.arguments == {"order_id": "5"}
    assert (said[0].cached, said[0].tokens, said[0].handled[0]["status"]) == (True, 7, "ok")
    assert {request["conversation_id"] for request in seen} == {"c1"} and all(r["enable_thinking"] for r in seen)
    assert seen[1]["messages"] == [{"role": "user", "content": "b"}]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("{", "not an answer of the agent"),
        ({"choices": []}, "not an answer of the agent (IndexError)"),
        ({"choices": [{"message": {"content": "x"}}]}, "not an answer of the agent (KeyError)"),
        (body(None), "an empty answer"),
        (body("  "), "an empty answer"),
    ],
)
def test_what_is_no_answer_ends_the_conversation(answer: Any, says: str) -> None:
    with endpoint(lambda _request: answer) as client:
        said = converse(client, scenario(turns=["a", "b"]), "c1", list)
    assert len(said) == 1 and says in (said[0].error or "")


def test_nobody_there_and_a_refusal_are_errors() -> None:
    with httpx.Client(base_url="http://127.0.0.1:9", trust_env=False) as client:
        assert "no answer: ConnectError" in (ask(client, "a").error or "")
    transport = httpx.MockTransport(lambda _request: httpx.Response(503, text="busy"))
    with httpx.Client(base_url="http://kefu", transport=transport) as client:
        assert ask(client, "a", notes="b").error == "HTTP 503: busy"


class Agent:
    """An agent that asks for the number, then the address, then a yes; it proposes `first` before the right thing."""

    def __init__(self, first: dict[str, Any] | None = None) -> None:
        self.heard: list[str] = []
        self.proposals = [MOVE] if first is None else [first, MOVE]
        self.done: list[Call] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        text = request["messages"][-1]["content"]
        self.heard.append(text)
        said = " ".join(self.heard)
        if "480263" not in said:
            return body("Which order number is it?")
        if ADDRESS not in said:
            return body("And the new address?")
        if agrees(text) or text == "confirm 4821":
            self.done.append(Call(**MOVE, write=True))
            return body("Done.")
        proposal = self.proposals.pop(0)
        return body("Please confirm.", confirmation={**proposal, "code": "4821", "id": "x"})

    def ran(self) -> list[Call]:
        done, self.done = self.done, []
        return done


def simulated(agent: Agent, trial: int = 0) -> tuple[Exchange, ...]:
    knows = {"order_id": "480263", "new_addr": ADDRESS}
    with endpoint(agent.answer) as client:
        return converse(client, scenario(expect=[MOVE], knows=knows), "c", agent.ran, trial=trial)


def test_a_simulated_customer_gives_what_is_asked_for_and_confirms() -> None:
    ways = set()
    for trial in range(6):
        agent = Agent()
        said = simulated(agent, trial)
        assert [len(x.calls) for x in said] == [0, 0, 0, 1]
        assert "480263" in agent.heard[1] and ADDRESS not in agent.heard[1] and ADDRESS in agent.heard[2]
        ways.add(tuple(agent.heard))
        assert simulated(Agent(), trial) == said  # the same trial says the same
    assert len(ways) > 1


def test_a_simulated_customer_refuses_what_they_did_not_ask_for() -> None:
    wrong = {"tool": "update_delivery_address", "arguments": {"order_id": "480263", "new_addr": "Somewhere else"}}
    agent = Agent(wrong)
    said = simulated(agent)
    assert agent.heard[3].startswith(REFUSING["en"]) and said[-1].calls and said[2].proposed is not None


def test_a_simulated_customer_gives_up() -> None:
    with endpoint(lambda _request: body("What do you mean?")) as client:
        said = converse(client, scenario(expect=[MOVE], knows={"order_id": "480263", "phone": "123"}), "c", list)
    assert len(said) == 9 and "480263" in said[1].customer and "123" in said[1].customer


@pytest.mark.parametrize(
    "text",
    ["yes", "Yes, that's right.", "Yes, that’s correct!", "OK", "please do", "confirm 4821", "确认 4821", "是的",
     "好的，请修改", "对的，没错", "没问题", "可以", "“好的”", *AGREEING["en"][:2], *AGREEING["zh"][:2]],
)  # fmt: skip
def test_a_yes(text: str) -> None:
    assert agrees(text)


@pytest.mark.parametrize(
    "text",
    ["no", "Please change the address of order 5 to X", "yes?", "yes, but not today", "yes if it is free", "Would you?",
     "Yes, that is right, and now something that goes on and on until nobody knows any more", "不是",
     "好吗", "可以，不过先等等", "如果今天能发货就改。", "麻烦把地址改一下", "算了，不改了。",
     "“好的”两个字怎么写？", "", "Yesterday", *REFUSING.values()],
)  # fmt: skip
def test_no_yes(text: str) -> None:
    assert not agrees(text)


@given(st.text(max_size=80))
def test_a_question_or_a_denial_is_never_a_yes(text: str) -> None:
    for doubt in ("?", "？", " not", " but", "不", "吗"):
        assert not agrees(f"yes {text}{doubt} x") and not agrees(f"好 {text}{doubt} x")
