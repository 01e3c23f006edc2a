"""Releases without weights, in a real MLflow store; its migrations run once and every test gets a copy of the empty store."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data.artifact import ArtifactStore
from pipelines.ledger import Ledger
from pipelines.registry import Registry, Version
from pipelines.rollout import Rollout
from serving.release import Release, ReleaseInfo
from tests.pipelines.tiny import (  # noqa: F401
    tiny_adapter,
    tiny_base,
    tiny_checkpoint,
    tiny_corpus,
    tiny_merged,
    tiny_store,
)

ROOT = Path(__file__).resolve().parents[2]
MakeRelease = Callable[..., Release]
Register = Callable[..., Version]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables."""
    folder = tmp_path_factory.mktemp("mlflow")
    before = os.environ.get("KEFU_HOME")
    os.environ["KEFU_HOME"] = str(folder)
    try:
        Registry.open().version("champion")
    finally:
        os.environ.pop("KEFU_HOME") if before is None else os.environ.update(KEFU_HOME=before)
    return folder / "mlflow.db"


@pytest.fixture
def registry(empty_store: Path, kefu_home: Path) -> Iterator[Registry]:
    kefu_home.mkdir(parents=True)
    shutil.copy(empty_store, kefu_home / "mlflow.db")
    yield Registry.open()


@pytest.fixture
def rollout(registry: Registry) -> Rollout:
    return Rollout(registry)


@pytest.fixture
def make_release(kefu_home: Path) -> MakeRelease:
    """A release whose weights are `weights`; `purpose` mechanics takes the tiny recipe."""

    def make(weights: str = "one", purpose: str = "production", passed: bool = True) -> Release:
        recipe = ROOT / "recipes" / ("qwen3-tiny.yaml" if purpose == "mechanics" else "smollm2-135m.yaml")

        def fill(folder: Path) -> dict[str, Any]:
            (folder / "model").mkdir()
            (folder / "model" / "config.json").write_text("{}", encoding="utf-8")
            (folder / "model" / "model.safetensors").write_text(weights, encoding="utf-8")
            shutil.copytree(ROOT / "data" / "prompts", folder / "prompts")
            for name in ("intents.yaml", "faq.yaml", "tools.json"):
                shutil.copy(ROOT / "data" / name, folder)
            shutil.copy(recipe, folder / "recipe.yaml")
            decision = {"passed": passed, "reasons": [] if passed else ["too weak"], "figures": {}}
            (folder / "decision.json").write_text(json.dumps(decision), encoding="utf-8")
            info = ReleaseInfo.model_validate(
                {
                    "name": recipe.stem,
                    "purpose": purpose,
                    "languages": ["en"],
                    "numeric_path": "fp32",
                    "model_names": ["kefu"],
                    "created": "2026-11-23T00:00:00+00:00",
                }
            )
            (folder / "release.json").write_text(info.model_dump_json(), encoding="utf-8")
            return {}

        return ArtifactStore(kefu_home / "artifacts").build(
            Release, fill, inputs={"weights": weights, "purpose": purpose, "passed": str(passed)}, section=None, code=""
        )

    return make


@pytest.fixture
def register(registry: Registry, make_release: MakeRelease) -> Register:
    """Makes a release and registers it in a run of its own."""

    def one(weights: str = "one", purpose: str = "production", passed: bool = True) -> Version:
        with registry.run("release-test", {}) as run:
            return registry.register(make_release(weights, purpose, passed), run, "passed" if passed else "rejected")

    return one


@pytest.fixture
def ledger(kefu_home: Path) -> Ledger:
    return Ledger.default()
