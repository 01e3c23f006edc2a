"""Faults planted into finished evaluations: each is refused, and a reason names it; the same gate passes the whole one."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from data.schema import IntentCase, Language
from evals.evidence import Check, Evidence, Performance, trained_on
from evals.gate import Decision, decide
from evals.metrics import Evaluation
from evals.predict import Prediction, ToolPrediction
from recipes.recipe import Floors, GateRecipe
from tests.evals.conftest import tool_predictions, unsummarized

LABELS = tuple(f"intent_{k}" for k in range(25))
BARS: dict[str, Any] = {"languages": ("en",), "intent_f1": 0.924, "retention": 0.97, "tool_calls": 0.9}
GATE = GateRecipe(
    **BARS, restraint=0.9, markup_leaks=0, floors=Floors(tokens_per_s=50), checks=("parity", "conformance")
)
CLEAN = (Check(name="parity", cases=64, failed=0), Check(name="conformance", cases=96, failed=0))
FAST = Performance(tokens_per_s=80.0)


def labelled(count: int, language: Language = "en", held_out: bool = False) -> list[Prediction]:
    """`count` cases over 25 intents; every twentieth is labelled wrongly."""
    found = []
    for k in range(count):
        style = "plain" if k % 3 else "typos"
        name = f"{language}-{'held' if held_out else 'frozen'}-{k}"
        case = IntentCase(id=name, text=f"text {name}", intent=LABELS[k % 25], language=language, style=style)
        wrong = k % 20 == 7
        found.append(Prediction(case=case, predicted=LABELS[(k + wrong) % 25], raw="x", held_out=held_out))
    return found


INTENTS = [*labelled(300), *labelled(300, held_out=True)]
TOOLS = tool_predictions(60, [4])


def built(
    intents: Sequence[Prediction] = INTENTS, tools: Sequence[ToolPrediction] = TOOLS, **changes: Any
) -> Evaluation:
    return unsummarized(intents, tools, **({"labels": LABELS} | changes))


BF16 = built(digest="bf16")
CHAMPION = built(digest="champion")


def judged(candidate: Evaluation, evidence: Evidence | None = None, bf16: Evaluation = BF16) -> Decision:
    return decide(candidate, bf16, CHAMPION, GATE, evidence or Evidence(checks=CLEAN, performance=FAST))


def changed(which: Callable[[int, Prediction], bool], **update: Any) -> Evaluation:
    return built([p.model_copy(update=update) if which(k, p) else p for k, p in enumerate(INTENTS)])


def relabelled(which: Callable[[int, Prediction], bool], label: Callable[[int], str]) -> Evaluation:
    return built([p.model_copy(update={"predicted": label(k)}) if which(k, p) else p for k, p in enumerate(INTENTS)])


def tools_changed(which: Callable[[ToolPrediction], bool], **update: Any) -> Evaluation:
    return built(tools=[p.model_copy(update=update) if which(p) else p for p in TOOLS])


def due(p: ToolPrediction) -> bool:
    return p.case.expect is not None


def idle(p: ToolPrediction) -> bool:
    return p.case.expect is None


def test_without_a_fault_it_passes() -> None:
    decision = judged(built())
    assert decision.reasons == () and decision.passed


FAULTS: dict[str, tuple[Callable[[], Evaluation], str]] = {
    "three points of quality lost": (
        lambda: changed(lambda k, p: k % 33 == 0, predicted="intent_3"),
        "retention lower bound 0.9",
    ),
    "one intent destroyed": (
        lambda: relabelled(lambda k, p: p.case.intent == "intent_5", lambda k: "intent_6"),
        "intent_5 is worse than with BF16: ",
    ),
    "two intents swapped": (
        lambda: relabelled(lambda k, p: p.case.intent in ("intent_1", "intent_2"), lambda k: f"intent_{3 - k % 25}"),
        "intent_2 is worse than with the champion: ",
    ),
    "empty generations": (lambda: changed(lambda k, p: True, predicted=None, raw=""), "unparsable labels 1.000 > 0.02"),
    "some empty generations": (lambda: changed(lambda k, p: k < 15, predicted=None), "15 of 600, 0 of them failed"),
    "timed-out requests": (lambda: changed(lambda k, p: k < 15, predicted=None, error="timeout"), "15 of them failed"),
    "shuffled labels": (lambda: relabelled(lambda k, p: True, lambda k: LABELS[k * 7 % 25]), "intent F1 0."),
    "one label for all": (lambda: relabelled(lambda k, p: True, lambda k: "intent_0"), "intent F1 0.003 < 0.924"),
    "an end token in the label": (
        lambda: changed(lambda k, p: True, predicted=None, raw="x<|im_end|>"),
        "marks of the t",
    ),
    "thinking left open": (
        lambda: tools_changed(idle, raw="<think>the customer wants", error=None),
        "thinking in 20 of 660 answers although it is off",
    ),
    "thinking in a field of its own": (lambda: changed(lambda k, p: k == 9, reasoning="hm"), "thinking in 1 of 660"),
    "tool calls cut at the end": (
        lambda: tools_changed(due, calls=(), raw='<tool_call>{"name": "q', error="cut", unfinished=True),
        "40 calls cut or malformed",
    ),
    "no calls": (
        lambda: tools_changed(due, calls=(), raw="Sure."),
        "tool calls 0.333 < 0.9 (gate.tool_calls); wrong: ",
    ),
    "a call for everything": (
        lambda: tools_changed(idle, calls=TOOLS[1].calls),
        "restraint 0.000 < 0.9 (gate.restraint)",
    ),
    "wrong arguments": (lambda: tools_changed(due, calls=TOOLS[1].calls), "tool calls is worse than with the champion"),
    "two cases left out": (lambda: built(INTENTS[2:]), "BF16 was evaluated on other cases (intents)"),
    "easier cases": (
        lambda: built([p for p in INTENTS if p.right]),
        "the champion was evaluated on other cases (intents)",
    ),
    "no tool cases": (lambda: built(tools=()), "figure tool_call_accuracy is missing"),
    "another order of labels": (lambda: built(labels=LABELS[::-1]), "BF16 was evaluated on other cases (labels)"),
    "nothing at all": (lambda: built([], []), "figure intent_macro_f1 is missing"),
    "the reference in disguise": (lambda: built(digest="bf16"), "the BF16 reference is the candidate itself"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_evaluation_is_refused_by_name(fault: str) -> None:
    planted, reason = FAULTS[fault]
    decision = judged(planted())
    assert not decision.passed and any(reason in found for found in decision.reasons), decision.reasons


FINDINGS: dict[str, tuple[Evidence, str]] = {
    "a leak of training rows": (
        Evidence(checks=(*CLEAN, trained_on([INTENTS[3].case.text], INTENTS)), performance=FAST),
        "training rows: 1 of 600 failed: 'text en-frozen-3'",
    ),
    "a failing cell": (
        Evidence(checks=(CLEAN[0], Check(name="conformance", cases=96, failed=1, examples=("zh",))), performance=FAST),
        "conformance: 1 of 96 failed: zh",
    ),
    "no parity": (Evidence(checks=CLEAN[1:], performance=FAST), "the check parity did not run (gate.checks)"),
    "a slow engine": (
        Evidence(checks=CLEAN, performance=Performance(tokens_per_s=49.9)),
        "tokens_per_s 49.9 < 50 (gate.floors.tokens_per_s)",
    ),
    "no speed": (Evidence(checks=CLEAN), "tokens_per_s was not measured"),
}


@pytest.mark.parametrize("fault", FINDINGS)
def test_what_others_found_is_refused_by_name(fault: str) -> None:
    evidence, reason = FINDINGS[fault]
    (found,) = judged(built(), evidence).reasons
    assert found.startswith(reason)


def test_a_reference_that_failed_does_not_flatter() -> None:
    broken = [
        p.model_copy(update={"predicted": None, "error": "timeout"}) if k < 60 else p for k, p in enumerate(INTENTS)
    ]
    decision = judged(built(), bf16=built(broken, digest="bf16"))
    assert decision.reasons == (
        "60 requests of the BF16 evaluation failed, which flatters the candidate; evaluate it again",
    )
