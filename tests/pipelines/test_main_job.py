"""The main job once, at its smallest, with every real part: the command, llm-compressor, vLLM, MLflow, Prefect, LangChain.

The model is a tiny Qwen3 with random weights: it proves the plumbing, and that the real thresholds refuse it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from langchain_core.utils.function_calling import convert_to_openai_function
from langchain_openai import ChatOpenAI
from mlflow import MlflowClient
from tenacity import Retrying, stop_after_delay, wait_fixed

from recipes.recipe import RECIPES
from serving import child
from serving.engine import free_port

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1500)]

KEFU = (sys.executable, "-c", "from pipelines.cli import main; main()")
RECIPE = str(RECIPES / "qwen3-tiny.yaml")
STAGES = {"prepare", "train", "merge", "quantize", "evaluate-bf16", "evaluate-fp8", "decide"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One `$KEFU_HOME` for the whole story."""
    return tmp_path_factory.mktemp("main-job")


def environment(state: Path) -> dict[str, str]:
    return os.environ | {"KEFU_HOME": str(state)}


def kefu(state: Path, *arguments: str, **variables: str) -> tuple[int, dict[str, Any]]:
    """Runs the command; returns its exit code and the JSON of its last line."""
    command, env = [*KEFU, *arguments, "--json"], environment(state) | variables
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)
    body: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, body


@pytest.mark.parametrize(
    ("number", "send"), [(signal.SIGTERM, os.kill), (signal.SIGINT, os.killpg)], ids=["a service manager", "Ctrl-C"]
)
def test_a_stopped_release_says_so_and_leaves_no_process(
    state: Path, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    command = [*KEFU, "release", RECIPE, "--yes"]
    release = subprocess.Popen(
        command,
        env=environment(state),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_at_a_terminal,
    )
    assert release.stderr is not None
    assert any("prepare" in line for line in release.stderr), "the release ended before it began"
    family = psutil.Process(release.pid).children(recursive=True)
    assert family, "Prefect's server runs beside it"
    send(release.pid, number)
    _, said = release.communicate(timeout=60)
    assert (release.returncode, _left_over(family)) == (130, [])
    assert "run the same command again" in said


def _at_a_terminal() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background has it ignored, and hands that on


@pytest.fixture(scope="module")
def killed(state: Path) -> dict[Path, bytes]:
    """A release that dies of SIGKILL once training has a checkpoint; the manifests of what was finished by then."""
    command = [*KEFU, "release", RECIPE, "--yes"]
    release = subprocess.Popen(command, env=environment(state), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(state.glob("artifacts/adapter/*/scratch/checkpoints/*/trainer_state.json")):
        assert release.poll() is None, "the release ended before its first checkpoint"
        assert time.monotonic() < deadline, "no checkpoint within five minutes"
        time.sleep(0.01)
    family = psutil.Process(release.pid).children(recursive=True)
    release.kill()
    release.wait()
    assert not _left_over(family)
    finished = {path: path.read_bytes() for path in state.glob("artifacts/*/*/manifest.json")}
    assert not [path for path in finished if "adapter" in path.parts], "killed too late"
    return finished


@pytest.fixture(scope="module")
def rejected(state: Path, killed: dict[Path, bytes]) -> tuple[int, dict[str, Any]]:
    return kefu(state, "release", RECIPE, "--yes")


def test_a_killed_release_goes_on_where_it_stopped(
    state: Path, killed: dict[Path, bytes], rejected: tuple[int, dict[str, Any]]
) -> None:
    assert {path.parts[-3] for path in killed} == {"sifted", "base", "corpus"}
    assert {path: path.read_bytes() for path in killed} == killed
    assert "prepare" in rejected[1]["reused"]
    (adapter,) = state.glob("artifacts/adapter/*/manifest.json")
    assert json.loads(adapter.read_bytes())["facts"]["resumed_from"] > 0


def test_the_real_thresholds_refuse_a_random_model(rejected: tuple[int, dict[str, Any]]) -> None:
    code, body = rejected
    assert (code, body["status"], body["promoted_for_mechanics"]) == (1, "rejected", False)
    assert not body["gate"]["passed"]
    assert any(reason.startswith("intent F1") for reason in body["gate"]["reasons"])
    assert body["intent_macro_f1"] < 0.2
    assert body["bytes_after"] < body["bytes_before"]
    assert body["seconds"].keys() >= STAGES
    assert max(body["peak_memory_mb"].values()) < 6000, body["peak_memory_mb"]


def test_trainer_and_engine_read_the_same_prompts(rejected: tuple[int, dict[str, Any]]) -> None:
    figures = rejected[1]["figures"]
    assert figures["check.parity.cases"] > 0 and figures["check.parity.failed"] == 0


def test_a_rejected_release_neither_serves_nor_is_promoted(state: Path, rejected: tuple[int, dict[str, Any]]) -> None:
    assert kefu(state, "serve", "--port", str(free_port()))[0] != 0
    code, body = kefu(state, "promote", str(rejected[1]["model_version"]))
    assert code == 1
    assert "mechanics" in body["error"]


@pytest.fixture(scope="module")
def promoted(state: Path, rejected: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    """The same release again, let through for its mechanics."""
    code, body = kefu(state, "release", RECIPE, "--yes", "--mechanics")
    assert (code, body["status"], body["promoted_for_mechanics"]) == (0, "rejected", True)
    return body


def test_a_second_run_reuses_every_stage(promoted: dict[str, Any], rejected: tuple[int, dict[str, Any]]) -> None:
    assert STAGES - {"decide"} <= set(promoted["reused"])
    assert promoted["digest"] == rejected[1]["digest"]
    assert sum(promoted["seconds"].values()) < 60


def test_servers_of_mlflow_and_prefect_are_used_where_named(
    state: Path, promoted: dict[str, Any], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(state / "artifacts", home / "artifacts")
    store = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/mlflow.db",
        "--artifacts-destination",
        str(tmp_path / "kept"),
    ]
    with (
        _running(tmp_path, "mlflow", "server", "--workers", "1", *store) as mlflow_url,
        _running(tmp_path, "prefect", "server", "start", "--no-ui") as prefect_url,
    ):
        servers = {"MLFLOW_TRACKING_URI": mlflow_url, "PREFECT_API_URL": f"{prefect_url}/api"}
        code, body = kefu(home, "release", RECIPE, "--yes", "--mechanics", **servers)
        assert (code, body["promoted_for_mechanics"], body["digest"]) == (0, True, promoted["digest"])

        client = MlflowClient(mlflow_url)
        champion = client.get_model_version_by_alias("kefu", "champion")
        assert (champion.version, champion.run_id) == (body["model_version"], body["run_id"])
        experiment = client.get_run(body["run_id"]).info.experiment_id
        nested = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{body['run_id']}'")
        assert {run.info.run_name for run in nested} >= STAGES
        flow_runs = httpx.post(f"{prefect_url}/api/flow_runs/filter", json={}).json()
        assert [run["state_name"] for run in flow_runs] == ["Promoted"]
        artifacts = httpx.post(f"{prefect_url}/api/artifacts/filter", json={}).json()
        assert {artifact["key"] for artifact in artifacts} == {"report", "stages", "report-page"}
    assert not list(home.rglob("*.db"))


@contextlib.contextmanager
def _running(folder: Path, *command: str) -> Iterator[str]:
    """The address of a server that runs while the block does."""
    port, name = free_port(), command[0]
    environ = os.environ | {"PREFECT_HOME": str(folder / "prefect"), "DO_NOT_TRACK": "1"}
    full = [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(port)]
    server = child.start(full, log=folder / f"{name}.log", env=environ)
    path = {"mlflow": "/health", "prefect": "/api/health"}[name]
    try:
        for attempt in Retrying(stop=stop_after_delay(120), wait=wait_fixed(0.5), reraise=True):
            with attempt:
                httpx.get(f"http://127.0.0.1:{port}{path}").raise_for_status()
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop(server, 10)


@pytest.fixture(scope="module")
def endpoint(state: Path, promoted: dict[str, Any]) -> Iterator[str]:
    """`kefu serve` until the tests are done; afterwards none of its processes may be left."""
    assert kefu(state, "serve", "--port", str(free_port()))[0] == 1  # only with --mechanics
    port = free_port()
    command = [*KEFU, "serve", "--mechanics", "--demo", "--port", str(port)]
    server = subprocess.Popen(command, env=environment(state), stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, server)
        family = psutil.Process(server.pid).children(recursive=True)
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
    assert not _left_over(family)


def _left_over(family: list[psutil.Process]) -> list[str]:
    """Which processes still run after a moment; dead ones that nobody has collected yet do not count."""
    _, alive = psutil.wait_procs(family, timeout=10)
    return [str(process) for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert server.poll() is None, "kefu serve ended"
        try:
            if httpx.get(f"{url}/readyz", timeout=10).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise AssertionError("the endpoint did not become ready")


@pytest.fixture
def chat_model(endpoint: str) -> ChatOpenAI:
    """The requirement's client; only the address differs."""
    return ChatOpenAI(
        model="Qwen3-1.7B",
        temperature=0.5,
        base_url=f"{endpoint}/v1",
        api_key="EMPTY",
        extra_body={"enable_thinking": True, "return_reasoning": True},
        streaming=True,
    )


def test_the_requirement_s_chat_streams(chat_model: ChatOpenAI) -> None:
    chunks = list(chat_model.stream("我的订单#123456还没发货，能查一下吗？"))
    assert "".join(str(chunk.content) for chunk in chunks).strip()


def test_the_requirement_s_functions(chat_model: ChatOpenAI) -> None:
    def query_order_status(order_id: str) -> str:
        """模拟查询订单状态"""
        return f"订单{order_id}已打包，待发货"

    functions = [convert_to_openai_function(query_order_status)]
    answer = chat_model.invoke("帮我查下订单123456的状态", functions=functions)
    assert answer.content or answer.additional_kwargs.get("function_call")


def test_an_faq_is_answered_from_the_release(endpoint: str) -> None:
    body = {"model": "kefu", "messages": [{"role": "user", "content": "怎么退货？"}]}
    answer = httpx.post(f"{endpoint}/v1/chat/completions", json=body, timeout=60).json()
    assert answer["kefu"]["cache"]["kind"] == "exact"
    assert answer["choices"][0]["message"]["content"]


def test_model_names_and_metrics(endpoint: str) -> None:
    models = httpx.get(f"{endpoint}/v1/models").json()["data"]
    assert {"kefu", "Qwen3-1.7B", "qwen3-tiny"} <= {model["id"] for model in models}
    assert "kefu_" in httpx.get(f"{endpoint}/metrics").text
