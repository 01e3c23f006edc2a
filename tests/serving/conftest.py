"""An endpoint over a real SQLite shop and a real release folder; only the engine is faked, at the wire."""

import contextlib
import dataclasses
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from data.artifact import ArtifactStore
from data.chat import INTENT_MAX_TOKENS
from serving.customer_keys import CustomerKeys
from serving.database import Database
from serving.gateway import create_app
from serving.identity import mint
from serving.memory import ConversationTables
from serving.orders import Order, OrderStore, ShopTables, read_orders
from serving.release import Release
from serving.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[2]
KEYS = CustomerKeys.of(b"k" * 64)
Reply = dict[str, Any] | Exception | httpx.Response | Callable[[dict[str, Any]], Any]


def message(content: str | None = None, **fields: Any) -> dict[str, Any]:
    """An engine's answer: content, reasoning, tool_calls, finish_reason."""
    finish = fields.pop("finish_reason", "tool_calls" if fields.get("tool_calls") else "stop")
    return {"message": {"role": "assistant", "content": content, **fields}, "finish_reason": finish}


def call(name: str, arguments: Mapping[str, Any] | str, id: str = "call_a") -> dict[str, Any]:
    """One tool call as an engine gives it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": text}}


@dataclass
class FakeEngine:
    """vLLM's chat completions as the gateway sees them: scripted replies, recorded requests."""

    replies: list[Reply] = field(default_factory=list)
    intent: str = "order_status"
    requests: list[dict[str, Any]] = field(default_factory=list, repr=False)  # without the intent calls
    intents_asked: list[str] = field(default_factory=list)
    up: bool = True

    def say(self, *replies: Reply) -> None:
        """Queues replies; the last one repeats."""
        self.replies = list(replies)

    def answer(self, content: str | None = None, **fields: Any) -> None:
        self.say(message(content, **fields))

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            raise httpx.ConnectError("refused", request=request)
        if request.url.path == "/v1/completions":  # whether it is ready
            return httpx.Response(200, json={"choices": [{"text": "!"}]})
        body = json.loads(await request.aread())
        if body["max_tokens"] == INTENT_MAX_TOKENS and not body.get("tools"):
            self.intents_asked.append(body["messages"][-1]["content"])
            return self._whole(message(self.intent))
        self.requests.append(body)
        reply = self.replies[0] if len(self.replies) == 1 else self.replies.pop(0)
        if callable(reply):
            reply = await reply(body)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, httpx.Response):
            return reply
        assert isinstance(reply, dict)
        return self._streamed(reply) if body.get("stream") else self._whole(reply)

    def _whole(self, choice: dict[str, Any]) -> httpx.Response:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return httpx.Response(200, json={"id": "e", "choices": [{"index": 0, **choice}], "usage": usage})

    def _streamed(self, choice: dict[str, Any]) -> httpx.Response:
        said = choice["message"]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning": piece} for piece in _cut(said.get("reasoning") or "")]
        deltas += [{"content": piece} for piece in _cut(said.get("content") or "")]
        for index, one in enumerate(said.get("tool_calls") or ()):
            head = {"name": one["function"]["name"], "arguments": ""}
            deltas.append({"tool_calls": [{"index": index, "id": one["id"], "type": "function", "function": head}]})
            for piece in _cut(one["function"]["arguments"]):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
        chunks.append({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
        events = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]

        async def body() -> AsyncIterator[bytes]:
            for event in events:
                yield event.encode()

        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body())


def _cut(text: str, size: int = 3) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


class Helpers:
    """What tests say often, by name."""

    message = staticmethod(message)
    call = staticmethod(call)
    keys = KEYS

    @staticmethod
    def token(customer: str, lifetime_s: int = 600) -> dict[str, str]:
        return {"X-Customer-Token": mint(customer, KEYS, lifetime_s)}

    @staticmethod
    def events(text: str) -> list[dict[str, Any]]:
        """The chunks of a stream; it must end in [DONE]."""
        data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        assert data[-1] == "[DONE]"
        return [json.loads(line) for line in data[:-1]]


@pytest.fixture
def h() -> type[Helpers]:
    return Helpers


def make_release(store: ArtifactStore) -> Release:
    """A release folder with everything but weights; one token a byte."""

    def make(folder: Path) -> None:
        shutil.copytree(ROOT / "data" / "prompts", folder / "prompts")
        for name in ("tools.json", "faq.yaml", "intents.yaml"):
            shutil.copy(ROOT / "data" / name, folder / name)
        shutil.copy(ROOT / "recipes" / "smollm2-135m.yaml", folder / "recipe.yaml")
        (folder / "model").mkdir()
        tokenizer = Tokenizer(BPE(vocab={mark: i for i, mark in enumerate(sorted(ByteLevel.alphabet()))}, merges=[]))
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        tokenizer.save(str(folder / "model" / "tokenizer.json"))
        info = {
            "name": "smollm2-135m",
            "purpose": "production",
            "languages": ["en"],
            "numeric_path": "bf16",
            "model_names": ["kefu-1"],
            "created": "2026-11-23T00:00:00Z",
        }
        (folder / "release.json").write_text(json.dumps(info))

    return store.build(Release, make, inputs={}, section=None, code="test")


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(ArtifactStore(tmp_path_factory.mktemp("releases")))


@pytest.fixture
def engine() -> FakeEngine:
    fake = FakeEngine()
    fake.answer("Hello! How can I help?")
    return fake


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases as a first start leaves them; tests copy them, which is faster than making them."""
    folder = tmp_path_factory.mktemp("databases")
    Database.open(f"sqlite:///{folder}/conversations.db", ConversationTables).close()
    database = Database.open(f"sqlite:///{folder}/shop.db", ShopTables)
    OrderStore(database).seed(read_orders(ROOT / "data" / "seed" / "orders.jsonl"))
    database.close()
    return folder


@pytest.fixture
def shop(tmp_path: Path, seeded: Path) -> Iterator[OrderStore]:
    for file in seeded.iterdir():
        shutil.copy(file, tmp_path)
    database = Database.open(f"sqlite:///{tmp_path}/shop.db", ShopTables)
    yield OrderStore(database)
    database.close()


@pytest.fixture
def orders(shop: OrderStore) -> dict[str, Order]:
    """The orders as seeded."""
    return shop.all()


@pytest.fixture
def settings(release: Release, tmp_path: Path) -> GatewaySettings:
    return GatewaySettings(
        release=release,
        engine_base_url="http://engine",
        customer_keys=KEYS,
        shop_url=f"sqlite:///{tmp_path}/shop.db",
        conversations_url=f"sqlite:///{tmp_path}/conversations.db",
    )


@pytest.fixture
def app(settings: GatewaySettings, engine: FakeEngine, shop: OrderStore) -> FastAPI:
    return create_app(settings, transport=httpx.MockTransport(engine))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as client:
        yield client


@pytest.fixture
def opened(settings: GatewaySettings, engine: Any, shop: Any) -> Any:
    """An endpoint with changed settings, and a client of it."""

    @contextlib.asynccontextmanager
    async def open(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(dataclasses.replace(settings, **changes), transport=httpx.MockTransport(engine))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as client:
            yield client

    return open


@dataclass
class Chat:
    """A caller of the endpoint."""

    http: httpx.AsyncClient

    async def post(
        self, text: str | list[dict[str, Any]], headers: dict[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
        body = {"model": "kefu", "messages": messages, **body}
        return await self.http.post("/v1/chat/completions", json=body, headers=headers)

    async def __call__(
        self, text: str | list[dict[str, Any]], headers: dict[str, str] | None = None, **body: Any
    ) -> Any:
        response = await self.post(text, headers, **body)
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture
def chat(client: httpx.AsyncClient) -> Chat:
    return Chat(client)


@contextlib.contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """An application behind a real socket; gives its base URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def served(app: FastAPI) -> Iterator[str]:
    """The application behind a real socket; gives its base URL."""
    with listening(app) as url:
        yield url
