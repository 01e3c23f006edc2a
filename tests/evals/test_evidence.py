from typing import Any

import pytest

from evals.answers import Answer, answer_figures
from evals.evidence import Check, Evidence, Performance, answers, checks, performance, trained_on
from recipes.recipe import Floors, GateRecipe
from tests.evals.conftest import intent_predictions


def thresholds(**changes: Any) -> GateRecipe:
    bars: dict[str, Any] = {"languages": ("en",), "intent_f1": 0.924, "retention": 0.97, "tool_calls": 0.9}
    return GateRecipe(**(bars | changes))


def test_a_failing_check_names_what_failed() -> None:
    cells = tuple(f"cell {k}" for k in range(7))
    evidence = Evidence(
        checks=(
            Check(name="conformance", cases=96, failed=7, examples=cells),
            Check(name="parity", cases=40, failed=0),
            Check(name="agent", cases=0, failed=0),
            Check(name="faq", cases=9, failed=2),
            Check(name="five", cases=9, failed=5, examples=cells[:5]),
        )
    )
    found = checks(evidence, thresholds(checks=("parity", "chaos")))
    assert found.reasons == [
        "conformance: 7 of 96 failed: cell 0, cell 1, cell 2, cell 3, cell 4 and 2 more",
        "agent: nothing was checked; run it on at least one case",
        "faq: 2 of 9 failed",
        "five: 5 of 9 failed: cell 0, cell 1, cell 2, cell 3, cell 4",
        "the check chaos did not run (gate.checks)",
    ]
    assert found.figures["check.conformance.failed"] == 7 and found.figures["check.parity.cases"] == 40
    assert checks(Evidence(), thresholds()).reasons == []


def test_evaluation_on_training_rows_is_found() -> None:
    cases = [*intent_predictions(8), *intent_predictions(2, held_out=True)]
    clean = trained_on(["something else"], cases)
    assert (clean.cases, clean.failed, clean.examples) == (10, 0, ())
    leaked = trained_on(["TEXT of en-frozen-3!", "text of en-held-1", "more"], cases)
    assert (leaked.failed, leaked.examples) == (2, ("'text of en-frozen-3'", "'text of en-held-1'"))
    (reason,) = checks(Evidence(checks=(leaked,)), thresholds()).reasons
    assert reason == "training rows: 2 of 10 failed: 'text of en-frozen-3', 'text of en-held-1'"
    assert len(trained_on([p.case.text for p in cases], cases).examples) == 5


@pytest.mark.parametrize(
    ("floors", "reasons"),
    [
        ({}, []),
        ({"tokens_per_s": 100}, []),
        ({"tokens_per_s": 100.5}, ["tokens_per_s 100 < 100.5 (gate.floors.tokens_per_s)"]),
        ({"first_token_ms": 250}, []),
        ({"first_token_ms": 249}, ["first_token_ms 250 > 249 (gate.floors.first_token_ms)"]),
        ({"memory_mb": 4800}, ["memory_mb was not measured (gate.floors.memory_mb is 4800); run the benchmark first"]),
    ],
)
def test_floors(floors: dict[str, float], reasons: list[str]) -> None:
    evidence = Evidence(performance=Performance(tokens_per_s=100.0, first_token_ms=250.0))
    found = performance(evidence, thresholds(floors=Floors(**floors)))
    assert found.reasons == reasons
    assert found.figures == {"performance.tokens_per_s": 100.0, "performance.first_token_ms": 250.0}


def test_not_a_number_reaches_no_floor() -> None:
    nothing = Evidence(performance=Performance(memory_mb=float("nan"), tokens_per_s=float("nan")))
    found = performance(nothing, thresholds(floors=Floors(memory_mb=1, tokens_per_s=1)))
    assert found.reasons == [
        "tokens_per_s nan < 1 (gate.floors.tokens_per_s)",
        "memory_mb nan > 1 (gate.floors.memory_mb)",
    ]


def test_answers_are_held_against_bars_that_are_set() -> None:
    figures = answer_figures(
        [Answer("It takes 3 days.", "en", ()), Answer("I promise.", "en", ()), Answer("Yes.", "en", ())]
    )
    evidence = Evidence(answers=figures)
    found = answers(evidence, thresholds())
    assert found.reasons == []
    assert found.figures["answers.ungrounded"] == 1 and found.figures["answers.promises"] == 1
    assert "answers.examples" not in found.figures
    assert answers(evidence, thresholds(promises=0, ungrounded=0.3)).reasons == [
        "1 of 3 answers promise what no shop can (gate.promises)",
        "1 of 3 answers state what no source says, bar 0.3 (gate.ungrounded)",
    ]
    assert answers(evidence, thresholds(promises=1, ungrounded=1 / 3)).reasons == []


def test_bars_without_answers_are_not_reached() -> None:
    assert answers(Evidence(), thresholds()).reasons == []
    assert answers(Evidence(), thresholds(promises=3, ungrounded=0.5)).reasons == [
        "figure answers.promises is missing (gate.promises)",
        "figure answers.ungrounded is missing (gate.ungrounded)",
    ]
    nothing = Evidence(answers=answer_figures([]))
    assert answers(nothing, thresholds()).reasons == []
    (reason,) = answers(nothing, thresholds(promises=0, ungrounded=0.5)).reasons
    assert reason == "0 of 0 answers state what no source says, bar 0.5 (gate.ungrounded)"
