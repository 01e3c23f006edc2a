"""Model mode: the caller brings tools and runs them; messages go to the engine verbatim and its calls come back.

The older `functions`/`function_call` are mapped to `tools` and back. Reasoning is kept apart here as in agent mode.
Not covered: memory, FAQ and the shop's own tools, which belong to the agent.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.chat import language_of
from data.schema import Language
from serving import wording
from serving.client import EngineClient, Usage
from serving.errors import BadRequest
from serving.protocol import ChatMessage, ChatRequest, Envelope
from serving.reasoning import split
from serving.speech import Said, Speech
from serving.telemetry import Telemetry

_ENDS = ("stop", "tool_calls", "function_call")
_PASSED = ("tool_choice", "parallel_tool_calls", "response_format", "logprobs", "top_logprobs", "logit_bias")


@dataclass
class _Account:
    """The state of one answer."""

    with_reasoning: bool
    said: bool = False  # content or a call has left
    called: int = 0
    thought: bool = False  # a <think> is open in the content
    cut: str | None = None  # the engine's reason to stop where that was neither an end nor a call
    usage: Usage = field(default_factory=Usage)

    def finish_reason(self, legacy: bool) -> str:
        """Cut off or not; else whether there are calls, forced or not."""
        return self.cut or ("stop" if not self.called else "function_call" if legacy else "tool_calls")


@dataclass(frozen=True)
class Relay:
    """Model mode over one engine. A whole answer is a stream, collected: so the two agree, whatever an engine's parsers do."""

    engine: EngineClient
    telemetry: Telemetry
    default_tokens: int
    thinking_tokens: int

    async def answer(self, request: ChatRequest, envelope: Envelope, kefu: Mapping[str, Any]) -> dict[str, Any]:
        """A whole answer in OpenAI's shape."""
        account = _Account(request.with_reasoning)
        content, reasoning = "", ""
        called: dict[str, Any] = {}
        logprobs: list[Any] = []
        async for delta, known in self._deltas(request, account):
            content += delta.get("content") or ""
            reasoning += delta.get("reasoning") or ""
            logprobs += known
            if "function_call" in delta:
                called["function_call"] = delta["function_call"]
            for call in delta.get("tool_calls") or ():
                called.setdefault("tool_calls", []).append({k: v for k, v in call.items() if k != "index"})
        message: dict[str, Any] = {"content": content or None, **called}
        if reasoning:
            message |= {"reasoning": reasoning, "reasoning_content": reasoning}
        finish, usage = account.finish_reason(bool(request.functions)), account.usage.public()
        return envelope.body(message, finish, usage, kefu, logprobs={"content": logprobs} if logprobs else None)

    async def stream(
        self, request: ChatRequest, envelope: Envelope, kefu: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """The chunks of an answer as the engine writes it."""
        account, role = _Account(request.with_reasoning), {"role": "assistant"}
        async for delta, known in self._deltas(request, account):
            extra: dict[str, Any] = {"logprobs": {"content": known}} if known else {}
            yield envelope.chunk({**role, **delta}, **extra)
            role = {}
        usage = account.usage.public() if request.with_usage else None
        for chunk in envelope.ending(account.finish_reason(bool(request.functions)), usage, kefu):
            yield chunk

    async def _deltas(self, request: ChatRequest, account: _Account) -> AsyncIterator[tuple[dict[str, Any], list[Any]]]:
        """What leaves, with the logprobs of what can be seen; asked again without thinking if that left nothing."""
        for thinking in (True, False) if request.thinking else (False,):
            if request.thinking and not thinking:
                self.telemetry.thinking_retries.inc()
            async for said, known in self._said(self._payload(request, thinking), _wants_calls(request), account):
                for delta in _leaving(said, account, bool(request.functions)):
                    yield delta, known
                    known = []
            if account.said:
                break
        if not account.said:
            for delta in _leaving(("content", wording.no_answer(_language(request))), account, False):
                yield delta, []
        if account.thought:
            yield {"content": "\n</think>\n\n"}, []
        self.telemetry.used(account.usage)

    async def _said(
        self, payload: Mapping[str, Any], calls: bool, account: _Account
    ) -> AsyncIterator[tuple[Said, list[Any]]]:
        speech = Speech(calls=calls)
        async for chunk in self.engine.stream(payload):
            account.usage += Usage.of(chunk.get("usage"))
            for choice in chunk.get("choices") or ():
                known = (choice.get("logprobs") or {}).get("content") or []
                for said in speech.feed(choice.get("delta") or {}):
                    yield said, known
                    known = []
                if reason := choice.get("finish_reason"):
                    account.cut = reason if reason not in _ENDS else None
        for said in speech.end():
            yield said, []

    def _payload(self, request: ChatRequest, thinking: bool) -> dict[str, Any]:
        given = {name: getattr(request, name) for name in _PASSED if getattr(request, name) is not None}
        tools = request.tools or [{"type": "function", "function": function} for function in request.functions or ()]
        if request.functions:
            given["parallel_tool_calls"] = False  # function_call has room for one
            if request.function_call is not None:
                given["tool_choice"] = _tool_choice(request.function_call)
        limit = self.default_tokens + (self.thinking_tokens if thinking else 0)
        return {
            "max_tokens": limit,
            **request.sampling(),
            **given,
            "messages": _modern([_verbatim(message) for message in request.messages]),
            "tools": tools,
            "chat_template_kwargs": {"enable_thinking": thinking},
        }


def _leaving(said: Said, account: _Account, legacy: bool) -> list[dict[str, Any]]:
    """The deltas of a message in which something said leaves."""
    if said[0] == "reasoning":
        if not account.with_reasoning:
            return []
        if account.said:  # too late to stand before the answer
            return [{"reasoning": said[1], "reasoning_content": said[1]}]
        opened = "" if account.thought else "<think>\n"
        account.thought = True
        return [{"content": opened + said[1], "reasoning": said[1], "reasoning_content": said[1]}]
    closed = [{"content": "\n</think>\n\n"}] if account.thought else []
    account.said, account.thought = True, False
    if said[0] == "content":
        return [*closed, {"content": said[1]}]
    index, call = account.called, said[1]
    account.called += 1
    function = {"name": call.name, "arguments": call.arguments}
    if not legacy:
        return [*closed, {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}]
    return [*closed, {"function_call": function}] if index == 0 else closed  # there is room for one


def _wants_calls(request: ChatRequest) -> bool:
    return "none" not in (request.tool_choice, request.function_call)


def _language(request: ChatRequest) -> Language:
    """The language of what was asked last."""
    texts = [message.content for message in request.messages if message.role == "user"]
    return language_of(texts[-1]) if texts and isinstance(texts[-1], str) else "en"


def _verbatim(message: ChatMessage) -> dict[str, Any]:
    """A caller's message as it came, less reasoning that an earlier answer carried."""
    sent = message.model_dump(exclude_unset=True)
    if message.role == "assistant":
        sent = {key: value for key, value in sent.items() if key not in ("reasoning", "reasoning_content", "kefu")}
        if isinstance(sent.get("content"), str):
            sent["content"] = split(sent["content"])[0]
    return sent


def _modern(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`function_call` and function messages as `tool_calls` and tool messages, which is what the template knows."""
    calls = 0
    for message in messages:
        if message.get("function_call"):
            calls += 1
            call = {"id": f"call_{calls}", "type": "function", "function": message.pop("function_call")}
            message["tool_calls"] = [call]
        elif message["role"] == "function":
            if not calls:
                raise BadRequest("a function message without a function_call before it", param="messages")
            message.update(role="tool", tool_call_id=f"call_{calls}")
    return messages


def _tool_choice(function_call: str | dict[str, Any]) -> str | dict[str, Any]:
    if isinstance(function_call, str):
        return function_call
    return {"type": "function", "function": function_call}
