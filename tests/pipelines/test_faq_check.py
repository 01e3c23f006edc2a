"""What counts as a hit on a pair: `a` beside the real entries, the bound over the pairs with another answer."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from data.errors import CheckFailed, EnvironmentLacks
from data.schema import FaqEntry, FaqPair, write_jsonl
from evals.statistics import upper_bound
from pipelines.cli import app
from pipelines.faq_check import FaqCheck
from pipelines.faq_reload import reload_faq
from tests.serving.near import matcher, small

ENTRIES = (
    FaqEntry(id="a", language="en", question="How do I return an item?", answer="So.", questions=("Return how-to",)),
    FaqEntry(id="b", language="en", question="Is it free?", answer="Yes."),
)


def pair(a: str, b: str, same: bool, **fields: Any) -> FaqPair:
    return FaqPair(a=a, b=b, same_answer=same, **fields)


def outcome(one: FaqPair) -> str:
    return next(iter(FaqCheck.of([one], ENTRIES, None).total))


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (pair("How do I return an item?", "return how-to!", True), "true"),
        (pair("How do I return an item?", "return how-to!", False), "false"),
        (pair("How do I return an item?", "is it free", True), "wrong_entry"),
        (pair("How do I return an item?", "is it free", False), "elsewhere"),
        (pair("How do I return an item?", "something else", True), "miss"),
        (pair("How do I return an item?", "something else", False), "refused"),
        (pair("Do you sell bicycles?", "do you sell BICYCLES", True), "true"),
        (pair("Do you sell bicycles?", "do you sell BICYCLES", False), "false"),
        (pair("Do you sell bicycles?", "is it free", True), "wrong_entry"),
        (pair("卖自行车吗？", "卖自行车吗", True), "true"),
    ],
)
def test_outcomes(one: FaqPair, expected: str) -> None:
    assert outcome(one) == expected


def test_a_question_that_an_entry_lists_is_that_entry() -> None:
    assert outcome(pair("Return how-to", "How do I return an item?", True)) == "true"


def test_the_bound_is_over_the_pairs_with_another_answer() -> None:
    pairs = [pair("Is it free?", f"no {n}", False) for n in range(100)] + [pair("Is it free?", "is it free", True)] * 3
    figures = FaqCheck.of(pairs, ENTRIES, None).figures
    assert (figures.pairs, figures.true_hits, figures.false_hits, figures.hit_rate) == (103, 3, 0, 1.0)
    assert figures.false_hit_upper_95 == pytest.approx(1 - 0.05 ** (1 / 100), abs=1e-6)
    assert not figures.passed


def test_upper_bound() -> None:
    assert upper_bound(2, 1260) == pytest.approx(0.005, abs=2e-5)
    assert upper_bound(0, 0) == upper_bound(4, 4) == 1.0


def test_near_hits_are_counted_and_an_added_entry_needs_no_calibration() -> None:
    rows = small()[1]
    pairs = [
        pair(small()[0][0].question, text, False) for row in rows for text in row.hard_negatives if row.language == "en"
    ]
    pairs += [pair("Do you sell bamboo bicycles?", "do you sell bicycles of bamboo", True)]
    check = FaqCheck.of(pairs, small()[0], matcher())
    assert check.figures.false_hits == 0
    spent = check.body()["milliseconds"]
    assert spent["match"]["p50"] > 0 and spent["embed"]["p95"] >= spent["embed"]["p50"] > 0
    assert sum(check.kinds.values()) == len(pairs)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEFU_HOME", str(tmp_path / "home"))
    shop = tmp_path / "shop"
    for name in ("prompts", "train", "cases"):
        (shop / name).mkdir(parents=True)
    for name in ("intents.yaml", "tools.json"):
        (shop / name).touch()
    entries = [entry.model_dump() for entry in ENTRIES]
    (shop / "faq.yaml").write_text(json.dumps({"entries": entries}))
    write_jsonl(tmp_path / "pairs.jsonl", [pair("Is it free?", "is it free", True), pair("Is it free?", "no", False)])
    run = CliRunner().invoke(app, ["faq", "check", str(tmp_path / "pairs.jsonl"), "--data", str(shop), "--json"])
    body = json.loads(run.stdout.splitlines()[-1])
    assert run.exit_code == 1  # two pairs show nothing
    assert (body["pairs"], body["true_hits"], body["false_hits"], body["hit_rate"]) == (2, 1, 0, 1.0)
    assert body["false_hit_upper_95"] == pytest.approx(0.95) and body["open"] is False
    bad = CliRunner().invoke(app, ["faq", "check", str(tmp_path / "none.jsonl"), "--json"])
    assert bad.exit_code == 2


def test_an_endpoint_that_refuses_or_is_away() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": {"message": "the FAQ stays as it is"}})

    with pytest.raises(CheckFailed, match="stays as it is"):
        reload_faq("http://kefu", httpx.MockTransport(handler))
    with pytest.raises(EnvironmentLacks, match="no endpoint answers"):
        reload_faq("http://kefu", httpx.MockTransport(lambda request: httpx.Response(502, text="bad gateway")))
