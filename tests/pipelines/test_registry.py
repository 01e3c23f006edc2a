from pathlib import Path

import pytest

from data.artifact import folder_files
from pipelines.registry import Registry, RegistryAway, Version
from tests.pipelines.registered import MakeRelease, Register


def test_a_release_is_one_version_that_carries_only_its_folder(
    registry: Registry, make_release: MakeRelease, register: Register, tmp_path: Path
) -> None:
    version, release = register("one"), make_release("one")
    assert version == registry.find(release.digest) == registry.version(version.number)
    assert (version.digest, version.decision, version.purpose) == (release.digest, "passed", "production")
    fetched = registry.download(version, tmp_path / "fetched")
    assert folder_files(fetched) == release.manifest["files"]


def test_the_same_release_is_not_registered_twice(register: Register) -> None:
    assert register("one").number == register("one").number == "1"
    assert register("two").number == "2"


def test_aliases_move_and_go(registry: Registry, register: Register) -> None:
    first, second = register("one"), register("two")
    registry.point("champion", first.number)
    registry.point("champion", second.number)
    assert registry.version("champion") == second
    registry.point("champion", None)
    registry.point("champion", None)
    assert registry.version("champion") is None
    assert registry.version("7") is None


def test_prompts_are_registered_only_when_they_change(registry: Registry, make_release: MakeRelease) -> None:
    prompts = make_release().prompts
    first = registry.keep_prompts(prompts)
    assert set(first) == {"kefu-agent-en", "kefu-agent-zh", "kefu-intent"}
    assert registry.keep_prompts(prompts) == first
    changed = registry.keep_prompts(prompts.model_copy(update={"intent": "Label it."}))
    assert changed == first | {"kefu-intent": "2"}


def test_a_run_keeps_params_curve_inputs_and_files(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "loss.png").write_bytes(b"png")
    with registry.run("release-x", {"recipe": "x"}) as run:
        run.params({"train": {"rank": 8, "long": "x" * 9000}})
        with run.nested("train") as nested:
            for step in range(1, 26):
                nested.step(step, {"loss": 1 / step})
            nested.dataset("train.jsonl", "ab" * 32, "training", "train.jsonl")
            nested.files(tmp_path / "loss.png")
            nested.metrics({"rows": 3, "name": "text", "flag": True})
    client = registry._client
    parent, child = client.get_run(run.run_id), client.get_run(nested.run_id)
    assert parent.data.params["train.rank"] == "8" and parent.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == run.run_id
    assert [point.step for point in client.get_metric_history(nested.run_id, "loss")] == list(range(1, 26))
    (read,) = child.inputs.dataset_inputs
    assert {tag.key: tag.value for tag in read.tags}["sha256"] == "ab" * 32
    assert [item.path for item in client.list_artifacts(nested.run_id)] == ["loss.png"]
    assert child.data.metrics.keys() == {"loss", "rows"}


def test_a_run_that_raises_is_failed(registry: Registry) -> None:
    with pytest.raises(ZeroDivisionError), registry.run("release-x", {}) as run:
        raise ZeroDivisionError
    assert registry._client.get_run(run.run_id).info.status == "FAILED"


def test_a_server_that_is_away_is_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryAway, match=r"127\.0\.0\.1:9 does not answer"):
        Registry.open().version("champion")


def test_where_to_look(registry: Registry, kefu_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.launch == f"mlflow ui --backend-store-uri sqlite:///{kefu_home.resolve() / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert Registry.open().launch == "http://mlflow.example:5000"


def test_a_version_without_tags_is_no_passed_release(registry: Registry) -> None:
    registry._client.create_registered_model("kefu")
    registry._client.create_model_version("kefu", source="file:///nowhere")
    assert registry.version("1") == Version("1", "", "", "rejected", "file:///nowhere", "", "")
