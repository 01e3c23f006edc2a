"""A journal: what was answered is found again, what was cut off or failed is asked again."""

from pathlib import Path
from typing import Any

from data.schema import IntentCase
from data.shop import Shop
from evals.journal import Journal
from evals.predict import Prediction, predict_intents
from tests.evals.conftest import FakeEngine, completion

CASES = [IntentCase(id=f"c{i}", text=f"question {i}", intent="order_status", language="en") for i in range(6)]
PROMPTS, NAMES = Shop.default().prompts, ("order_status", "refund_status")


def journal(path: Path) -> Journal[Prediction]:
    return Journal(path, Prediction)


def test_what_was_answered_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "j.jsonl"
    kept = journal(path)
    assert len(kept) == 0 and not path.exists()
    answer = Prediction(case=CASES[0], predicted="order_status", raw="order_status", probability=0.9)
    kept.add(CASES[0], answer)
    again = journal(path)
    assert (len(again), again.find(CASES[0]), again.find(CASES[1])) == (1, answer, None)
    again.forget()
    again.forget()
    assert not path.exists()


def test_a_line_that_was_cut_off_or_is_of_another_version_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal(path).add(CASES[0], Prediction(case=CASES[0], predicted="order_status"))
    whole = path.read_text(encoding="utf-8")
    path.write_text(
        f'[]\n{{"case": "x", "answer": {{"old": 1}}}}\n{{"answer": 1}}\n{whole}{whole[:40]}', encoding="utf-8"
    )
    assert len(journal(path)) == 1


def test_an_interrupted_run_asks_only_what_is_left(fake_engine: FakeEngine, tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        asked.append(body["messages"][-1]["content"])
        broken = len(asked) <= 3 and asked[-1] == "question 1"
        return (400, "no") if broken else (200, completion("order_status"))

    fake_engine.reply = reply

    def run(cases: list[IntentCase], seen: list[int]) -> list[Prediction]:
        kept = journal(tmp_path / "j.jsonl")
        return predict_intents(
            fake_engine.base_url, "m", cases, PROMPTS, NAMES, concurrency=1, progress=seen.append, journal=kept
        )

    assert [p.error is None for p in run(CASES[:3], [])] == [True, False, True]
    seen: list[int] = []
    found = run(CASES, seen)
    assert asked[3:] == ["question 1", "question 3", "question 4", "question 5"]
    assert [p.case for p in found] == CASES and all(p.right for p in found)
    assert sorted(seen) == [1, 2, 3, 4, 5, 6]
