import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.chat import Row
from data.errors import CheckFailed
from data.shop import Shop
from evals.conversations import conversations
from evals.parity import Side, agreement, fewest_cases, first_difference, judge, wrong_ends
from evals.token_ids import greedy_ids, prompt_ids, stops_at
from tests.evals.conftest import FakeEngine

SHOP = Shop.default()
TOOLS = list(SHOP.tools.values())
IDS = st.lists(st.integers(0, 9), max_size=12)


def side(name: str, *ids: Sequence[int]) -> Side:
    return Side(name, ids, lambda some: "".join(chr(97 + token) for token in some))


@given(IDS, IDS)
def test_the_first_difference_is_the_first(one: list[int], other: list[int]) -> None:
    found = first_difference("c", side("a", one), side("b", other), 0)
    assert (found is None) == (one == other)
    if found is not None:
        place = found.position
        assert one[:place] == other[:place] and one[place : place + 1] != other[place : place + 1]


def test_a_difference_shows_both_texts_and_the_end() -> None:
    found = first_difference("label of 'hi'", side("trained", [0, 1, 2]), side("served", [0, 1]), 0)
    assert str(found) == "label of 'hi': token 2 differs; trained: 2 in 'ab⟨c⟩'; served: the end in 'ab⟨⟩'"


def test_a_rate_is_held_and_needs_enough_labels() -> None:
    names, right = [f"c{number}" for number in range(200)], [[1, 2]] * 200
    one_wrong = agreement(names, side("adapter", *right), side("merged", *right[1:], [1, 3]), 0.995)
    assert (one_wrong.rate, one_wrong.fault) == (0.995, None) and 0.97 < one_wrong.lower < 0.99
    two_wrong = agreement(names, side("adapter", *right), side("merged", *right[2:], [1, 3], [9]), 0.995)
    assert two_wrong.fault == (
        "adapter-merged: 198 of 200 labels are the same (99.0%), expected 99.5%; "
        "c198: token 1 differs; adapter: 2 in 'b⟨c⟩'; merged: 3 in 'b⟨d⟩'"
    )
    few = agreement(names[:150], side("adapter", *right[:150]), side("merged", *right[:150]), 0.995)
    assert few.fault == "adapter-merged: 150 labels cannot show a rate of 99.5%; 50 more are needed"
    assert [fewest_cases(rate) for rate in (0.995, 0.98, 0.97, 0.5)] == [200, 50, 34, 2]


def test_a_turn_must_end_as_the_trained_rows_do() -> None:
    assert wrong_ends(7, {"config.json": [7], "generation_config.json": [0, 7]}) == []
    assert wrong_ends(7, {"config.json": [0]}) == ["config.json ends a turn with 0, the trained rows with 7"]


def test_the_verdict_fails_closed() -> None:
    same = [side(name, [1, 2], [3]) for name in ("trained", "released", "served")]
    fine = judge(["a", "b"], same)
    assert (fine.passed, fine.token_ids_equal, fine.body()["prompts"]) == (True, True, 2)
    assert not judge(["a", "b"], same, missing=["the merged model"]).passed
    assert not judge(["a", "b"], same, ends=["config.json ends ..."]).passed
    for names, sides in (((), [side("trained"), side("served")]), (("a", "b"), same[:1])):
        nothing = judge(names, sides)
        assert (nothing.token_ids_equal, nothing.reasons) == (False, ("no prompts were compared",))
    other = judge(["a", "b"], [*same[:2], side("served", [1, 2], [4])])
    assert not other.token_ids_equal and not other.passed
    assert "b: token 0 differs; released: 3 in '⟨d⟩'; served: 4 in '⟨e⟩'" in other.reasons


def test_what_the_command_promises_is_plain_json() -> None:
    names, right = ["a"] * 50, [[1]] * 50
    found = judge(
        ["a"], [side("x", [1]), side("y", [1])], [agreement(names, side("m", *right), side("d", *right), 0.97)]
    )
    body = json.loads(json.dumps(found.body()))
    assert (body["prompts"], body["token_ids_equal"], body["labels_equal"], body["passed"]) == (
        1,
        True,
        {"m-d": 1},
        True,
    )


def test_conversations_cover_the_matrix() -> None:
    cases = conversations(SHOP.prompts, TOOLS)
    assert len({case.name for case in cases}) == len(cases) == 2 * 2 * 2 * 5
    rows = [case.row for case in cases]
    seen = {(row.language, row.thinking, row.tools is not None, len(row.messages)) for row in rows}
    turns = (1, 2, 4, 6, 9)
    assert seen == {(x, t, o, n) for x in ("en", "zh") for t in (False, True) for o in (False, True) for n in turns}
    assert all(message.reasoning_content is None for row in rows for message in row.messages)


def row(thinking: bool = False) -> Row:
    return next(c.row for c in conversations(SHOP.prompts, TOOLS) if c.row.tools and c.row.thinking == thinking)


def test_an_engine_is_asked_as_a_client_asks(fake_engine: FakeEngine) -> None:
    fake_engine.reply = lambda body: (200, {"tokens": [1, 2], "choices": [{"token_ids": [3], "finish_reason": "stop"}]})
    assert prompt_ids(fake_engine.base_url, "m", [row(), row(thinking=True)], 2) == [[1, 2], [1, 2]]
    assert greedy_ids(fake_engine.base_url, "m", [row()], 16, 2) == [[3]]
    assert stops_at(fake_engine.base_url, "m", [1, 2], 7)
    *asked, written, stopped = fake_engine.requests
    assert {one["path"] for one in asked} == {"/tokenize"}
    assert {one["chat_template_kwargs"]["enable_thinking"] for one in asked} == {False, True}
    assert asked[0]["tools"] == TOOLS and asked[0]["messages"][0]["role"] == "system"
    assert (written["path"], written["temperature"], written["max_tokens"]) == ("/v1/chat/completions", 0, 16)
    assert (stopped["prompt"], stopped["logit_bias"]) == ([1, 2], {"7": 100})


@pytest.mark.parametrize("answer", [(404, {"detail": "Not Found"}), (200, {}), (200, "<html>"), (200, None)])
def test_an_engine_without_token_ids_is_a_failed_check(fake_engine: FakeEngine, answer: tuple[int, Any]) -> None:
    fake_engine.reply = lambda body: answer
    with pytest.raises(CheckFailed, match="/tokenize"):
        prompt_ids(fake_engine.base_url, "m", [row()], 1)
