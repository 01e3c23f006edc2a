"""Production traces: what the endpoint logged in MLflow, as dialogs to learn from.

A trace is read by MLflow's own interface (`MlflowClient.search_traces`, page by page). Its root span has the request as
inputs and the answer as outputs, both in OpenAI's shape: `{"messages": [...], "tools": [...]}`, the messages being those that
the model was shown, and a chat completion (or its message alone). Tools that the server ran itself are spans of type TOOL
below it, with the tool's name, its arguments as inputs and its result as outputs. Each trace is one dialog of which only the
answer is learned, for earlier turns have traces of their own. Feedback is an assessment `thumbs`, true or false. A trace whose
tag `kefu.worded_by` is `server` (the question before a write, say) is left out: no model shall learn to say it.

The traces hold what customers wrote: redact before training on them. Not covered: traces of other forms, streamed chunks.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from data.artifact import home
from data.conversations import from_openai
from data.errors import BadInput, EnvironmentLacks
from data.rows import Found, nothing, parsed
from data.schema import Dialog, Language, Strict, Text
from data.shop import Shop
from data.transcript import as_json

PAGE = 100  # traces that are held at once
THUMBS = "thumbs"
WORDED_BY, BY_SERVER = "kefu.worded_by", "server"


class TracesSource(Strict):
    """Traces of one MLflow experiment, oldest first; failed requests are left out."""

    name: Literal["traces"]
    experiment: Text = "kefu-serving"
    filter: str | None = None  # in MLflow's language, such as trace.timestamp_ms > 1700000000000
    feedback: Literal["any", "not_bad", "good"] = "not_bad"  # not_bad leaves out thumbs down, good all but thumbs up
    tools: tuple[str, ...] | None = None  # what the server offers where a request has none; by default the shop's all
    language: Language | None = None

    def rows(self, shop: Shop) -> Iterator[Found[Dialog]]:
        """The dialogs, one by one."""
        offered = shop.tools if self.tools is None else self.tools
        empty = True
        for trace in self._traces():
            empty = False
            by_model = trace.info.tags.get(WORDED_BY) != BY_SERVER
            if by_model and _judged(trace.info.assessments, self.feedback):
                yield parsed(f"mlflow:{trace.info.trace_id}", self._dialog, trace, tuple(offered))
        if empty:
            yield nothing(f"mlflow:{self.experiment}")

    def _dialog(self, trace: Any, offered: tuple[str, ...]) -> Dialog:
        dialog = from_openai(openai_row(trace), trace.info.trace_id, "traces", self.language)
        return dialog if dialog.tools else dialog.model_copy(update={"tools": offered})

    def _traces(self) -> Iterator[Any]:
        """All traces, a page at a time."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = _uri()
        wanted = "trace.status = 'OK'" + (f" AND {self.filter}" if self.filter else "")
        try:
            client = MlflowClient(tracking_uri=uri)
            experiment = client.get_experiment_by_name(self.experiment)
            if experiment is None:
                raise BadInput(f"MLflow at {uri} has no experiment {self.experiment!r}; set experiment of the source")
            token, first = None, True
            while first or token:
                page = client.search_traces(
                    locations=[experiment.experiment_id],
                    filter_string=wanted,
                    max_results=PAGE,
                    order_by=["timestamp_ms ASC"],
                    page_token=token,
                )
                yield from page
                token, first = page.token, False
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise BadInput(f"MLflow at {uri} refuses the filter {self.filter!r}: {error}") from error
            raise EnvironmentLacks(f"MLflow at {uri} does not answer ({error}); start it") from error


def _uri() -> str:
    """As `pipelines/registry.py` chooses it, which this layer may not ask."""
    store = home().resolve() / "mlflow.db"
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    if not store.is_file():
        raise BadInput(f"{store}: no such file; nothing was traced here, or set MLFLOW_TRACKING_URI to the server")
    return f"sqlite:///{store}"


def openai_row(trace: Any) -> dict[str, Any]:
    """A trace as a row of OpenAI's form.

    Raises:
        ValueError: the root span has no messages or no answer.
    """
    spans = sorted(trace.data.spans, key=lambda span: int(span.start_time_ns))
    root = next((span for span in spans if span.parent_id is None), None)
    request = root.inputs if root is not None and isinstance(root.inputs, Mapping) else {}
    asked = request.get("messages")
    if root is None or not isinstance(asked, list) or not all(isinstance(message, Mapping) for message in asked):
        raise ValueError("the root span's inputs are no chat request; expected messages in OpenAI's shape")
    tools = list(request.get("tools") or [])
    # the shop's own prompt is added anew; a caller with tools of its own brings its own
    kept = [message for message in asked if tools or message.get("role") not in ("system", "developer")]
    messages = [{**message, "weight": 0} if message.get("role") == "assistant" else message for message in kept]
    for number, span in enumerate(span for span in spans if span.span_type == "TOOL"):
        messages += _ran(span, f"call_{number}")
    return {"messages": [*messages, _answer(root.outputs)], "tools": tools}


def _ran(span: Any, id: str) -> list[dict[str, Any]]:
    result = span.outputs if isinstance(span.outputs, str) else as_json(span.outputs)
    function = {"name": span.name, "arguments": as_json(span.inputs or {})}
    return [
        {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]},
        {"role": "tool", "content": result, "tool_call_id": id},
    ]


def _answer(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, Mapping) and outputs.get("choices"):
        outputs = outputs["choices"][0].get("message")
    if not isinstance(outputs, Mapping) or outputs.get("role") != "assistant":
        raise ValueError("the root span's outputs are no chat completion; expected an assistant's message")
    return {key: outputs[key] for key in ("role", "content", "tool_calls", "reasoning_content") if outputs.get(key)}


def _judged(assessments: Any, wanted: str) -> bool:
    """Whether the customer's last thumbs allow a trace."""
    thumbs = [bool(one.value) for one in assessments or [] if one.name == THUMBS and getattr(one, "valid", True)]
    return wanted == "any" or (thumbs[-1] if thumbs else wanted == "not_bad")
