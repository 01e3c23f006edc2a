"""The endpoint's own metrics, one registry an application. Not covered: traces, logs, one sum over several processes."""

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.completion import Usage
from serving.observation import Observation

HANDOVER = "transfer_to_human"
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_CACHES = ("exact", "semantic")


class Telemetry:
    """Counters, gauges and histograms; labels come from closed sets, never from what a caller or a model wrote."""

    def __init__(self, tools: Collection[str] = ()) -> None:
        """`tools`: the names that a tool's label may have."""
        self.registry, self._tools = CollectorRegistry(), frozenset(tools)
        self.requests = self._counter("kefu_requests", "Requests by mode and HTTP status", "mode", "status")
        self.errors = self._counter("kefu_errors", "Requests that failed, by the class of the error", "error")
        self.faq = self._counter("kefu_faq_lookups", "FAQ look-ups by result", "result")
        self.cache_hits = self._counter("kefu_cache_hits", "Answers out of the FAQ cache by kind of match", "kind")
        self.tool_calls = self._counter("kefu_tool_calls", "Tool calls by tool and how they ended", "tool", "status")
        self.handovers = self._counter("kefu_handovers", "Customers handed over to people")
        self.confirmations = self._counter("kefu_confirmations", "Confirmations by outcome", "outcome")
        self.withheld = self._counter("kefu_withheld_sentences", "Sentences held back because they claimed a write")
        self.thinking_retries = self._counter("kefu_thinking_retries", "Answers asked again without thinking")
        self.thinking = self._counter(
            "kefu_thinking", "Answers by thinking mode and whether it was used", "mode", "used"
        )
        self.thinking_tokens = self._counter("kefu_thinking_tokens", "Tokens spent on thinking", "mode")
        self.intents = self._counter("kefu_intents", "Customer messages by predicted intent", "intent")
        self.tokens = self._counter("kefu_tokens", "Engine tokens", "kind")
        self.step_errors = self._counter("kefu_step_errors", "Steps of requests that failed", "step")
        self.feedback = self._counter("kefu_feedback", "Answers that were rated", "rating")
        self.traces = self._counter("kefu_traces", "Traces by what became of them", "result")
        self.swept = self._counter("kefu_swept_conversations", "Conversations whose retention time was over")
        self.in_flight = self._gauge("kefu_requests_in_flight", "Requests that are being served")
        self.engine_up = self._gauge("kefu_engine_up", "Whether the engine answered when last asked")
        self.engine_requests = self._gauge("kefu_engine_requests", "The engine's requests by state", "state")
        self.engine_cache = self._gauge("kefu_engine_cache_share", "How much of its KV cache the engine uses, 0 to 1")
        self.seconds = self._histogram("kefu_request_seconds", "Seconds from request to last byte", "mode")
        self.first_token = self._histogram("kefu_first_token_seconds", "Seconds to a stream's first token", "mode")
        self.steps = self._histogram("kefu_step_seconds", "Seconds of the steps of requests", "step")

    def used(self, usage: Usage) -> None:
        """Counts an engine call's tokens."""
        self.tokens.labels("prompt").inc(usage.prompt)
        self.tokens.labels("completion").inc(usage.completion)

    def thought(self, mode: str, used: bool, tokens: int) -> None:
        """Counts an answer with thinking on or on `auto`. What `auto` saved is its unused answers times a used one's tokens."""
        self.thinking.labels(mode, "yes" if used else "no").inc()
        self.thinking_tokens.labels(mode).inc(tokens)

    def finished(self, seen: Observation) -> None:
        """Counts what only the whole of a request shows."""
        if seen.error:
            self.errors.labels(seen.error).inc()
        if seen.first_token_s is not None:
            self.first_token.labels(seen.mode).observe(seen.first_token_s)
        for span in seen.spans:
            self.steps.labels(span.step).observe(span.seconds)
            if span.error:
                self.step_errors.labels(span.step).inc()
        if cache := seen.kefu.get("cache"):
            kind = cache.get("kind")
            self.cache_hits.labels(kind if kind in _CACHES else "other").inc()
        if any(tool["name"] == HANDOVER and tool["status"] in ("ok", "done") for tool in seen.kefu.get("tools") or ()):
            self.handovers.inc()

    def known_tool(self, name: str) -> str:
        """A tool's name as a label: one that a model made up is `unknown`."""
        return name if name in self._tools else "unknown"

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(name, about, labels, buckets=_SECONDS, registry=self.registry)
