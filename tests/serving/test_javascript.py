"""The official `openai` package for JavaScript, under Node, over a real socket."""

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving.npm import FOLDER, NODE, packages

pytestmark = pytest.mark.services
Play = Callable[[str], Any]


@pytest.fixture
def play(served: str) -> Play:
    """Plays a scene of `javascript/ask.js`; gives what the client got."""
    packages()

    def played(scene: str) -> Any:
        command = [str(NODE), str(FOLDER / "ask.js"), f"{served}/v1", scene]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return played


def test_answers_whole_and_streamed(play: Play, engine: Any, settings: Any) -> None:
    engine.answer("你好！有什么可以帮您？")
    assert "kefu" in play("models")
    whole = play("whole")
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "你好！有什么可以帮您？"} | {
        key: None for key in whole["choices"][0]["message"] if key not in ("role", "content")
    }
    assert whole["usage"]["total_tokens"] == 15
    assert whole["kefu"]["release"] == settings.release.digest
    *chunks, last = play("stream")
    content = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert content == "你好！有什么可以帮您？"
    assert last["usage"]["total_tokens"] == 15 and last["kefu"]["intent"] == "order_status"


def test_thinking_comes_when_asked_for(play: Play, engine: Any) -> None:
    engine.answer("您好。", reasoning="想一想")
    message = play("thinking")["choices"][0]["message"]
    assert message["content"] == "<think>\n想一想\n</think>\n\n您好。"
    assert message["reasoning_content"] == "想一想"
    assert play("whole")["choices"][0]["message"]["content"] == "您好。"


def test_tools_whole_streamed_and_run(play: Play, engine: Any, h: Any) -> None:
    call = h.message(None, tool_calls=[h.call("query_order_status", {"order_id": "123456"})])
    engine.say(call)
    for scene in ("tools", "toolsStreamed"):
        choice = play(scene)["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        (made,) = choice["message"]["tool_calls"]
        assert made["type"] == "function" and made["id"]
        assert made["function"]["name"] == "query_order_status"
        assert json.loads(made["function"]["arguments"]) == {"order_id": "123456"}
    engine.say(call, h.message("已打包。"))
    assert play("toolsRun") == {"content": "已打包。", "seen": ["123456"]}
    assert engine.requests[-1]["messages"][-1]["content"] == "packed"


def test_conversation_is_remembered(play: Play, engine: Any) -> None:
    assert play("conversation")["kefu"]["conversation_id"] == "js-1"
    asked = [message["content"] for message in engine.requests[-1]["messages"] if message["role"] == "user"]
    assert asked == ["在吗，请问", "还有一个问题"]


def test_errors_have_the_clients_classes(play: Play, engine: Any) -> None:
    assert play("unknownModel") == {
        "error": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model",
    }  # fmt: skip
    told = play("unknownField")
    assert (told["error"], told["code"], told["param"]) == ("BadRequestError", "unknown_field", "nonsense")
    engine.up = False
    assert play("engineAway")["status"] == 503


def test_abort_ends_the_work_behind(play: Play, engine: Any) -> None:
    stopped = []

    async def never(_body: Any) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(True)
            raise

    engine.say(never)
    assert play("aborted")["error"] == "APIUserAbortError"
    deadline = time.monotonic() + 2
    while not stopped and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stopped
