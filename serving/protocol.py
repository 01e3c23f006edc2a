"""OpenAI's chat completions as we take and give them: the request with our own fields, the bodies of answers.

Every field of the current API is declared here: handled, taken without effect where that changes no answer, or refused by
name with the reason; a field that is not known is refused by name, too. Not covered: what a mode does with a request.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from data.schema import Message
from serving.body import Body
from serving.errors import BadRequest
from serving.messages import ChatMessage, for_agent
from serving.response_format import ResponseFormat
from serving.thinking import SHARES, Mode, Thinking
from serving.toolchoice import CallerTool, FunctionChoice, FunctionSpec, Offer, ToolChoice

_SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed",
    "stop",
)  # fmt: skip
_MODEL_MODE_ONLY = ("response_format", "logprobs", "top_logprobs", "logit_bias", "parallel_tool_calls")
# Fields that are not offered: what they may say all the same, and why there is no more.
_NOT_OFFERED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "n": ((1,), "a request has one answer"),
    "audio": ((), "answers are text"),
    "modalities": ((["text"],), "answers are text"),
    "moderation": ((), "what may be said is checked by the shop's own rules"),
    "service_tier": (("auto", "default"), "there is one tier"),
    "store": ((False,), "what is kept is a conversation, by its conversation_id"),
    "verbosity": (("medium",), "how long answers are is the prompt's matter"),
    "web_search_options": ((), "the agent knows its shop, not the web"),
}
_INT64 = 2**63
Penalty = Annotated[float, Field(ge=-2, le=2)]
Limit = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(max_length=512)]
StopText = Annotated[str, Field(min_length=1, max_length=256)]


class StreamOptions(Body):
    """What a stream carries beside the answer."""

    include_usage: bool | None = Field(False, description="the last chunk carries the usage")
    include_obfuscation: bool | None = Field(None, description="taken; streams carry no padding")


class TemplateOptions(Body):
    """The two switches where vLLM's clients put them."""

    enable_thinking: bool | Literal["auto"] | None = None
    return_reasoning: bool | None = None


class ChatRequest(Body):
    """The body of POST /v1/chat/completions. Non-empty `tools` or `functions` mean model mode, else agent mode."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, description="1 alone is offered")
    max_tokens: Limit | None = Field(None, description="the older name of max_completion_tokens")
    max_completion_tokens: Limit | None = Field(
        None, description="tokens of the answer; in model mode of thinking, too"
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=_INT64)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None
    # model mode
    tools: list[CallerTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = Field(None, description="false: at most one call an answer")
    functions: list[FunctionSpec] | None = Field(None, description="the older form of tools")
    function_call: FunctionChoice | None = Field(None, description="the older form of tool_choice")
    response_format: ResponseFormat | None = Field(None, description="the engine holds the answer to it")
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(None, description="needs logprobs")
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    # taken and without effect here
    user: Text | None = None
    metadata: Annotated[dict[Annotated[str, Field(max_length=64)], Text], Field(max_length=16)] | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None
    prompt_cache_options: dict[str, Any] | None = Field(None, description="without effect: prompts are cached always")
    prompt_cache_retention: str | None = Field(None, description="without effect: prompts are cached always")
    prediction: dict[str, Any] | None = Field(None, description="without effect: it would change the speed alone")
    # not offered
    audio: dict[str, Any] | None = Field(None, description="not offered: answers are text")
    modalities: list[Literal["text", "audio"]] | None = Field(None, description="[text] alone is offered")
    moderation: dict[str, Any] | None = Field(None, description="not offered")
    service_tier: str | None = Field(None, description="auto and default are offered, and are the same")
    store: bool | None = Field(None, description="false alone is offered")
    verbosity: Literal["low", "medium", "high"] | None = Field(None, description="medium alone is offered")
    web_search_options: dict[str, Any] | None = Field(None, description="not offered")
    # ours
    enable_thinking: bool | Literal["auto"] | None = Field(
        None, description="think before answering; auto: where the question looks as if it pays"
    )
    return_reasoning: bool | None = Field(None, description="the reasoning comes, too, in <think> before the answer")
    thinking_budget: Limit | None = Field(
        None, description="tokens of thinking at most; the release's budget holds anyhow"
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = Field(
        None, description="none and minimal: no thinking; low and medium: a quarter and a half of the budget"
    )
    chat_template_kwargs: TemplateOptions | None = None
    conversation_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    confirmation_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _whole_characters(cls, body: Any) -> Any:
        if isinstance(body, bytes):  # sent as something else than JSON
            return body
        try:
            json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("the body holds half of a surrogate pair") from error
        return body

    @property
    def mode(self) -> Literal["agent", "model"]:
        return "model" if self.tools or self.functions else "agent"

    @property
    def thinking(self) -> Thinking:
        """Whether and how long the model may think first; off unless asked for."""
        nested = self.chat_template_kwargs.enable_thinking if self.chat_template_kwargs else None
        asked = self.enable_thinking if self.enable_thinking is not None else nested
        share = SHARES.get(self.reasoning_effort or "", 1.0)
        if asked is None:
            asked = self.reasoning_effort is not None and share > 0
        mode: Mode = "auto" if asked == "auto" else "on" if asked else "off"
        return Thinking(mode, self.thinking_budget, share or 1.0)

    @property
    def with_reasoning(self) -> bool:
        """Whether the caller gets the reasoning."""
        nested = self.chat_template_kwargs.return_reasoning if self.chat_template_kwargs else None
        return bool(self.return_reasoning if self.return_reasoning is not None else nested)

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self) -> dict[str, Any]:
        """The sampling parameters that were given, under the engine's names."""
        given = {name: getattr(self, name) for name in _SAMPLING if getattr(self, name) is not None}
        limit = self.max_completion_tokens or self.max_tokens
        return {**given, "max_tokens": limit} if limit else given

    def offer(self) -> Offer:
        """The caller's tools, in either form.

        Raises:
            BadRequest: a choice among them that they do not hold.
        """
        if self.functions:
            return Offer.of_functions(self.functions, self.function_call)
        return Offer.of_tools(self.tools or (), self.tool_choice, self.parallel_tool_calls)

    def check(self) -> None:
        """Refuses what is not offered, or not in the request's mode.

        Raises:
            BadRequest: naming the field.
        """
        for name, (allowed, why) in _NOT_OFFERED.items():
            if (value := getattr(self, name)) is not None and value not in allowed:
                only = " or ".join(json.dumps(value) for value in allowed)
                told = f"{name} can only be {only}" if allowed else f"{name} is not offered"
                raise BadRequest(f"{told}: {why}", param=name, code="unsupported_value")
        if self.top_logprobs is not None and not self.logprobs:
            raise BadRequest("top_logprobs needs logprobs: true", param="top_logprobs")
        if self.mode == "model":
            if self.tools and self.functions:
                raise BadRequest("give tools or functions, not both", param="functions")
            self.offer()
            return
        for name, needs in (("tool_choice", "tools"), ("function_call", "functions")):
            if getattr(self, name) is not None:
                raise BadRequest(f"{name} needs {needs}; without them the agent uses its own", param=name)
        for name in _MODEL_MODE_ONLY:
            value = getattr(self, name)
            if value not in (None, False) and getattr(value, "type", None) != "text":
                raise BadRequest(f"{name} is offered in model mode only (with tools or functions)", param=name)

    def agent_messages(self) -> tuple[tuple[Message, ...], str]:
        """The messages for agent mode and the caller's system text; raises as `for_agent`."""
        return for_agent(self.messages)


class Thought(BaseModel):
    """Whether the model thought before an answer, why, and what that cost."""

    mode: Literal["on", "auto"] = Field(description="on: asked for; auto: decided by the endpoint's rule")
    used: bool
    reasons: list[str] = Field(description="what spoke for it: arithmetic, dates, conditions, length, intent, ...")
    budget: int = Field(description="tokens that it might take at most")
    tokens: int = Field(description="tokens that it took, as the engine counts them")


class Kefu(BaseModel):
    """What the endpoint knows about an answer: the top-level `kefu` of every body and of a stream's last chunk."""

    conversation_id: str | None = Field(None, description="the conversation that remembers this turn; null: none does")
    release: str = Field(description="the digest of the release that answered")
    intent: str | None = Field(None, description="the customer's intent, where known")
    cache: dict[str, str] | None = Field(
        None, description="the FAQ entry that answered: kind (exact, semantic), id, and how probable a semantic one was"
    )
    tools: list[dict[str, Any]] = Field([], description="calls that the server handled: name, arguments, status")
    confirmation: dict[str, Any] | None = Field(
        None, description="a write that waits for the customer's yes: id, code, tool, arguments, expires_at"
    )
    thinking: Thought | None = Field(None, description="whether the model thought; null: thinking is off")


class Envelope:
    """What every chunk and body of one answer shares: id, time, model, and the release as OpenAI's fingerprint."""

    def __init__(self, model: str, digest: str, id: str) -> None:
        self.id, self.created, self.model = id, int(time.time()), model
        self._fingerprint = f"fp_{digest[:12]}"

    def body(
        self,
        message: Mapping[str, Any],
        finish_reason: str,
        usage: Mapping[str, Any],
        kefu: Mapping[str, Any],
        **choice: Any,
    ) -> dict[str, Any]:
        """A whole answer."""
        said = {"role": "assistant", "refusal": None, **message}
        choices = [{"index": 0, "message": said, "finish_reason": finish_reason, "logprobs": None, **choice}]
        return {**self._head("chat.completion"), "choices": choices, "usage": dict(usage), "kefu": dict(kefu)}

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None, **choice: Any) -> dict[str, Any]:
        """A piece of a streamed answer."""
        choices = [{"index": 0, "delta": dict(delta), "finish_reason": finish_reason, **choice}]
        return {**self._head("chat.completion.chunk"), "choices": choices}

    def ending(
        self, finish_reason: str, usage: Mapping[str, Any] | None, kefu: Mapping[str, Any]
    ) -> Sequence[dict[str, Any]]:
        """The last chunks of a stream; the very last one carries `kefu`."""
        finish = self.chunk({}, finish_reason)
        if usage is None:
            return [{**finish, "kefu": dict(kefu)}]
        last = {**self._head("chat.completion.chunk"), "choices": [], "usage": dict(usage), "kefu": dict(kefu)}
        return [finish, last]

    def _head(self, kind: str) -> dict[str, Any]:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**head, "system_fingerprint": self._fingerprint}
