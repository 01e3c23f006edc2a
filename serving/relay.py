"""Model mode: the caller brings tools and runs them; messages go to the engine verbatim and its calls come back.

The older `functions`/`function_call` are mapped to `tools` and back. Reasoning is kept apart here as in agent mode.
Not covered: memory, FAQ and the shop's own tools, which belong to the agent.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.client import Completion, EngineClient, Usage
from serving.errors import BadRequest
from serving.protocol import ChatMessage, ChatRequest, Envelope
from serving.reasoning import ThinkSplitter, joined, split
from serving.telemetry import Telemetry

_PASSED = ("tool_choice", "parallel_tool_calls", "response_format", "logprobs", "top_logprobs", "logit_bias")


@dataclass
class _Streaming:
    """The state of one streamed answer."""

    legacy: bool
    with_reasoning: bool
    splitter: ThinkSplitter = field(default_factory=ThinkSplitter)
    said: bool = False  # content or a call has left
    thought: bool = False  # a <think> is open in the content
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Relay:
    """Model mode over one engine."""

    engine: EngineClient
    telemetry: Telemetry
    default_tokens: int
    thinking_tokens: int

    async def answer(self, request: ChatRequest, envelope: Envelope, kefu: Mapping[str, Any]) -> dict[str, Any]:
        """A whole answer in OpenAI's shape."""
        body = await self.engine.complete(self._payload(request, request.thinking))
        completion = Completion.of(body)
        usage, reasoning = completion.usage, completion.reasoning
        if request.thinking and not completion.content and not completion.calls:
            self.telemetry.thinking_retries.inc()
            body = await self.engine.complete(self._payload(request, False))
            completion = Completion.of(body)
            usage += completion.usage
        self.telemetry.used(usage)
        message: dict[str, Any] = {"content": completion.content or None}
        if request.with_reasoning and reasoning:
            message = {
                "content": joined(completion.content, reasoning),
                "reasoning": reasoning,
                "reasoning_content": reasoning,
            }
        finish = completion.finish_reason
        if completion.calls:
            calls = body["choices"][0]["message"]["tool_calls"]
            message.update({"function_call": calls[0]["function"]} if request.functions else {"tool_calls": calls})
            finish = "function_call" if request.functions else "tool_calls"
        logprobs = body["choices"][0].get("logprobs")
        return envelope.body(message, finish, usage.public(), kefu, logprobs=logprobs)

    async def stream(
        self, request: ChatRequest, envelope: Envelope, kefu: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """The chunks of an answer as the engine writes it; asked again without thinking if that left nothing."""
        state = _Streaming(bool(request.functions), request.with_reasoning)
        first = True
        for thinking in (True, False) if request.thinking else (False,):
            if state.said:
                break
            if not thinking and request.thinking:
                self.telemetry.thinking_retries.inc()
            state.splitter = ThinkSplitter()
            async for delta, choice in self._deltas(self._payload(request, thinking), state):
                yield envelope.chunk({"role": "assistant", **delta} if first else delta, **choice)
                first = False
        self.telemetry.used(state.usage)
        if state.thought:
            yield envelope.chunk({"content": "\n</think>\n\n"})
        for chunk in envelope.ending(state.finish_reason, state.usage.public() if request.with_usage else None, kefu):
            yield chunk

    async def _deltas(
        self, payload: Mapping[str, Any], state: _Streaming
    ) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any]]]:
        async for chunk in self.engine.stream(payload):
            state.usage += Usage.of(chunk.get("usage"))
            for choice in chunk.get("choices") or ():
                delta = choice.get("delta") or {}
                extra = {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {}
                for piece in _pieces(delta, state):
                    yield piece, extra
                if choice.get("finish_reason"):
                    calls = choice["finish_reason"] == "tool_calls"
                    state.finish_reason = "function_call" if calls and state.legacy else choice["finish_reason"]
        for kind, text in state.splitter.end():
            for piece in _text(kind, text, state):
                yield piece, {}

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


def _pieces(delta: Mapping[str, Any], state: _Streaming) -> list[dict[str, Any]]:
    """What leaves for one delta of the engine."""
    pieces: list[dict[str, Any]] = []
    thought = delta.get("reasoning") or delta.get("reasoning_content")
    if thought:
        pieces += _text("reasoning", thought, state)
    for kind, text in state.splitter.feed(delta.get("content") or ""):
        pieces += _text(kind, text, state)
    calls = delta.get("tool_calls") or ()
    if calls:
        state.said = True
        pieces += _closed(state)
    if state.legacy:
        functions = (call.get("function") or {} for call in calls if not call.get("index"))
        pieces += [{"function_call": {k: v for k, v in function.items() if v is not None}} for function in functions]
    elif calls:
        pieces.append({"tool_calls": list(calls)})
    return pieces


def _text(kind: str, text: str, state: _Streaming) -> list[dict[str, Any]]:
    if kind == "content":
        if not state.said and not (text := text.lstrip()):
            return []
        state.said = True
        return [*_closed(state), {"content": text}]
    if not state.with_reasoning:
        return []
    opened = "" if state.thought else "<think>\n"
    state.thought = True
    return [{"content": opened + text, "reasoning": text, "reasoning_content": text}]


def _closed(state: _Streaming) -> list[dict[str, Any]]:
    if not state.thought:
        return []
    state.thought = False
    return [{"content": "\n</think>\n\n"}]


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
