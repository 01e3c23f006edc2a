"""What an engine answered: its text with reasoning and calls apart, and the tokens that it took. Not covered: asking it
(`serving/client.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import EngineUnavailable
from serving.speech import Call, Speech


@dataclass(frozen=True)
class Usage:
    """Tokens of one or of several completions."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0  # of the completion's
    cached: int = 0  # of the prompt's

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.reasoning + other.reasoning,
            self.cached + other.cached,
        )

    @classmethod
    def of(cls, usage: Mapping[str, Any] | None) -> "Usage":
        """From OpenAI's shape; missing is zero."""
        usage = usage or {}
        read, wrote = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
        return cls(
            usage.get("prompt_tokens") or 0,
            usage.get("completion_tokens") or 0,
            wrote.get("reasoning_tokens") or 0,
            read.get("cached_tokens") or 0,
        )

    @property
    def total(self) -> int:
        """All of them."""
        return self.prompt + self.completion

    def public(self) -> dict[str, Any]:
        """In OpenAI's shape; details only where there are any."""
        total = self.prompt + self.completion
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": total,
        }
        if self.reasoning:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning}
        if self.cached:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
        return usage


@dataclass(frozen=True)
class Completion:
    """One answer of the engine, its reasoning apart."""

    content: str
    reasoning: str
    calls: tuple[Call, ...]
    finish_reason: str
    usage: Usage

    @classmethod
    def of(cls, body: Mapping[str, Any], *, calls: bool = True) -> "Completion":
        """Reads the engine's JSON; calls that its parser left in the text are found there if they are wanted.

        Raises:
            EngineUnavailable: it is not a chat completion.
        """
        try:
            choice = body["choices"][0]
            message = choice["message"]
            speech = Speech(calls=calls)
            said = [*speech.feed({**message, "tool_calls": None}), *speech.end()]
            content = "".join(part[1] for part in said if part[0] == "content")
            reasoning = "".join(part[1] for part in said if part[0] == "reasoning")
            written = [part[1] for part in said if part[0] == "call"]
            parsed = [
                Call(call.get("id") or "", call["function"]["name"] or "", call["function"]["arguments"] or "")
                for call in message.get("tool_calls") or ()
            ]
            finish = choice.get("finish_reason") or "stop"
            return cls(content, reasoning, (*parsed, *written), finish, Usage.of(body.get("usage")))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EngineUnavailable("the engine's answer is not a chat completion") from error
