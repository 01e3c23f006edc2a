"""The endpoint's own metrics, one registry an application. Not covered: traces and logs."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from serving.client import Usage

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Telemetry:
    """Counters and histograms; labels come from closed sets, never from what a caller wrote."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("kefu_requests", "Requests by mode and HTTP status", "mode", "status")
        self.faq = self._counter("kefu_faq_lookups", "FAQ look-ups by result", "result")
        self.tool_calls = self._counter("kefu_tool_calls", "Tool calls by tool and how they ended", "tool", "status")
        self.confirmations = self._counter("kefu_confirmations", "Confirmations by outcome", "outcome")
        self.withheld = self._counter("kefu_withheld_sentences", "Sentences held back because they claimed a write")
        self.thinking_retries = self._counter("kefu_thinking_retries", "Answers asked again without thinking")
        self.thinking = self._counter(
            "kefu_thinking", "Answers by thinking mode and whether it was used", "mode", "used"
        )
        self.thinking_tokens = self._counter("kefu_thinking_tokens", "Tokens spent on thinking", "mode")
        self.intents = self._counter("kefu_intents", "Customer messages by predicted intent", "intent")
        self.tokens = self._counter("kefu_tokens", "Engine tokens", "kind")
        self.seconds = Histogram(
            "kefu_request_seconds",
            "Seconds from request to last byte",
            ["mode"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def used(self, usage: Usage) -> None:
        """Counts an engine call's tokens."""
        self.tokens.labels("prompt").inc(usage.prompt)
        self.tokens.labels("completion").inc(usage.completion)

    def thought(self, mode: str, used: bool, tokens: int) -> None:
        """Counts an answer with thinking on or on `auto`. What `auto` saved is its unused answers times a used one's tokens."""
        self.thinking.labels(mode, "yes" if used else "no").inc()
        self.thinking_tokens.labels(mode).inc(tokens)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)
