"""Conformance against a gateway that delivers what was said, and against gateways with one fault each."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from data.chat import Prompts
from evals.cells import HAND_OVER, Cell, matrix
from evals.conformance import Conformance, conformance
from evals.reference import Serving
from evals.transcript import transcript
from tests.evals.served import served
from tests.serving.raw_engine import FORCED, RawEngine

Json = dict[str, Any]
TOOL = {"type": "function", "function": {"name": "query_order_status", "parameters": {"type": "object"}}}
CALL = '<tool_call>\n{"name": "query_order_status", "arguments": {"order_id": "20240518"}}\n</tool_call>'
PROMPTS = Prompts(agent={"en": "Be kind.", "zh": "请友好。"}, intent="Name it.")
SERVING = Serving("engine", PROMPTS, [TOOL], 48, 96, lambda text, language: text)
FEW = [cell for cell in matrix() if cell.language == "en" and cell.history in ("order", "chat") and not cell.thinking]
CELLS = [cell for cell in matrix() if cell.language == "en" and cell.history in ("order", "chat")]


def says(body: Json) -> str:
    """A model that calls for orders and chats else, thinking first where it may."""
    thought = "Let me think.\n</think>\n\n" if body["chat_template_kwargs"]["enable_thinking"] else ""
    return thought + (f"One moment. {CALL}" if "order" in body["messages"][-1]["content"] else "Good evening!")


class Gateway:
    """Delivers what `says` says; `fault` spoils a whole or streamed answer: content, reasoning, calls, finish."""

    def __init__(self, fault: Callable[[Json], None] | None = None, only_streams: bool = False) -> None:
        self.fault, self.only_streams = fault, only_streams

    def respond(self, path: str, body: Json) -> str:
        tools, choice = bool(body.get("tools") or body.get("functions")), body.get("tool_choice", "auto")
        raw = says({**body, "chat_template_kwargs": {"enable_thinking": body["enable_thinking"]}})
        raw = raw if choice in ("auto", "none") else FORCED
        said = transcript(raw, thinking=body["enable_thinking"], calls=choice != "none")
        if said.empty:
            said = transcript(raw, thinking=False)
        calls = [{"name": call.name, "arguments": json.dumps(call.arguments)} for call in said.calls]
        answer = {
            "content": said.content,
            "reasoning": said.reasoning if body["return_reasoning"] else "",
            "calls": calls if tools else [],
            "finish": "stop" if not (calls and tools) else "function_call" if "functions" in body else "tool_calls",
            "handled": [] if tools else [{**call, "arguments": json.loads(call["arguments"])} for call in calls],
        }
        if self.fault is not None and (body["stream"] or not self.only_streams):
            self.fault(answer)
        if answer["reasoning"]:
            answer["content"] = f"<think>\n{answer['reasoning']}\n</think>\n\n{answer['content']}"
        return _stream(answer, body) if body["stream"] else _whole(answer, body)


def _message(answer: Json, body: Json) -> Json:
    message = {"role": "assistant", "content": answer["content"] or None, "reasoning": answer["reasoning"]}
    if answer["calls"] and "functions" in body:
        return {**message, "function_call": answer["calls"][0]}
    calls = [{"index": n, "id": f"c{n}", "type": "function", "function": f} for n, f in enumerate(answer["calls"])]
    return {**message, "tool_calls": calls} if calls else message


def _whole(answer: Json, body: Json) -> str:
    choice = {"index": 0, "message": _message(answer, body), "finish_reason": answer["finish"]}
    return json.dumps({"choices": [choice], "kefu": {"tools": answer["handled"]}})


def _stream(answer: Json, body: Json) -> str:
    chunks = [
        {"choices": [{"index": 0, "delta": _message(answer, body), "finish_reason": None}]},
        {
            "choices": [{"index": 0, "delta": {}, "finish_reason": answer["finish"]}],
            "kefu": {"tools": answer["handled"]},
        },
    ]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + answer.get("end", "data: [DONE]\n\n")


def check(gateway: Gateway, cells: Sequence[Cell] = FEW) -> Conformance:
    with served(RawEngine(says).respond) as engine, served(gateway.respond) as url:
        return conformance(engine, url, SERVING, cells=cells)


def test_what_is_said_arrives() -> None:
    seen: list[int] = []
    with served(RawEngine(says).respond) as engine, served(Gateway().respond) as url:
        found = conformance(engine, url, SERVING, cells=CELLS, progress=seen.append)
    assert found.failures == ()
    assert found.cells == 2 * len(CELLS) and max(seen) == len(CELLS)
    assert found.evidence["calls"] and found.evidence["text"] and found.evidence["reasoning"]


def _leak(answer: Json) -> None:
    answer["content"] += "<tool_call>"


def _think(answer: Json) -> None:
    answer["reasoning"] = answer["reasoning"] or "Let me think."


def _lose(answer: Json) -> None:
    answer["calls"], answer["handled"] = [], []


def _invent(answer: Json) -> None:
    extra = {"name": "f", "arguments": "{}"}
    answer["calls"], answer["handled"] = [*answer["calls"], extra], [*answer["handled"], extra]


def _change(answer: Json) -> None:
    answer["calls"] = [{**call, "arguments": '{"order_id": "1"}'} for call in answer["calls"]]


def _break(answer: Json) -> None:
    answer["calls"] = [{**call, "arguments": call["arguments"][:-1]} for call in answer["calls"]]


def _empty(answer: Json) -> None:
    answer["content"] = ""


def _reword(answer: Json) -> None:
    answer["content"] += " And more."


def _finish(answer: Json) -> None:
    answer["finish"] = "content_filter"


def _hang_up(answer: Json) -> None:
    answer["end"] = ""


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_leak, "no <tool_call> expected"),
        (_think, "no reasoning expected"),
        (_lose, "calls [('query_order_status', {'order_id': '20240518'})] expected, found []"),
        (_lose, "the server was to handle [('query_order_status'"),
        (_invent, "calls [] expected, found [('f', '{}')]"),
        (_invent, "the server was to handle [] first"),
        (_change, "found [('query_order_status', '{\"order_id\": \"1\"}')]"),
        (_break, "found [('query_order_status', '{\"order_id\": \"20240518\"')]"),
        (_empty, "an answer expected, found nothing"),
        (_reword, "content 'Good evening!' expected, found 'Good evening! And more.'"),
        (_finish, "finish_reason tool_calls expected, found content_filter"),
        (_hang_up, "the stream does not end in [DONE]"),
    ],
)
def test_each_fault_is_named(fault: Callable[[Json], None], told: str) -> None:
    found = check(Gateway(fault), CELLS if fault is _think else FEW)
    assert any(told in failure.problem for failure in found.failures), [one.problem for one in found.failures]


def test_a_stream_that_differs_from_the_whole_is_named() -> None:
    found = check(Gateway(_reword, only_streams=True))
    assert found.failures and all(failure.cell.endswith("/stream") for failure in found.failures)
    assert any("the whole answer is" in failure.problem for failure in found.failures)


def test_an_engine_that_is_away_fails_every_cell() -> None:
    with served(Gateway().respond) as url:
        found = conformance("http://127.0.0.1:9", url, SERVING, cells=CELLS[:2])
    assert len(found.failures) == 2 and found.evidence == {"no reference": 2}


def test_the_matrix_is_whole_and_its_names_tell_cells_apart() -> None:
    cells = list(matrix())
    assert len({cell.name for cell in cells}) == len(cells) == 3 * 5 * 4 * 2 + 3 * 3 * 2
    forced = [cell for cell in cells if cell.forced]
    assert all(HAND_OVER in str(cell.offer([TOOL])["tools"]) for cell in forced)
    agent = Cell(mode="agent", thinking=False, shown=False, choice="auto", history="chat", language="zh")
    assert agent.offer([TOOL]) == {}
