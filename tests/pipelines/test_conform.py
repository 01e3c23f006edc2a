"""The real gateway before an engine that speaks vLLM's wire: a release that delivers what is said, and one that cannot."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from data.artifact import ArtifactStore, Quantized, Report
from data.chat import call_text
from data.errors import BadInput
from data.schema import Function
from data.shop import Shop
from evals.cells import matrix
from evals.conformance import Conformance, Failure
from evals.evidence import Evidence, checks
from pipelines.base_model import prepare_base
from pipelines.conform import CELLS, as_check, conform, conformance_of, keep
from recipes.recipe import RECIPES, Recipe
from serving.engine import running_engine
from tests.evals.served import served
from tests.serving.raw_engine import RawEngine

CALL = call_text(Function(name="query_order_status", arguments={"order_id": "20240518"}))
FAILED = Conformance(cells=2, failures=(Failure(cell="model/direct/auto/order/en/stream", problem="x", raw="y"),))
FEW = [cell for cell in matrix() if cell.language == "zh" and cell.history in ("order", "called")]


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.read(RECIPES / "qwen3-tiny.yaml")


@pytest.fixture
def quantized(tmp_path: Path) -> Quantized:
    """A model without weights: the gateway counts tokens, the engine is faked."""

    def fill(folder: Path) -> None:
        tokenizer = Tokenizer(BPE(vocab={mark: i for i, mark in enumerate(sorted(ByteLevel.alphabet()))}, merges=[]))
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text("{}", encoding="utf-8")

    return ArtifactStore(tmp_path / "models").build(Quantized, fill, inputs={}, section=None, code="")


def says(body: dict[str, Any]) -> str:
    """A call cut off after a whole one, thinking that never ends, marks in the text: by turns."""
    messages, thinking = body["messages"], body["chat_template_kwargs"]["enable_thinking"]
    if messages[-1]["role"] == "tool":
        return "It is </think> packed.<|im_end|>"
    return "I wonder" if thinking else f"One moment.\n{CALL}\n<tool_call>\n{{"


def test_the_gateway_delivers_what_is_said(
    quantized: Quantized, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    with served(RawEngine(says).respond) as url:
        found = conform(url, "candidate", quantized, Shop.default(), recipe, cells=FEW)
    assert found.failures == () and found.cells == 2 * len(FEW)
    assert {"calls", "broken call", "reasoning", "text"} <= found.evidence.keys()
    keep(tmp_path, found)
    assert conformance_of(Report(tmp_path)) == found
    assert not list(room.iterdir())  # its databases went with it


def test_an_engine_that_loses_streamed_calls_is_named(quantized: Quantized, recipe: Recipe) -> None:
    honest = RawEngine(says)

    def respond(path: str, body: dict[str, Any]) -> str:
        events = honest.respond(path, body).splitlines(keepends=True)
        return "".join(line for line in events if not body.get("stream") or "tool_calls" not in line)

    cells = [cell for cell in FEW if cell.mode == "model" and cell.choice == "auto" and not cell.thinking]
    with served(respond) as url:
        found = conform(url, "candidate", quantized, Shop.default(), recipe, cells=cells)
    assert "model/direct/auto/order/zh/stream" in {failure.cell for failure in found.failures}
    assert any("calls [('query_order_status'" in failure.problem for failure in found.failures)


def test_a_failing_cell_blocks_promotion() -> None:
    thresholds = Recipe.read(RECIPES / "qwen3-tiny.yaml").gate
    (reason,) = checks(Evidence(checks=(as_check(FAILED),)), thresholds).reasons
    assert "conformance: 1 of 2 failed" in reason and "model/direct/auto/order/en/stream" in reason
    assert not checks(Evidence(checks=(as_check(Conformance(cells=2)),)), thresholds).reasons
    assert checks(Evidence(checks=(as_check(Conformance(cells=0)),)), thresholds).reasons


def test_a_report_without_conformance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="evaluate the model again"):
        conformance_of(Report(tmp_path))
    (tmp_path / "conformance.json").write_text(json.dumps({"cells": "many"}), encoding="utf-8")
    with pytest.raises(BadInput):
        conformance_of(Report(tmp_path))


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_random_model_on_a_real_engine_conforms(recipe: Recipe, tmp_path: Path) -> None:
    """It never calls by itself: what it writes unforced proves text, thinking and silence; forced cells prove calls."""
    base = prepare_base(ArtifactStore(tmp_path), recipe.base)
    with running_engine(base.folder, recipe.serve, served_names=["candidate"], log=tmp_path / "engine.log") as engine:
        found = conform(engine.base_url, "candidate", Quantized(base.folder), Shop.default(), recipe)
    assert found.failures == () and found.cells == 2 * CELLS
    forced = sum(cell.forced and not cell.thinking for cell in matrix())
    assert found.evidence["calls"] >= forced, "a forced call is finished, whoever the model is"
