"""Production traces from a real MLflow store: what the endpoint logged comes back as dialogs."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from data import traces
from data.chat import dialog_rows
from data.errors import BadInput
from data.schema import Dialog
from data.shop import Shop
from data.sources import TracesSource, read_sources

OURS = {"role": "system", "content": "You are the shop's agent."}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store with five requests: a plain turn with a history, one with a tool that the server ran, one with the caller's own
    tools, one that failed, one that is no chat."""
    import mlflow
    from mlflow.entities.trace_location import MlflowExperimentLocation

    folder = tmp_path_factory.mktemp("mlflow")
    os.environ["MLFLOW_TRACKING_URI"] = uri = f"sqlite:///{folder / 'm.db'}"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.create_experiment("kefu-serving", artifact_location=(folder / "artifacts").as_uri())
    mlflow.tracing.set_destination(MlflowExperimentLocation(experiment_id=experiment))
    history = [OURS, _said("user", "Hello"), _said("assistant", "Good day."), _said("user", "Do you ship to Cork?")]
    good = _log({"messages": history}, _completion(content="We do."))
    asked = [OURS, _said("user", "Where is 5550001?")]
    _log({"messages": asked}, _completion(content="It is packed."), ran=[({"order_id": "5550001"}, "packed")])
    mine = {"messages": [_said("system", "Be terse."), _said("user", "Look it up")], "tools": [TOOL]}
    bad = _log(mine, _completion(content=None, tool_calls=[CALL]))
    _log({"messages": asked}, None, fails=True)
    odd = _log({"question": "hm"}, "hm")
    mlflow.flush_trace_async_logging()
    for trace, up in ((good, True), (bad, True), (bad, False), (odd, True)):
        mlflow.log_feedback(trace_id=trace, name="thumbs", value=up)
    yield uri
    mlflow.tracing.reset()
    mlflow.set_tracking_uri(before)
    del os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture(autouse=True)
def server(kefu_home: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setattr(traces, "PAGE", 2)


def _said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _completion(**message: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", **message}}]}


def _log(request: Any, answer: Any, *, ran: Any = (), fails: bool = False) -> str:
    import mlflow

    time.sleep(0.002)  # traces are read in the order of their milliseconds
    with suppress(RuntimeError), mlflow.start_span("chat", span_type="CHAT_MODEL") as span:
        span.set_inputs(request)
        for arguments, result in ran:
            with mlflow.start_span("query_order_status", span_type="TOOL") as tool:
                tool.set_inputs(arguments)
                tool.set_outputs(result)
        if fails:
            raise RuntimeError
        span.set_outputs(answer)
    return str(span.trace_id)


def found(shop: Shop, **options: Any) -> list[Any]:
    return list(TracesSource.model_validate({"name": "traces", **options}).rows(shop))


def dialogs(shop: Shop, **options: Any) -> list[Dialog]:
    return [one.row for one in found(shop, **options) if one.row is not None]


def test_each_answer_is_one_dialog(shop: Shop) -> None:
    first, second = dialogs(shop)
    assert [message.role for message in first.messages] == ["user", "assistant", "user", "assistant"]
    assert [row.completion for row in dialog_rows(first, shop.prompts, shop.tools)] == ["We do."]
    assert first.tools == tuple(shop.tools) and first.source == "traces"
    assert [message.role for message in second.messages] == ["user", "assistant", "tool", "assistant"]
    (call,) = second.messages[1].tool_calls
    assert (call.function.name, call.function.arguments) == ("query_order_status", {"order_id": "5550001"})
    assert second.messages[2].content == "packed"


def test_a_caller_s_own_tools_and_prompt_stay(shop: Shop) -> None:
    third = dialogs(shop, feedback="any", tools=["query_order_status"])[-1]
    assert third.tools == (TOOL,)
    assert [message.role for message in third.messages] == ["system", "user", "assistant"]
    assert third.messages[-1].tool_calls[0].function.name == "look_up"


def test_feedback_decides(shop: Shop) -> None:
    counts = {wanted: len(dialogs(shop, feedback=wanted)) for wanted in ("any", "not_bad", "good")}
    assert counts == {"any": 3, "not_bad": 2, "good": 1}


def test_what_is_no_chat_is_named(shop: Shop) -> None:
    (problem,) = [one for one in found(shop) if one.row is None]
    assert problem.place.startswith("mlflow:tr-") and "no chat request" in problem.problem


def test_filters_and_what_is_missing(shop: Shop, kefu_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"mlflow:kefu-serving: is empty"):
        read_sources([TracesSource(name="traces", filter="trace.timestamp_ms < 5")], shop)
    with pytest.raises(BadInput, match="refuses the filter 'nonsense = 3'"):
        found(shop, filter="nonsense = 3")
    with pytest.raises(BadInput, match="no experiment 'other'"):
        found(shop, experiment="other")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(BadInput, match="nothing was traced here"):
        found(shop)
    assert not kefu_home.exists()
