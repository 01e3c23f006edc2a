"""Model mode: the caller brings tools and runs them; messages go to the engine verbatim and its calls come back.

The older `functions`/`function_call` are mapped to `tools` and back. Reasoning is kept apart here as in agent mode.
Not covered: memory, FAQ and the shop's own tools, which belong to the agent.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.chat import language_of
from serving import wording
from serving.client import EngineClient
from serving.completion import Usage
from serving.messages import for_engine
from serving.protocol import ChatRequest, Envelope, Thought
from serving.speech import Said, Speech
from serving.telemetry import Telemetry
from serving.thinking import Decision
from serving.toolchoice import Offer

_ENDS = ("stop", "tool_calls", "function_call")
_PASSED = ("logprobs", "top_logprobs", "logit_bias")


@dataclass
class _Account:
    """The state of one answer."""

    with_reasoning: bool
    offer: Offer
    decision: Decision
    budget: int  # tokens of thinking
    said: bool = False  # content or a call has left
    called: int = 0
    thought: bool = False  # a <think> is open in the content
    cut: str | None = None  # the engine's reason to stop where that was neither an end nor a call
    usage: Usage = field(default_factory=Usage)

    @property
    def finish_reason(self) -> str:
        """Cut off or not; else whether there are calls, forced or not."""
        return self.cut or ("stop" if not self.called else "function_call" if self.offer.legacy else "tool_calls")


@dataclass(frozen=True)
class Relay:
    """Model mode over one engine. A whole answer is a stream, collected: so the two agree, whatever an engine's parsers do."""

    engine: EngineClient
    telemetry: Telemetry
    default_tokens: int
    thinking_tokens: int

    async def answer(self, request: ChatRequest, envelope: Envelope, kefu: Mapping[str, Any]) -> dict[str, Any]:
        """A whole answer in OpenAI's shape."""
        account = self._account(request)
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
        kefu = {**kefu, "thinking": self._thought(request, account)}
        logged = {"content": logprobs} if logprobs else None
        return envelope.body(message, account.finish_reason, account.usage.public(), kefu, logprobs=logged)

    async def stream(
        self, request: ChatRequest, envelope: Envelope, kefu: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """The chunks of an answer as the engine writes it."""
        account, role = self._account(request), {"role": "assistant"}
        async for delta, known in self._deltas(request, account):
            extra: dict[str, Any] = {"logprobs": {"content": known}} if known else {}
            yield envelope.chunk({**role, **delta}, **extra)
            role = {}
        usage = account.usage.public() if request.with_usage else None
        kefu = {**kefu, "thinking": self._thought(request, account)}
        for chunk in envelope.ending(account.finish_reason, usage, kefu):
            yield chunk

    def _account(self, request: ChatRequest) -> _Account:
        budget = request.thinking.tokens(self.thinking_tokens)
        if limit := request.sampling().get("max_tokens"):  # OpenAI counts thinking in; half is left for the answer
            budget = max(1, min(budget, limit // 2))
        return _Account(request.with_reasoning, request.offer(), request.thinking.decide(_asked(request)), budget)

    def _thought(self, request: ChatRequest, account: _Account) -> dict[str, Any] | None:
        """What `kefu` tells of the thinking; it is counted here."""
        mode, decision, tokens = request.thinking.mode, account.decision, account.usage.reasoning
        if mode == "off":
            return None
        self.telemetry.thought(mode, decision.think, tokens)
        reasons = list(decision.reasons)
        told = Thought(mode=mode, used=decision.think, reasons=reasons, budget=account.budget, tokens=tokens)
        return told.model_dump()

    async def _deltas(self, request: ChatRequest, account: _Account) -> AsyncIterator[tuple[dict[str, Any], list[Any]]]:
        """What leaves, with the logprobs of what can be seen; asked again without thinking if that left nothing."""
        think = account.decision.think
        for thinking in (True, False) if think else (False,):
            if think and not thinking:
                self.telemetry.thinking_retries.inc()
            async for said, known in self._said(self._payload(request, account, thinking), account):
                for delta in _leaving(said, account):
                    yield delta, known
                    known = []
            if account.said:
                break
        if not account.said:
            for delta in _leaving(("content", wording.no_answer(language_of(_asked(request)))), account):
                yield delta, []
        if account.thought:
            yield {"content": "\n</think>\n\n"}, []
        self.telemetry.used(account.usage)

    async def _said(self, payload: Mapping[str, Any], account: _Account) -> AsyncIterator[tuple[Said, list[Any]]]:
        speech = Speech(calls=account.offer.wanted)
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

    def _payload(self, request: ChatRequest, account: _Account, thinking: bool) -> dict[str, Any]:
        given = {name: getattr(request, name) for name in _PASSED if getattr(request, name) is not None}
        if request.response_format is not None:
            given["response_format"] = request.response_format.model_dump(by_alias=True, exclude_unset=True)
        offer = account.offer
        given |= {"tool_choice": offer.choice} if offer.choice is not None else {}
        given |= {"parallel_tool_calls": False} if offer.single else {}
        given |= {"thinking_token_budget": account.budget} if thinking else {}
        return {
            "max_tokens": self.default_tokens + (account.budget if thinking else 0),
            **request.sampling(),
            **given,
            "messages": for_engine(request.messages),
            "tools": list(offer.tools),
            "chat_template_kwargs": {"enable_thinking": thinking},
        }


def _leaving(said: Said, account: _Account) -> list[dict[str, Any]]:
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
    if index and account.offer.single:
        return closed
    account.called += 1
    function = {"name": call.name, "arguments": call.arguments}
    if account.offer.legacy:
        return [*closed, {"function_call": function}]
    return [*closed, {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}]


def _asked(request: ChatRequest) -> str:
    """What was asked last."""
    return next((message.text for message in reversed(request.messages) if message.role == "user"), "")
