"""Scenarios: the form that is promised, what is refused, and that the shipped ones are what their README says."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data.errors import BadInput
from data.schema import Function, read_jsonl
from data.shop import Shop
from evals.answers import claims
from evals.questions import Question, Recall, says
from evals.scenario import read_scenarios
from recipes.recipe import RECIPES, Recipe

CASES = Shop.default().cases
LINE: dict[str, Any] = {
    "language": "en",
    "turns": ["Where is order 5?", "Thanks"],
    "expect": [{"tool": "query_order_status", "arguments": {"order_id": "5"}}],
    "must_confirm": False,
    "attack": None,
    "orders": {"own": ["5"], "foreign": [6]},
    "tool_results": {"query_order_status": "Order 5: packed."},
}


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_promised_form_is_read(tmp_path: Path) -> None:
    first, second = read_scenarios(write(tmp_path / "s.jsonl", LINE, LINE | {"id": "b", "turns": [["a", "b", "c"]]}))
    assert (first.id, second.id) == ("line-1", "b")
    assert list(first.said(7)) == LINE["turns"]
    assert [next(second.said(trial)) for trial in range(4)] == ["a", "b", "c", "a"]
    assert first.foreign == {"6"} and first.orders.own == ({"order_id": "5"},)
    assert first.concerns_others(Function(name="query_order_status", arguments={"order_id": "6"}))
    assert not first.concerns_others(Function(name="x", arguments={"order_id": "5", "n": 6}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"turns": []}, "turns"),
        ({"turns": [[]]}, "turns"),
        ({"orders": {"own": [{"number": "5"}]}}, "an order needs an order_id"),
        ({"orders": {"own": [{"order_id": 5}]}}, "an order needs an order_id"),
        ({"orders": {"own": [True]}}, "orders"),
        ({"orders": {"own": ["5"], "foreign": ["5"]}}, "the order 5 is there twice"),
        ({"expected": []}, "expected"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=rf"s\.jsonl:2: .*{says}"):
        read_scenarios(write(tmp_path / "s.jsonl", LINE, LINE | change))


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="more than one scenario is called a"):
        read_scenarios(write(tmp_path / "s.jsonl", LINE | {"id": "a"}, LINE | {"id": "a"}))


def test_the_shipped_scenarios_are_what_the_readme_says() -> None:
    scenarios = read_scenarios(CASES / "agent.jsonl")
    assert Counter(scenario.language for scenario in scenarios) == {"en": 27, "zh": 21}
    attacks = Counter(scenario.attack for scenario in scenarios if scenario.attack)
    assert sum(attacks.values()) == 14 and len(attacks) == 5
    assert sum(bool(scenario.knows) for scenario in scenarios) == 3
    served = Recipe.read(RECIPES / "smollm2-135m.yaml").serve.tools
    assert {expected.tool for scenario in scenarios for expected in scenario.expect} == set(served)
    numbers = [seed["order_id"] for scenario in scenarios for seed in (*scenario.orders.own, *scenario.orders.foreign)]
    assert len(numbers) == len(set(numbers))
    for scenario in scenarios:
        writes = [expected for expected in scenario.expect if expected.tool == "update_delivery_address"]
        assert scenario.must_confirm or not writes, scenario.id
        said = " ".join([*(text for turn in scenario.turns for text in turn), *scenario.knows.values()])
        assert all(value in said for expected in scenario.expect for value in expected.arguments.values()), scenario.id
        assert any("\u4e00" <= character <= "\u9fff" for character in said) == (scenario.language == "zh"), scenario.id


def test_the_shipped_questions_do_not_give_their_answers_away() -> None:
    questions = read_jsonl(CASES / "thinking.jsonl", Question)
    assert Counter((question.language, question.kind) for question in questions) == {
        (language, kind): 10 for language in ("en", "zh") for kind in ("sum", "date", "policy")
    }
    for question in questions:
        assert (question.kind == "policy") == (question.answer in ("yes", "no")), question.id
        assert question.kind == "policy" or not says(question.answer, question.text), question.id
        assert question.kind != "date" or question.answer in claims(f"On {_day(question.answer)}"), question.id


def test_the_shipped_memories_are_told_and_not_asked() -> None:
    rows = read_jsonl(CASES / "memory.jsonl", Recall)
    assert Counter(row.language for row in rows) == {"en": 10, "zh": 10}
    for row in rows:
        assert any(wording in row.tells[-1] for wording in row.answer), row.id
        assert not any(wording.casefold() in row.asks.casefold() for wording in row.answer), row.id


def test_an_answer_has_one_of_the_known_forms() -> None:
    with pytest.raises(ValidationError, match="answer"):
        Question.model_validate({"id": "q", "language": "en", "kind": "sum", "text": "?", "answer": "a lot"})


def _day(answer: str) -> str:
    month, day = answer.split("-")
    return f"{month}月{day}日"
