"""An engine that crashes is started again; the process is a real one that speaks HTTP, started as vLLM is."""

import dataclasses
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.errors import EnvironmentLacks
from recipes.recipe import EngineRecipe, ServeRecipe
from serving.engine import Launch, engine_arguments, launch_of, running_engine
from serving.gateway import create_app
from serving.hardware import Hardware
from serving.settings import GatewaySettings
from serving.supervisor import Backoff, supervised

SERVE = ServeRecipe(tools=("t",), context=4096, history=1024)
QUICK = Backoff(first_s=0.05, most_s=0.2)


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """How a process that stands for vLLM is started, through the engine's own launcher."""
    python = tmp_path / "python"
    script = Path(__file__).with_name("engine_process.py")
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S {script} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("KEFU_ENGINE_PYTHON", str(python))
    monkeypatch.setenv("KEFU_TEST_ENGINE", str(tmp_path))
    return launch_of(tmp_path, SERVE, served_names=["kefu"], log=tmp_path / "logs" / "engine.log")


def eventually(holds: Callable[[], Any], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def answers(launch: Launch) -> bool:
    try:
        return httpx.post(f"{launch.base_url}/v1/completions", json={"model": "kefu"}).is_success
    except httpx.TransportError:
        return False


def crash(launch: Launch) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{launch.base_url}/crash")


def processes(log: Path) -> tuple[int, int]:
    """The engine's and its worker's process, as its log tells them."""
    found = re.search(r"started (\d+) with worker (\d+)", log.read_text())
    assert found is not None
    return int(found.group(1)), int(found.group(2))


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_crash_is_followed_by_a_new_start_at_the_same_address(launch: Launch) -> None:
    with supervised(launch, QUICK) as supervisor:
        first, worker = processes(launch.log)
        for number in (1, 2):
            crash(launch)
            assert eventually(lambda number=number: supervisor.restarts == number and answers(launch))
        assert supervisor.engine.alive and not lives(first) and not lives(worker)  # nothing holds the memory
        assert processes(launch.log.with_name("engine.log.2")) == (first, worker)  # each run's log is kept
        last = processes(launch.log)
    assert not any(map(lives, last))


def test_what_fails_again_is_tried_with_growing_pauses(launch: Launch, tmp_path: Path) -> None:
    with supervised(launch, QUICK) as supervisor:
        (tmp_path / "broken").touch()
        crash(launch)
        assert eventually(lambda: supervisor.restarts >= 2)
        assert not answers(launch)
        (tmp_path / "broken").unlink()
        assert eventually(lambda: answers(launch))
    assert [Backoff().pause(failures) for failures in (1, 2, 3, 7, 10_000)] == [1, 2, 4, 60, 60]


def test_it_can_be_stopped_while_the_engine_is_away(launch: Launch, tmp_path: Path) -> None:
    for when in ("broken", "slow"):  # in a pause, and in a start
        with supervised(launch, Backoff(first_s=0.05 if when == "slow" else 60)) as supervisor:
            (tmp_path / when).touch()
            crash(launch)
            assert eventually(lambda when=when, kept=supervisor: kept.restarts or when == "broken")
            began = time.monotonic()
        assert time.monotonic() - began < 5 and not supervisor.engine.alive
        (tmp_path / when).unlink()


def test_a_first_start_that_fails_says_why(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(EnvironmentLacks, match=r"exit status 5[\s\S]*no memory"), supervised(launch, QUICK):
        pass
    with (
        pytest.raises(EnvironmentLacks, match="died at start"),
        running_engine(tmp_path, SERVE, served_names=["kefu"], log=launch.log),
    ):
        pass


async def test_the_gateway_is_not_ready_while_the_engine_is_away(
    launch: Launch, settings: GatewaySettings, shop: Any, tmp_path: Path
) -> None:
    with supervised(launch, QUICK):
        settings = dataclasses.replace(settings, engine_base_url=launch.base_url, predict_intent=False)
        app = create_app(settings)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
            body = {"model": "kefu", "messages": [{"role": "user", "content": "hm?"}]}
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
            (tmp_path / "broken").touch()
            crash(launch)
            refused = await client.post("/v1/chat/completions", json=body)
            assert refused.status_code == 503 and refused.headers["retry-after"]
            assert (await client.get("/readyz")).status_code == 503
            (tmp_path / "broken").unlink()
            assert eventually(lambda: answers(launch))
            assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
            assert (await client.get("/readyz")).status_code == 200


def test_flags_come_from_the_recipe() -> None:
    serve = SERVE.model_copy(update={"engine": EngineRecipe(max_num_seqs=7, kv_cache_dtype="fp8", enforce_eager=False)})
    gpu = dataclasses.replace(Hardware.detect(), gpu="an L4", gpu_memory_gib=24)
    cpu = dataclasses.replace(gpu, gpu=None)

    def flags(hardware: Hardware) -> dict[str, str]:
        given = engine_arguments(Path("m"), serve, hardware, ["kefu", "other"], 1234)
        return {flag: given[place + 1] for place, flag in enumerate(given[:-1]) if flag.startswith("--")}

    assert {"--host": "127.0.0.1", "--port": "1234", "--max-model-len": "4096", "--max-num-seqs": "7"}.items() <= flags(
        gpu
    ).items()
    assert flags(gpu)["--kv-cache-dtype"] == "fp8" and "--kv-cache-memory-bytes" not in flags(gpu)
    assert flags(cpu)["--kv-cache-memory-bytes"] == str(2**30) and "--kv-cache-dtype" not in flags(cpu)
    assert flags(cpu)["--tool-call-parser"] == "hermes" and flags(cpu)["--reasoning-parser"] == "qwen3"
    assert "--enforce-eager" not in engine_arguments(Path("m"), serve, gpu, ["kefu"], 1)
