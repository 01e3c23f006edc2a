"""What only a real vLLM shows: a client that leaves frees its place, answers fit their schema, thinking ends in its budget."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from data.artifact import ArtifactStore
from data.chat import THINK_OPEN
from pipelines.base_model import prepare_base
from recipes.recipe import RECIPES, Recipe
from serving.engine import Engine, launch_of
from serving.gateway import create_app
from serving.release import Release
from serving.settings import GatewaySettings
from serving.supervisor import Supervisor, supervised
from tests.serving.conftest import KEYS, listening

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 2]}},
    "required": ["ok", "n"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """vLLM with the tiny random model, kept running."""
    folder, recipe = tmp_path_factory.mktemp("engine"), Recipe.read(RECIPES / "qwen3-tiny.yaml")
    base = prepare_base(ArtifactStore(folder), recipe.base)
    launch = launch_of(base.folder, recipe.serve, served_names=["kefu"], log=folder / "engine.log")
    with supervised(launch) as supervisor:
        yield supervisor


@pytest.fixture(scope="module")
def engine_url(supervisor: Supervisor) -> str:
    return supervisor.engine.base_url


@pytest.fixture(scope="module")
def url(engine_url: str, release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway before it, on a socket of its own."""
    folder = tmp_path_factory.mktemp("gateway")
    settings = GatewaySettings(
        release=release,
        engine_base_url=engine_url,
        customer_keys=KEYS,
        shop_url=f"sqlite:///{folder}/shop.db",
        conversations_url=f"sqlite:///{folder}/conversations.db",
        predict_intent=False,
    )
    with listening(create_app(settings)) as url:
        yield url


def asked(text: str = "hm", **fields: Any) -> dict[str, Any]:
    return {"model": "kefu", "messages": [{"role": "user", "content": text}], "temperature": 0.0, **fields}


def running(engine_url: str) -> float:
    """Requests that the engine works on."""
    lines = httpx.get(f"{engine_url}/metrics").text.splitlines()
    waiting = ("vllm:num_requests_running", "vllm:num_requests_waiting")
    return sum(float(line.split()[-1]) for line in lines if line.startswith(waiting) and "reason" not in line)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tools", [None, [TOOL]])
def test_a_client_that_leaves_frees_the_engines_place(url: str, engine_url: str, stream: bool, tools: Any) -> None:
    body = asked("Tell me everything.", stream=stream, tools=tools, stop=None, logit_bias=None)
    body |= {"max_completion_tokens": 4000, "temperature": 1.5, "repetition_penalty": 1.3}
    for _ in range(5):  # a random model may stop by itself at once
        left = _leave(url, engine_url, body)
        if left is not None:
            break
    assert left is not None, "the engine was never seen at work"
    assert left < 1, f"the engine worked on for {left:.2f} s"


def _leave(url: str, engine_url: str, body: dict[str, Any]) -> float | None:
    """Asks and leaves once the engine works; gives the seconds until it does no longer, None if it was done before."""
    address, raw = httpx.URL(url), json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: kefu\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}"
    with socket.create_connection((address.host, address.port or 80)) as client:
        client.sendall(f"{head}\r\n\r\n".encode() + raw)
        deadline = time.monotonic() + 10
        while not running(engine_url):
            if time.monotonic() > deadline:
                return None
    left = time.monotonic()
    while running(engine_url):
        if time.monotonic() > left + 10:
            return 10.0
    return time.monotonic() - left


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("thinking", [False, True])
def test_an_answer_fits_its_schema(url: str, stream: bool, thinking: bool) -> None:
    formatted = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
    body = asked(tools=[TOOL], tool_choice="none", response_format=formatted, stream=stream, enable_thinking=thinking)
    response = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120)
    assert response.status_code == 200, response.text
    if stream:
        chunks = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
        text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    else:
        text = response.json()["choices"][0]["message"]["content"]
    answer = json.loads(text)
    assert set(answer) == {"ok", "n"} and answer["n"] in (1, 2)


def test_the_engine_ends_the_thinking_at_its_budget(engine_url: str) -> None:
    """The gateway relies on it; a random model would think to the end of its tokens."""
    prompt = f"<|im_start|>user\nhm<|im_end|>\n<|im_start|>assistant\n{THINK_OPEN}\n"
    body = {"model": "kefu", "prompt": prompt, "max_tokens": 40, "temperature": 0, "thinking_token_budget": 8}
    answer = httpx.post(f"{engine_url}/v1/completions", json={**body, "skip_special_tokens": False}, timeout=120)
    assert answer.status_code == 200 and "</think>" in answer.json()["choices"][0]["text"], answer.text


def test_auto_and_budgets_are_taken_by_the_engine(url: str) -> None:
    for tools in (None, [TOOL]):
        body = asked("Two packs at 12.50 or five for 27: how much is each?", tools=tools, enable_thinking="auto")
        answer = httpx.post(f"{url}/v1/chat/completions", json={**body, "thinking_budget": 16}, timeout=120).json()
        assert answer["choices"][0]["message"]["content"]
        assert answer["kefu"]["thinking"]["used"] is True and answer["kefu"]["thinking"]["budget"] == 16


def test_logprobs_and_seed_reach_the_engine(url: str) -> None:
    body = asked(tools=[TOOL], tool_choice="none", logprobs=True, top_logprobs=2, seed=7, max_tokens=8)
    first, second = (httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).json() for _ in range(2))
    assert first["choices"] == second["choices"]


def test_a_killed_engine_comes_back(url: str, supervisor: Supervisor) -> None:
    died: Engine = supervisor.engine
    died.process.kill()
    deadline = time.monotonic() + 600
    while httpx.get(f"{url}/readyz", timeout=30).status_code != 503:
        assert time.monotonic() < deadline
    while httpx.get(f"{url}/readyz", timeout=30).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert supervisor.restarts == 1 and supervisor.engine.pid != died.pid
