"""A real HTTP server that speaks just enough of the engine's API, and evaluations made without any model."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from data.schema import Function, IntentCase, Language, Message, ToolCase
from evals.metrics import Evaluation, evaluate
from evals.predict import Prediction, ToolPrediction

Reply = Callable[[dict[str, Any]], tuple[int, Any]]
LABELS = ("order_status", "refund_status", "return_item", "out_of_scope")


class FakeEngine:
    """Answers every chat completion with `reply(body)`: a status and an object, a text, or None to hang up."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.reply: Reply = lambda body: (200, completion("order_status"))
        self.requests: list[dict[str, Any]] = []
        self.busiest = 0
        self.at_work = 0
        self.lock = threading.Lock()


def completion(content: str | None, tool_calls: Any = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if tool_calls is not None:
        message["tool_calls"] = tool_calls
    return {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": message}]}


@pytest.fixture
def fake_engine() -> Iterator[FakeEngine]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with engine.lock:
                engine.requests.append({"path": self.path, **body})
                engine.at_work += 1
                engine.busiest = max(engine.busiest, engine.at_work)
            try:
                status, answer = engine.reply(body)
            finally:
                with engine.lock:
                    engine.at_work -= 1
            if answer is None:  # the connection breaks
                self.close_connection = True
                return
            payload = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    engine = FakeEngine(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield engine
    server.shutdown()
    thread.join()
    server.server_close()


def intent_predictions(
    cases: int,
    wrong: Sequence[int] = (),
    *,
    language: Language = "en",
    held_out: bool = False,
    labels: Sequence[str] = LABELS,
    styles: Sequence[str] = ("plain", "plain", "typos"),
) -> list[Prediction]:
    """`cases` predictions, labels in turn; those at the indices `wrong` name the next label instead."""
    found = []
    for index in range(cases):
        label, other = labels[index % len(labels)], labels[(index + 1) % len(labels)]
        name = f"{language}-{'held' if held_out else 'frozen'}-{index}"
        style = styles[index // len(labels) % len(styles)]
        case = IntentCase(id=name, text=f"text of {name}", intent=label, language=language, style=style)
        found.append(Prediction(case=case, predicted=other if index in wrong else label, raw=label, held_out=held_out))
    return found


def tool_predictions(cases: int, wrong: Sequence[int] = (), *, language: Language = "en") -> list[ToolPrediction]:
    """`cases` tool predictions, every third without a due call; those at `wrong` do the opposite of what is due."""
    found = []
    for index in range(cases):
        call = Function(name="query_order_status", arguments={"order_id": str(index)})
        expect = None if index % 3 == 0 else call
        turn = Message(role="user", content=f"where is {index}?")
        case = ToolCase(id=f"tool-{language}-{index}", messages=(turn,), expect=expect, language=language)
        due = (expect is not None) != (index in wrong)
        found.append(ToolPrediction(case=case, calls=(call,) if due else (), raw="" if due else "Hello."))
    return found


def evaluation(
    predictions: Sequence[Prediction], tools: Sequence[ToolPrediction] = (), digest: str = "fp8", **changes: Any
) -> Evaluation:
    built = {"numeric_path": "w8a8", "labels": LABELS, "model": digest, "model_digest": digest} | changes
    return evaluate(predictions=predictions, tool_predictions=tools, **built)


def unsummarized(
    predictions: Sequence[Prediction], tools: Sequence[ToolPrediction] = (), digest: str = "fp8", **changes: Any
) -> Evaluation:
    """An evaluation without any figure of its own, as the gate may believe none; much faster to make."""
    built = {"numeric_path": "w8a8", "labels": LABELS, "model": digest, "model_digest": digest, "offered": ()} | changes
    empty: dict[str, Any] = {"overall": None, "languages": {}, "tools": None, "tool_languages": {}, "digests": {}}
    return Evaluation(
        **built, **empty, predictions=tuple(predictions), tool_predictions=tuple(tools), unparsable=0.0, failed=0
    )
