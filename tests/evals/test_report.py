import json
import re
from pathlib import Path

import pytest

from data.schema import Function, IntentCase, Message, ToolCase
from data.shop import Shop
from evals.gate import Decision, decide
from evals.metrics import Evaluation, Slice, intent_figures
from evals.predict import Prediction, ToolPrediction
from evals.report import write_report
from recipes.recipe import GateRecipe
from tests.evals.conftest import LABELS, evaluation, intent_predictions, tool_predictions

FACTS = {"bytes_before": 270_000_000, "sizes": {"bytes_after": 160_000_000, "ratio": 0.59259}, "recipe": "smollm2-135m"}
THRESHOLDS = GateRecipe(languages=("en",), intent_f1=0.924, retention=0.97, tool_calls=0.9)
HOSTILE = "<script>alert(1)</script> | `x` \n 我的快递呢"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rejected candidate with every kind of failure, in both languages."""
    folder = tmp_path_factory.mktemp("report")
    english = intent_predictions(40, [0, 5, 8, 13])
    odd = IntentCase(id="odd", text=HOSTILE, intent="refund_status", language="zh", style="slang")
    unparsable = Prediction(case=odd, predicted=None, raw="<b>refund</b>")
    failed = Prediction(case=odd.model_copy(update={"id": "lost"}), predicted=None, error="HTTP 500: boom")
    foreign = Prediction(case=odd.model_copy(update={"id": "far"}), predicted="never_heard_of")
    candidate = evaluation(
        [*english, *intent_predictions(8, language="zh"), unparsable, failed, foreign], tool_predictions(9, [0, 1])
    )
    perfect = [p.model_copy(update={"predicted": p.case.intent, "error": None}) for p in candidate.predictions]
    bf16 = evaluation(
        [perfect[0].model_copy(update={"predicted": None}), *perfect[1:]], tool_predictions(9), digest="bf16"
    )
    simpler = {"coin": {"en": figures(english[:2]), "zh": figures(intent_predictions(8, range(8), language="zh"))}}
    champion = evaluation(
        [p.model_copy(update={"predicted": LABELS[0]}) for p in candidate.predictions],
        tool_predictions(9),
        digest="champ",
    )
    decision = decide(candidate, bf16, champion, THRESHOLDS)
    write_report(folder, candidate, bf16, decision, FACTS, simpler, champion, Shop.default().prompts)
    return folder


def figures(predictions: list[Prediction]) -> Slice:
    return intent_figures(predictions, Shop.default().taxonomy.names)


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_simpler_classifiers_stand_beside_it_and_may_win(tmp_path: Path, report: Path, name: str) -> None:
    page = (report / name).read_text(encoding="utf-8")
    ladder = page.split("What tuning and quantizing bought")[1].split("Plain and hard cases")[0]
    assert ladder.index("coin") < ladder.index("BF16 reference: bf16") < ladder.index("candidate: fp8")
    assert "coin labels zh better" not in page
    better = {"coin": {"en": figures(intent_predictions(8))}}
    write_report(tmp_path, evaluation(intent_predictions(8, [1])), None, None, {}, better)
    assert "coin labels en better than the candidate: 1.000 against" in (tmp_path / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_the_champion_stands_beside_the_candidate(report: Path, tmp_path: Path, name: str) -> None:
    page = (report / name).read_text(encoding="utf-8")
    head = (
        "<th>candidate</th><th>BF16 reference</th><th>champion</th>"
        if "html" in name
        else "candidate | BF16 reference | champion"
    )
    assert head in page and "champion digest" in page and "gainst the champion" in page.split("Figures")[0]
    write_report(tmp_path, evaluation(intent_predictions(8)), None, None, {})
    assert "champion" not in (tmp_path / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_failures_show_prompt_answer_and_how_sure_it_was(tmp_path: Path, name: str) -> None:
    sure = [0.99, 0.51, 0.7, 0.8]
    predictions = [
        p.model_copy(update={"probability": sure[n % 4]}) for n, p in enumerate(intent_predictions(12, [0, 1, 4]))
    ]
    turns = (
        Message(role="user", content="hi"),
        Message(role="assistant", content="Which order?"),
        Message(role="user", content="5"),
    )
    case = ToolCase(id="t", messages=turns, expect=None, language="en")
    call = Function(name="query_order_status", arguments={"order_id": "5"})
    write_report(
        tmp_path,
        evaluation(predictions, [ToolPrediction(case=case, calls=(call,))]),
        None,
        None,
        {},
        prompts=Shop.default().prompts,
    )
    page = (tmp_path / name).read_text(encoding="utf-8").split("Worst failures")[1]
    wrong, rest = page.split("Right, but least sure")
    least, tools = rest.split("Tool cases")
    # the surest wrong label leaves the right one the least
    assert wrong.index("en-frozen-0") < wrong.index("en-frozen-4") < wrong.index("en-frozen-1")
    assert least.index("en-frozen-9") < least.index("en-frozen-2") and "0.51" in least and "en-frozen-0" not in least
    assert "Which order?" in tools and "no call" in tools
    assert "html" not in name or "Name the customer" in wrong  # the prompt itself


def test_the_files(report: Path) -> None:
    names = {p.name for p in report.iterdir()}
    expected = {"report.html", "report.md", "confusion_en.png", "confusion_zh.png"}
    assert names == expected | {"evaluation.json", "reference.json", "champion.json", "decision.json"}
    assert (report / "confusion_zh.png").read_bytes().startswith(b"\x89PNG")
    candidate = Evaluation.model_validate_json((report / "evaluation.json").read_text(encoding="utf-8"))
    bf16 = Evaluation.model_validate_json((report / "reference.json").read_text(encoding="utf-8"))
    decision = Decision.model_validate_json((report / "decision.json").read_text(encoding="utf-8"))
    champion = Evaluation.model_validate_json((report / "champion.json").read_text(encoding="utf-8"))
    assert (
        decide(candidate, bf16, champion, THRESHOLDS) == decision
    )  # the decision can be checked from the report alone


def test_the_page_is_self_contained_and_safe(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page and "&lt;b&gt;refund" in page
    links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')>\s]+)""", page)
    assert links and all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert page.count("<svg") == page.count("</svg>") == 2
    assert "我的快递呢" in page


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_decision_and_reasons_come_first(report: Path, name: str) -> None:
    page = (report / name).read_text(encoding="utf-8")
    reasons = json.loads((report / "decision.json").read_text(encoding="utf-8"))["reasons"]
    assert page.index("Rejected") < page.index("gate.intent_f1") < page.index("Figures") < page.index("Worst failures")
    assert any("too few cases: n=40" in reason for reason in reasons)
    assert "n=40 paired cases" in page and "w8a8" in page
    assert "160,000,000 (152.6 MiB)" in page and "0.5926" in page
    assert "unparsable" in page and "HTTP 500: boom" in page
    assert "no call: Hello." in page


def test_what_bf16_had_right_in_a_gated_language_comes_first(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8").split("Worst failures")[1]
    order = [page.index(f"<td>{name}<br>") for name in ("en-frozen-5", "en-frozen-0", "odd", "lost", "far")]
    # en-frozen-0 was wrong before quantization too; Chinese is not gated, and hard cases come last
    assert order == sorted(order)


def test_markdown_tables_are_whole(report: Path) -> None:
    widths: dict[int, int] = {}
    block = 0
    for line in (report / "report.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            block += 1
            continue
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        assert widths.setdefault(block, cells) == cells, line
    assert set(widths.values()) == {2, 3, 4, 5, 6}


def test_one_model_alone_and_nothing_wrong(tmp_path: Path) -> None:
    write_report(tmp_path / "new", evaluation(intent_predictions(8)), None, None, {})
    names = {p.name for p in (tmp_path / "new").iterdir()}
    assert names == {"report.html", "report.md", "confusion_en.png", "evaluation.json"}
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "Every frozen intent case is right." in page and "BF16" not in page and "Rejected" not in page


def test_each_series_of_cases_has_its_line(tmp_path: Path) -> None:
    first, later = intent_predictions(8), intent_predictions(12)
    later = [p.model_copy(update={"case": p.case.model_copy(update={"series": 2})}) for p in later]
    write_report(tmp_path, evaluation([*first, *later]), evaluation(first, digest="bf16"), None, {})
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    # the reference was asked one series alone
    assert re.search(r"\| en, series 1: macro-F1 \| 1.000 .*n=8 \| – \|", page)
    assert re.search(r"\| en, series 2: macro-F1 \| 1.000 .*n=12 \|", page)


def test_tools_alone(tmp_path: Path) -> None:
    candidate = evaluation([], tool_predictions(6, [1]))
    write_report(tmp_path, candidate, evaluation(intent_predictions(4), digest="bf16"), None, {})
    assert "tool cases right, en" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_passed_decision(tmp_path: Path) -> None:
    good = evaluation(intent_predictions(450), tool_predictions(20))
    bf16 = evaluation(intent_predictions(450), tool_predictions(20), digest="bf16")
    write_report(tmp_path, good, bf16, decide(good, bf16, None, THRESHOLDS), {})
    assert "Passed the gate" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_equal_evaluations_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(tmp_path / name, evaluation(intent_predictions(12, [3])), None, None, {})
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_a_real_taxonomy_fits(tmp_path: Path) -> None:
    names = Shop.default().taxonomy.names
    candidate = evaluation(intent_predictions(300, range(0, 300, 9), labels=names), labels=names)
    write_report(tmp_path, candidate, None, None, {})
    assert 20_000 < (tmp_path / "report.html").stat().st_size < 400_000
