"""The gate, refusal by refusal. Over 300 lines because every reason that it can give has a small test of its own here."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.evidence import Check, Evidence
from evals.gate import Decision, decide
from evals.metrics import Evaluation, case_digests
from evals.predict import Prediction
from recipes.recipe import GateRecipe
from tests.evals.conftest import LABELS, intent_predictions, tool_predictions
from tests.evals.conftest import unsummarized as evaluation

N = 400
EN = intent_predictions(N)
PERFECT = evaluation(EN, tool_predictions(40), digest="bf16")


def thresholds(**changes: Any) -> GateRecipe:
    """The real bars; with power 0.7 they take 349 cases instead of 442."""
    bars: dict[str, Any] = {"languages": ("en",), "intent_f1": 0.924, "retention": 0.97, "tool_calls": 0.9}
    bars["power"] = 0.7
    return GateRecipe(**(bars | changes))


def judged(
    predictions: list[Prediction],
    *,
    tools: list[int] | None = None,
    bf16: Evaluation | None = None,
    champion: Evaluation | None = None,
    **changes: Any,
) -> Decision:
    """The decision on `predictions` with 40 tool cases; the reference gets everything right unless given."""
    perfect = [p.model_copy(update={"predicted": p.case.intent, "error": None}) for p in predictions]
    reference = bf16 or (PERFECT if perfect == EN else evaluation(perfect, tool_predictions(40), digest="bf16"))
    return decide(
        evaluation(predictions, tool_predictions(40, tools or [])), reference, champion, thresholds(**changes)
    )


def failing(predictions: list[Prediction], indices: list[int], error: str | None = None) -> list[Prediction]:
    return [
        p.model_copy(update={"predicted": None, "error": error}) if i in indices else p
        for i, p in enumerate(predictions)
    ]


def test_each_series_of_cases_is_scored_beside_the_whole() -> None:
    predictions = [
        p.model_copy(update={"case": p.case.model_copy(update={"series": 1 + (k >= 160)})})
        for k, p in enumerate(intent_predictions(N, [5, 200, 300]))
    ]
    figures: dict[str, Any] = dict(judged(predictions).figures)
    parts = [figures[f"intent_macro_f1.en.series_{n}"] for n in (1, 2)]
    assert parts == pytest.approx([1 - 1 / 160, 1 - 2 / 240], abs=1e-4)
    assert parts[1] < figures["intent_macro_f1.en"] < parts[0]
    assert [figures[f"intent_cases.en.series_{n}"] for n in (1, 2)] == [160, 240]
    assert not any("series" in name for name in judged(intent_predictions(N)).figures)


def test_a_good_candidate_passes_with_every_number() -> None:
    held = intent_predictions(200, [0], held_out=True)
    decision = judged([*intent_predictions(N, [5, 77]), *held], tools=[1])
    assert decision.passed and decision.reasons == ()
    figures: dict[str, Any] = dict(decision.figures)
    assert figures["intent_macro_f1"] == figures["intent_macro_f1.en"] == pytest.approx(1 - 2 / N, abs=1e-4)
    assert figures["intent_f1_lower"] == figures["intent_f1_lower.en"]
    assert figures["intent_f1_lower.en"] < figures["intent_macro_f1"] < figures["intent_f1_upper.en"]
    assert (figures["intent_cases.en"], figures["intent_accuracy.en"]) == (N, 398 / N)
    assert (figures["retention_n"], figures["retention_lost"], figures["retention_gained"]) == (600, 3, 0)
    assert figures["retention"] == figures["retention_accuracy"] == pytest.approx(597 / 600)
    assert figures["retention_accuracy_bf16"] == 1.0
    assert 0.97 < figures["retention_lower"] < figures["retention"]
    assert figures["retention_n_required"] == 349
    assert figures["tool_call_accuracy"] == figures["tool_call_accuracy.en"] == 39 / 40
    assert figures["tool_call_lower"] < 39 / 40 < figures["tool_call_upper"]
    assert (figures["tool_call_cases"], figures["tool_call_due"], figures["tool_call_restraint"]) == (40, 25 / 26, 1.0)
    assert (figures["tool_call_name"], figures["tool_call.query_order_status.order_id"]) == (25 / 26, 25 / 26)
    assert (figures["tool_call_unfinished"], figures["tool_call_surplus"]) == (0, 0)
    assert (figures["leaks.thinking"], figures["leaks.markup"]) == (0, 0)
    assert figures["unparsable"] == 0.0
    assert (figures["candidate.model"], figures["bf16.model"]) == ("fp8", "bf16")
    assert figures["candidate.numeric_path"] == "w8a8" and figures["candidate.failed"] == 0
    asked = case_digests(LABELS, [*intent_predictions(N), *held], tool_predictions(40))
    assert {name: figures[f"digest.{name}"] for name in asked} == asked and len(asked) == 4
    assert "champion_ratio" not in figures and "champion.model" not in figures
    assert GateRecipe(**decision.thresholds) == thresholds()
    assert [test.skill for test in decision.tests] == list(LABELS)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_low_f1_names_the_weakest() -> None:
    wrong = [i for i in range(N) if i % 4 == 1 and i % 3 == 0]  # a third of refund_status becomes return_item
    decision = judged(intent_predictions(N, wrong))
    assert not decision.passed
    value = decision.figures["intent_macro_f1"]
    assert decision.reasons[0].startswith(
        f"intent F1 {int(float(value) * 1000) / 1000:.3f} < 0.924 (gate.intent_f1, en); "
    )
    assert "weakest: refund_status 0.80, return_item 0.86, " in decision.reasons[0]


def test_f1_at_the_bar_passes_and_just_below_does_not() -> None:
    predictions = intent_predictions(N, list(range(0, 20)))
    at = float(judged(predictions).figures["intent_macro_f1"])
    kept = evaluation(predictions, tool_predictions(40), digest="bf16")
    assert judged(predictions, bf16=kept, intent_f1=at).passed
    (reason,) = judged(predictions, bf16=kept, intent_f1=at + 1e-9).reasons
    assert reason.startswith(f"intent F1 {int(at * 1000) / 1000:.3f} < ")


def test_the_worst_language_counts() -> None:
    chinese = intent_predictions(N, list(range(0, 60)), language="zh")
    both = [*EN, *chinese]
    assert judged(both).passed  # Chinese is reported, not gated
    decision = judged(both, languages=("en", "zh"))
    assert decision.figures["intent_macro_f1"] == decision.figures["intent_macro_f1.zh"]
    assert decision.figures["intent_macro_f1.en"] == 1.0
    assert decision.figures["retention_n"] == 2 * N
    assert any("(gate.intent_f1, zh)" in reason for reason in decision.reasons)


def test_held_out_cases_do_not_lift_f1() -> None:
    decision = judged([*intent_predictions(N, list(range(60))), *intent_predictions(2000, held_out=True)])
    assert decision.figures["intent_cases.en"] == N and not decision.passed


def test_a_subset_of_intents_is_gated_and_the_rest_is_other() -> None:
    wrong = [i for i in range(N) if i % 4 == 2 and i % 3]  # most return_item is taken for out_of_scope
    predictions = intent_predictions(N, wrong)
    kept = evaluation(predictions, tool_predictions(40), digest="bf16")
    assert not judged(predictions, bf16=kept).passed
    decision = judged(predictions, bf16=kept, intents=("order_status", "refund_status"))
    assert decision.passed and decision.figures["intent_macro_f1"] == 1.0


def test_a_gated_intent_without_cases_is_refused() -> None:
    decision = judged(EN, intents=("order_status", "invoice_request"))
    assert decision.reasons == ("no frozen en case of invoice_request; add at least one of each",)


def test_a_gated_language_without_cases_is_refused() -> None:
    decision = judged(EN, languages=("en", "zh"))
    assert decision.reasons == (
        f"no frozen zh case of {', '.join(LABELS)}; add at least one of each",
        "figure intent_macro_f1 is missing (gate.require)",
    )
    alone = judged(EN, languages=("zh",))
    assert "no labelled case in zh to compare with BF16" in alone.reasons
    missing = {f"figure {name} is missing (gate.require)" for name in thresholds().require}
    assert missing <= set(alone.reasons)


def test_nothing_evaluated_is_refused() -> None:
    empty = evaluation([])
    decision = decide(empty, evaluation([], digest="bf16"), empty, thresholds())
    assert not decision.passed and len(decision.reasons) >= 6


def test_lost_accuracy_is_refused_with_the_number_of_cases() -> None:
    decision = judged(intent_predictions(N, list(range(0, 16))), intent_f1=0.9)
    (reason,) = decision.reasons
    assert reason.startswith("retention lower bound 0.9") and " < 0.97 (gate.retention): 0.960 over n=400, " in reason
    assert (
        "16 lost and 0 gained by quantization; at this disagreement " not in reason
    )  # accuracy 1 leaves no room for it


def test_an_undecided_retention_says_how_many_cases_are_missing() -> None:
    reference = evaluation(intent_predictions(N, list(range(0, 10))), tool_predictions(40), digest="bf16")
    assert judged(intent_predictions(N, list(range(5, 15))), bf16=reference).passed
    reference = evaluation(intent_predictions(N, list(range(0, 28))), tool_predictions(40), digest="bf16")
    (reason,) = judged(intent_predictions(N, list(range(28, 56))), bf16=reference, intent_f1=0.9).reasons
    assert ": 1.000 over n=400, 28 lost and 28 gained by quantization; at this disagreement " in reason
    needed = int(reason.split("disagreement ")[1].split()[0])
    assert reason.endswith(f"{needed} cases are needed, {needed - N} missing")


def test_too_few_cases_name_n_and_the_number_missing() -> None:
    (reason,) = judged(intent_predictions(300)).reasons
    assert reason == (
        "too few cases: n=300 in en, retention 0.97 with power 0.7 (gate.power) needs 349; 49 missing: "
        "add labelled cases or hold out more utterances (data.validation)"
    )
    assert judged([*intent_predictions(300), *intent_predictions(49, held_out=True)]).passed
    assert not judged([*intent_predictions(300), *intent_predictions(48, held_out=True)]).passed


@pytest.mark.parametrize("changes", [{"retention": 1.0}, {"retention": 0.995}, {"power": 1.0}])
def test_bars_that_no_number_of_cases_shows(changes: dict[str, Any]) -> None:
    decision = judged(EN, **changes)
    assert "set gate.retention below 0.995 and gate.power below 1" in decision.reasons[0]
    assert "retention_n_required" not in decision.figures


@pytest.mark.parametrize("changed", ["text", "intent", "dropped", "held_out", "labels"])
def test_a_reference_on_other_cases_is_refused(changed: str) -> None:
    predictions, options = [*EN, *intent_predictions(9, held_out=True)], {}
    other = list(predictions)
    if changed == "dropped":
        other.pop()
    elif changed == "held_out":
        other[0] = other[0].model_copy(update={"held_out": True})
    elif changed == "labels":
        options = {"labels": (*LABELS, "more")}
    else:
        other[3] = other[3].model_copy(update={"case": other[3].case.model_copy(update={changed: "return_item"})})
    bf16 = evaluation(other, tool_predictions(40), digest="bf16", **options)
    decision = judged(predictions, bf16=bf16)
    assert decision.reasons[0].startswith("BF16 was evaluated on other cases (")
    assert decision.reasons[1:] == ("figure retention is missing (gate.require)",)


def test_written_digests_are_not_believed() -> None:
    whole = evaluation(EN, tool_predictions(40), digest="bf16")
    cut = whole.model_copy(update={"predictions": whole.predictions[:-1]})
    assert judged(EN, bf16=cut).reasons[0] == "BF16 was evaluated on other cases (intents); evaluate both on the same"


def test_other_tool_cases_of_the_reference_are_refused() -> None:
    bf16 = evaluation(EN, tool_predictions(39), digest="bf16")
    assert judged(EN, bf16=bf16).reasons[0].startswith("BF16 was evaluated on other cases (tools)")


def test_the_candidate_is_no_reference_for_itself() -> None:
    bf16 = evaluation(EN, tool_predictions(40), digest="fp8")
    (reason,) = judged(EN, bf16=bf16).reasons
    assert reason.startswith("the BF16 reference is the candidate itself")


def test_a_reference_with_failed_requests_is_refused() -> None:
    bf16 = evaluation(failing(EN, [1, 2], "HTTP 500"), tool_predictions(40), digest="bf16")
    decision = judged(EN, bf16=bf16)
    assert decision.reasons == (
        "2 requests of the BF16 evaluation failed, which flatters the candidate; evaluate it again",
    )
    assert decision.figures["bf16.failed"] == 2
    unparsable = evaluation(failing(EN, [1, 2]), tool_predictions(40), digest="bf16")
    assert judged(EN, bf16=unparsable).passed


def test_tool_calls() -> None:
    assert judged(EN, tools=[0, 1, 2, 3]).passed
    (reason,) = judged(EN, tools=[0, 1, 2, 3, 4, 5]).reasons
    ids = ", ".join(f"tool-en-{i}" for i in range(5))
    assert reason == f"tool calls 0.850 < 0.9 (gate.tool_calls); wrong: {ids} and 1 more"
    (reason,) = judged(EN, tools=[0, 1, 2, 3, 4]).reasons
    assert reason == f"tool calls 0.875 < 0.9 (gate.tool_calls); wrong: {ids}"


def test_tool_cases_of_other_languages_do_not_count() -> None:
    tools = [*tool_predictions(10), *tool_predictions(10, list(range(10)), language="zh")]
    candidate, bf16 = evaluation(EN, tools), evaluation(EN, tools, digest="bf16")
    assert decide(candidate, bf16, None, thresholds()).figures["tool_call_accuracy"] == 1.0
    only_due = evaluation(EN, tool_predictions(3)[1:]), evaluation(EN, tool_predictions(3)[1:], digest="bf16")
    assert "tool_call_restraint" not in decide(*only_due, None, thresholds()).figures


def test_missing_tool_cases_fail_only_where_required() -> None:
    candidate, bf16 = evaluation(EN), evaluation(EN, digest="bf16")
    decision = decide(candidate, bf16, None, thresholds())
    assert decision.reasons == ("figure tool_call_accuracy is missing (gate.require)",)
    assert decide(candidate, bf16, None, thresholds(require=("intent_macro_f1", "retention"))).passed


def test_unparsable_labels() -> None:
    kept = evaluation(failing(EN, list(range(9))), tool_predictions(40), digest="bf16")
    assert judged(failing(EN, list(range(8))), bf16=kept).passed
    (reason,) = judged(failing(EN, list(range(9)), "HTTP 500"), bf16=kept).reasons
    assert reason == "unparsable labels 0.022 > 0.02 (gate.unparsable): 9 of 400, 9 of them failed requests"


def test_empty_generations_fail_everything() -> None:
    reasons = judged(failing(EN, list(range(N)))).reasons
    for bar in ("gate.intent_f1", "gate.retention", "gate.unparsable"):
        assert any(bar in reason for reason in reasons)


def test_one_destroyed_intent_is_named() -> None:
    wrong = [i for i in range(40) if i % 4 == 3]
    (reason,) = judged(intent_predictions(1200, wrong)).reasons
    assert reason.startswith(
        "out_of_scope is worse than with BF16: 10 of 300 cases lost, 0 gained (McNemar, Holm p=0.0039"
    )


def test_against_a_champion() -> None:
    champion = evaluation(EN, tool_predictions(40), digest="champion", numeric_path="w8a16-amx")
    decision = judged(intent_predictions(N, [1, 2]), champion=champion)
    assert decision.passed
    assert decision.figures["champion_n"] == N and decision.figures["champion.numeric_path"] == "w8a16-amx"
    assert decision.figures["champion_ratio"] == pytest.approx(398 / 400)
    assert 0.97 < float(decision.figures["champion_ratio_lower"]) < 398 / 400


def test_worse_than_the_champion() -> None:
    worse = intent_predictions(N, list(range(0, 40, 2)))
    same = evaluation(worse, tool_predictions(40), digest="bf16")
    decision = judged(worse, bf16=same, champion=evaluation(EN, tool_predictions(40), digest="champion"))
    assert decision.reasons[0].startswith("not shown to be as good as the champion: lower bound 0.9")
    assert "of its accuracy, 0.950 over n=400, 20 lost and 0 gained" in decision.reasons[0]
    assert "order_status is worse than with the champion: 10 of 100 cases lost, 0 gained" in decision.reasons[1]
    assert "return_item is worse than with the champion" in decision.reasons[2]


def test_a_champion_on_other_cases_must_be_evaluated_again() -> None:
    reason = "the champion was evaluated on other cases ({}); evaluate it again on the candidate's"
    fewer = evaluation(intent_predictions(N - 1), tool_predictions(40), digest="c")
    assert judged(EN, champion=fewer).reasons == (reason.format("intents"),)
    labels = evaluation(EN, tool_predictions(40), digest="c", labels=LABELS[::-1])
    assert judged(EN, champion=labels).reasons == (reason.format("labels"),)
    tools = evaluation(EN, tool_predictions(39), digest="c")
    assert judged(EN, champion=tools).reasons == (reason.format("tools"),)


def test_a_champion_of_another_corpus_is_compared_on_the_frozen_cases_alone() -> None:
    held = intent_predictions(100, held_out=True)
    mine = [*EN, *held]
    assert judged(mine, champion=evaluation(mine, tool_predictions(40), digest="c")).figures["champion_n"] == 500
    other = evaluation([*EN, *held[:50]], tool_predictions(40), digest="c")
    decision = judged(mine, champion=other)
    assert decision.passed and decision.figures["champion_n"] == N


def test_a_champion_with_failed_requests_is_refused() -> None:
    failed = tool_predictions(1)[0].model_copy(update={"error": "HTTP 500"})
    champion = evaluation(failing(EN, [0], "HTTP 500"), [failed, *tool_predictions(40)[1:]], digest="c")
    assert judged(EN, champion=champion).reasons == (
        "2 requests of the champion's evaluation failed; evaluate it again",
    )


def test_tools_that_got_worse_than_the_champions_are_named() -> None:
    champion = evaluation(EN, tool_predictions(40), digest="c")
    (reason,) = judged(EN, tools=[i for i in range(40) if i % 3 == 0][:9], champion=champion, tool_calls=0.5).reasons
    assert reason.startswith(
        "restraint is worse than with the champion: 9 of 14 cases lost, 0 gained (McNemar, Holm p="
    )
    due = [i for i in range(40) if i % 3][:9]
    (reason,) = judged(EN, tools=due, champion=champion, tool_calls=0.5).reasons
    assert reason.startswith("tool calls is worse than with the champion: 9 of 26 cases lost")
    before = judged(EN, champion=champion).tests
    assert [(t.skill, t.reference, t.cases) for t in before[-2:]] == [
        ("tool calls", "the champion", 26),
        ("restraint", "the champion", 14),
    ]


def test_each_gated_language_is_protected_and_slices_that_the_recipe_names() -> None:
    chinese = intent_predictions(N, language="zh")
    champion = evaluation([*EN, *chinese], tool_predictions(40), digest="c")
    worse = [*EN, *intent_predictions(N, list(range(0, 44, 4)), language="zh")]
    same = evaluation(worse, tool_predictions(40), digest="bf16")
    both: Any = {"bf16": same, "champion": champion, "languages": ("en", "zh")}
    reasons = judged(worse, **both).reasons
    assert reasons[0].startswith("not shown to be as good as the champion on zh: lower bound 0.95")
    assert not any("champion on en" in r or "champion: lower" in r for r in reasons)
    figures = judged(worse, **both, protect={"zh": 0.9, "hard": 0.9}).figures
    assert (figures["champion.zh_n"], figures["champion.zh_lost"], figures["champion.en_ratio"]) == (N, 11, 1.0)
    assert figures["champion.hard_n"] == 2 * sum(p.case.style == "typos" for p in EN)
    reasons = judged(EN, champion=evaluation(EN, tool_predictions(40), digest="c"), protect={"slang": 0.9}).reasons
    assert reasons == ("no case to compare with the champion on slang: add labelled cases or change gate.protect",)


def test_restraint() -> None:
    quiet = [i for i in range(40) if i % 3 == 0]
    assert judged(EN, tools=quiet[:1], restraint=0.9).passed  # 13 of 14
    (reason,) = judged(EN, tools=quiet[:2], restraint=0.9).reasons
    assert reason == (
        "restraint 0.857 < 0.9 (gate.restraint): 2 of 14 cases in which no call is due: tool-en-0, tool-en-3"
    )
    due = tool_predictions(3)[1:]
    for tools in ([], due):
        candidate, bf16 = evaluation(EN, tools), evaluation(EN, tools, digest="bf16")
        reasons = decide(candidate, bf16, None, thresholds(restraint=0.9, require=())).reasons
        assert reasons == ("no tool case without a due call in en (gate.restraint); add some",)
    spoken = thresholds(restraint=0.9, require=(), languages=("en", "zh"))
    reasons = decide(evaluation(EN), evaluation(EN, digest="bf16"), None, spoken).reasons
    assert "no tool case without a due call in en, zh (gate.restraint); add some" in reasons


def test_a_call_that_fits_no_schema_is_counted() -> None:
    schema = {"type": "object", "properties": {"order_id": {"type": "integer"}}}
    offered = [{"type": "function", "function": {"name": "query_order_status", "parameters": schema}}]
    candidate = evaluation(EN, tool_predictions(40), offered=offered)
    assert decide(candidate, PERFECT, None, thresholds()).figures["tool_call_valid"] == 0.0


@pytest.mark.parametrize("leak", [{"raw": "<think>hm"}, {"raw": "x</think>"}, {"reasoning": "let me see"}])
def test_thinking_that_leaks_is_refused(leak: dict[str, str]) -> None:
    tools = tool_predictions(40)
    leaking = [*tools[:9], tools[9].model_copy(update=leak), *tools[10:]]
    labelled = [EN[0].model_copy(update=leak), EN[1].model_copy(update={"reasoning": " \n"}), *EN[2:]]
    decision = decide(evaluation(labelled, leaking), PERFECT, None, thresholds())
    assert decision.reasons == (
        "thinking in 2 of 440 answers although it is off, 0 allowed (gate.thinking_leaks): en-frozen-0, tool-en-9",
    )
    assert decide(evaluation(labelled, leaking), PERFECT, None, thresholds(thinking_leaks=2)).passed


def test_marks_of_the_template_are_counted_and_refused_where_a_bar_is_set() -> None:
    tools = tool_predictions(40)
    for mark in ("<tool_call>", "</tool_response>", "<|im_end|>"):
        candidate = evaluation(EN, [tools[0].model_copy(update={"raw": f"Hello{mark}"}), *tools[1:]])
        decision = decide(candidate, PERFECT, None, thresholds())
        assert decision.passed and decision.figures["leaks.markup"] == 1
        (reason,) = decide(candidate, PERFECT, None, thresholds(markup_leaks=0)).reasons
        assert reason == "marks of the template in 1 of 440 answers, 0 allowed (gate.markup_leaks): tool-en-0"
    nameless = [EN[0].model_copy(update={"case": EN[0].case.model_copy(update={"id": ""}), "reasoning": "x"}), *EN[1:]]
    asked = evaluation([p.model_copy(update={"reasoning": ""}) for p in nameless], tool_predictions(40), digest="bf16")
    (reason,) = decide(evaluation(nameless, tools), asked, None, thresholds()).reasons
    assert reason.endswith(": a case without id")


def test_the_evidence_of_others_counts() -> None:
    evidence = Evidence(checks=(Check(name="parity", cases=64, failed=1, examples=("zh, thinking on",)),))
    decision = decide(evaluation(EN, tool_predictions(40)), PERFECT, None, thresholds(), evidence)
    assert decision.reasons == ("parity: 1 of 64 failed: zh, thinking on",)
    assert (decision.figures["check.parity.cases"], decision.figures["check.parity.failed"]) == (64, 1)


@settings(deadline=None, max_examples=8)
@given(st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.sets(st.integers(0, 9)))
def test_it_never_raises_and_passes_only_without_reasons(wrong: set[int], reference: set[int], tools: set[int]) -> None:
    candidate = evaluation(intent_predictions(60, sorted(wrong)), tool_predictions(10, sorted(tools)))
    bf16 = evaluation(intent_predictions(60, sorted(reference)), tool_predictions(10), digest="bf16")
    decision = decide(candidate, bf16, bf16, thresholds())
    assert decision.passed == (not decision.reasons) and not decision.passed  # 60 cases are too few for any power
    assert decision == decide(candidate, bf16, bf16, thresholds())
