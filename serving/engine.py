"""The only starter of engines: vLLM in its own environment, on loopback, for evaluation and for serving alike.

`running_engine` starts it, waits until it has really completed a prompt, and leaves no process behind. Not covered: restarts
after a crash (`serving/supervisor.py`), several engines behind one port, engines elsewhere (the gateway takes any
OpenAI-compatible URL).
"""

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from data.artifact import ArtifactStore, home
from data.errors import BadInput, EnvironmentLacks
from recipes.recipe import ServeRecipe
from serving import child
from serving.dequantize import dequantized, quantization_scheme
from serving.hardware import Hardware, NumericPath

START_TIMEOUT_S = 600
STOP_TIMEOUT_S = 30
POLL_S = 0.1
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Engine:
    """A running engine."""

    base_url: str  # http://127.0.0.1:PORT, without /v1
    numeric_path: NumericPath
    pid: int
    process: "subprocess.Popen[bytes]"

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return self.process.poll() is None


@dataclass(frozen=True)
class Launch:
    """How one engine is started, as often as need be: its command, its log, where it answers, and by which name."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    base_url: str
    name: str
    numeric_path: NumericPath

    def start(self) -> Engine:
        """Starts the process; it does not answer yet. The log of an earlier one is kept beside the new one."""
        process = child.start(self.command, log=self.log, env=self.environment)
        return Engine(self.base_url, self.numeric_path, process.pid, process)

    def wait(self, engine: Engine) -> None:
        """Waits until the engine has completed a prompt.

        Raises:
            BadInput: it refuses to.
            EnvironmentLacks: it died, or took too long; its last lines are shown.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        question = {"model": self.name, "prompt": "ready", "max_tokens": 1, "temperature": 0}
        while time.monotonic() < deadline:
            if not engine.alive:
                raise EnvironmentLacks(
                    f"the engine died at start (exit status {engine.process.returncode}); {self.ending()}"
                )
            try:
                answer = httpx.post(f"{self.base_url}/v1/completions", json=question, timeout=60)
            except httpx.TransportError:
                time.sleep(POLL_S)
                continue
            if answer.is_success:
                return
            if answer.status_code < 500:
                raise BadInput(f"the engine refuses to complete a prompt ({answer.status_code}): {answer.text[:500]}")
            time.sleep(POLL_S)
        raise EnvironmentLacks(f"the engine gave no answer within {START_TIMEOUT_S} s; {self.ending()}")

    def ending(self) -> str:
        """The end of the log, for an error message."""
        return f"the end of {self.log}:\n{child.last_lines(self.log)}"


def engine_python() -> Path:
    """The Python of the engine's environment: `.venv-engine` beside the code, or `$KEFU_ENGINE_PYTHON`.

    Raises:
        EnvironmentLacks: it does not exist.
    """
    python = Path(os.environ.get("KEFU_ENGINE_PYTHON") or _ROOT / ".venv-engine" / "bin" / "python")
    if not python.exists():
        raise EnvironmentLacks(f"no engine environment: {python} does not exist; run `make engine` in {_ROOT}")
    return python


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_port(port: int, host: str = "127.0.0.1") -> None:
    """Raises `EnvironmentLacks` if `port` cannot be opened on `host`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise EnvironmentLacks(
                f"port {port} on {host} cannot be opened ({error.strerror}); choose another by --port"
            ) from error


@contextlib.contextmanager
def running_engine(
    model: Path,
    serve: ServeRecipe,
    *,
    served_names: Sequence[str],
    log: Path,
    port: int | None = None,
) -> Iterator[Engine]:
    """Serves the checkpoint folder `model` while the block runs.

    Raises:
        BadInput: the folder is no checkpoint.
        EnvironmentLacks: no engine environment, the port is taken, or the engine died at start (its last lines are shown).
    """
    launch = launch_of(model, serve, served_names=served_names, log=log, port=port)
    engine = launch.start()
    try:
        launch.wait(engine)
        yield engine
    finally:
        child.stop(engine.process, STOP_TIMEOUT_S)


def launch_of(
    model: Path, serve: ServeRecipe, *, served_names: Sequence[str], log: Path, port: int | None = None
) -> Launch:
    """How to start an engine for the checkpoint folder `model` on this machine; raises as `running_engine`."""
    hardware = Hardware.detect()
    path = hardware.numeric_path(quantization_scheme(model))
    if path.startswith("dequantized"):
        model = dequantized(ArtifactStore(home() / "artifacts"), model, hardware.compute_dtype).folder
    port = free_port() if port is None else port
    require_port(port)
    command = [str(engine_python()), "-m", "vllm.entrypoints.openai.api_server"]
    command += engine_arguments(model, serve, hardware, served_names, port)
    base_url = f"http://127.0.0.1:{port}"
    return Launch(tuple(command), _environment(hardware), log, base_url, served_names[0], path)


def engine_arguments(
    model: Path, serve: ServeRecipe, hardware: Hardware, served_names: Sequence[str], port: int
) -> list[str]:
    """vLLM's flags for this model on this machine: one template, tool parser and reasoning parser for every base."""
    engine = serve.engine
    arguments = ["--model", str(model), "--served-model-name", *served_names]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--dtype", hardware.compute_dtype]
    arguments += ["--max-model-len", str(serve.context), "--max-num-seqs", str(engine.max_num_seqs)]
    arguments += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"]
    arguments += ["--default-chat-template-kwargs", json.dumps({"enable_thinking": False})]
    # else a model may fill its answer with blanks, which every schema allows
    arguments += ["--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})]
    arguments += ["--generation-config", "vllm", "--shutdown-timeout", "20", "--no-enable-log-requests"]
    arguments += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]  # and what it saved is told in the usage
    if hardware.gpu:
        arguments += ["--gpu-memory-utilization", str(engine.gpu_memory_utilization)]
        arguments += ["--kv-cache-dtype", engine.kv_cache_dtype]
    else:
        arguments += ["--kv-cache-memory-bytes", str(int(engine.kv_cache_gib * 2**30))]
    if engine.enforce_eager:
        arguments.append("--enforce-eager")
    return arguments


def _environment(hardware: Hardware) -> dict[str, str]:
    cores = sorted(os.sched_getaffinity(0))
    return os.environ | {
        "PYTHONPATH": str(Path(__file__).resolve().parent / "engine_site"),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),  # left alone, vLLM keeps a core of two for itself
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
        "VLLM_ENGINE_ITERATION_TIMEOUT_S": "300",
    }
