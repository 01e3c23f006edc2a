"""MLflow's tracing store: traces with their spans, and feedback on them. It is imported at the first use.

Ids come from the answers' own, so that feedback finds its trace without a record of which is which. Built of MLflow's entities
and sent by its tracing client: its decorators would keep state of the process and swallow what goes wrong. Not covered: when
to send what (`serving/traces.py`), the forms of requests (`serving/trace_form.py`).
"""

import json
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.traces import THUMBS, WORDED_BY
from serving.answer_ids import random_part
from serving.observation import Observation, Span
from serving.trace_form import TraceForm

EXPERIMENT = "kefu-serving"
PREVIEW = 500  # characters
_TYPES = {"answer": "CHAT_MODEL", "intent": "LLM", "faq": "RETRIEVER"}


@dataclass(frozen=True)
class Thumbs:
    """What a customer thought of an answer; `comment` is redacted already."""

    answer_id: str
    up: bool
    comment: str | None = None


class TraceStore:
    """MLflow's tracing store; every method raises what MLflow raises."""

    def __init__(self, uri: str) -> None:
        self._uri, self._experiment = uri, ""
        self._client: Any = None

    def connect(self) -> Any:
        """The client, and the experiment made if it is not there."""
        if self._client is not None:
            return self._client
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from mlflow.tracing.client import TracingClient

        known = MlflowClient(tracking_uri=self._uri)
        found = known.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                self._experiment = known.create_experiment(EXPERIMENT, artifact_location=self._artifacts())
            except MlflowException:  # another process made it in this very moment
                found = known.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        self._experiment = found.experiment_id if found is not None else self._experiment
        self._client = TracingClient(self._uri)
        return self._client

    def send(self, seen: Observation, form: TraceForm, session: str | None) -> None:
        """One trace with its spans."""
        client = self.connect()
        trace_id = _trace_id(seen.answer_id or "")
        client.start_trace(_info(seen, form, trace_id, self._experiment, session))
        client.log_spans(self._experiment, _spans(seen, form, trace_id))

    def judge(self, thumbs: Thumbs) -> bool:
        """Attaches feedback to a trace; False if there is no such trace."""
        client = self.connect()
        from mlflow.entities import AssessmentSource, Feedback
        from mlflow.exceptions import MlflowException

        source = AssessmentSource(source_type="HUMAN", source_id="customer")
        feedback = Feedback(name=THUMBS, value=thumbs.up, rationale=thumbs.comment, source=source)
        try:
            client.log_assessment(_trace_id(thumbs.answer_id), feedback)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def _artifacts(self) -> str | None:
        """Beside a SQLite file, as `pipelines/registry.py` has it; a server knows its own place."""
        if not self._uri.startswith("sqlite:///"):
            return None
        return (Path(self._uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()


def _trace_id(answer_id: str) -> str:
    return f"tr-{random_part(answer_id)}"


def _info(seen: Observation, form: TraceForm, trace_id: str, experiment: str, session: str | None) -> Any:
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    prompt, completion = seen.tokens
    tokens = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}
    metadata = {"mlflow.trace.tokenUsage": json.dumps(tokens)} | ({"mlflow.trace.session": session} if session else {})
    said = form.answer["choices"][0]["message"]["content"] if form.answer else ""
    tags = {
        "mlflow.traceName": "chat",
        WORDED_BY: form.worded_by,
        "kefu.mode": seen.mode,
        "kefu.request_id": seen.request_id,
        "kefu.release": seen.kefu.get("release"),
        "kefu.intent": seen.kefu.get("intent"),
        "kefu.cache": (seen.kefu.get("cache") or {}).get("id"),
        "kefu.error": seen.error,
    }
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=seen.started_ns // 1_000_000,
        execution_duration=(seen.ended_ns - seen.started_ns) // 1_000_000,
        state=TraceState.OK if form.answer else TraceState.ERROR,
        request_preview=str(form.request["messages"][-1]["content"])[:PREVIEW],
        response_preview=said[:PREVIEW],
        client_request_id=seen.answer_id,
        trace_metadata=metadata,
        tags={name: value for name, value in tags.items() if value},
    )


def _spans(seen: Observation, form: TraceForm, trace_id: str) -> list[Any]:
    """The root with the texts, tools with theirs, other steps with numbers alone."""
    redacted = {id(span): (arguments, result) for span, arguments, result in form.tools}
    chat = Span("answer", "chat", form.request, form.answer, seen.started_ns, seen.ended_ns, seen.error)
    root = _span(chat, "CHAT_MODEL", trace_id, None)
    made = [root]
    for step in seen.spans:
        if id(step) in redacted:
            arguments, result = redacted[id(step)]
            made.append(_span(replace(step, inputs=arguments, outputs=result), "TOOL", trace_id, root))
        else:  # a tool that gave no result is none that a dialog could hold
            bare = replace(step, inputs=None, outputs=_numbers(step))
            made.append(_span(bare, _TYPES.get(step.step, "UNKNOWN"), trace_id, root))
    return made


def _numbers(step: Span) -> dict[str, Any] | None:
    if step.step == "faq":
        return {"entry": step.outputs if isinstance(step.outputs, str) else None}
    return {"prompt_tokens": step.tokens[0], "completion_tokens": step.tokens[1]} if any(step.tokens) else None


def _span(step: Span, kind: str, trace_id: str, parent: Any) -> Any:
    from mlflow.entities import Span as MlflowSpan
    from mlflow.tracing.utils import build_otel_context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Status, StatusCode

    trace = int(trace_id.removeprefix("tr-"), 16)
    values = {"mlflow.traceRequestId": trace_id, "mlflow.spanType": kind}
    values |= {"mlflow.spanInputs": step.inputs} if step.inputs is not None else {}
    values |= {"mlflow.spanOutputs": step.outputs} if step.outputs is not None else {}
    return MlflowSpan(
        ReadableSpan(
            name=step.name,
            context=build_otel_context(trace, secrets.randbits(63) + 1),
            parent=parent._span.context if parent is not None else None,
            resource=Resource.get_empty(),
            attributes={name: json.dumps(value, ensure_ascii=False) for name, value in values.items()},
            status=Status(StatusCode.ERROR, step.error) if step.error else Status(StatusCode.OK),
            start_time=step.started_ns,
            end_time=step.ended_ns,
        )
    )
