"""One turn: what is asked of the agent, and what it answers. Not covered: how it finds the answer (`serving/agent.py`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from data.chat import language_of
from data.schema import Language, Message
from serving.completion import Usage
from serving.memory import Owner
from serving.proposals import Proposal
from serving.protocol import Thought
from serving.thinking import OFF, Thinking
from serving.window import Exchange


@dataclass(frozen=True)
class Turn:
    """One request to the agent. `messages` ends with what the customer says; `notes` is the caller's system text."""

    messages: tuple[Message, ...]
    owner: Owner
    notes: str = ""
    conversation_id: str | None = None
    confirmation_id: str | None = None
    thinking: Thinking = OFF
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def through(self, change: Callable[[str], str]) -> "Turn":
        """The turn with `change` made to everything that it says."""
        said = tuple(one.model_copy(update={"content": change(one.content)}) for one in self.messages)
        return replace(self, messages=said, notes=change(self.notes))

    @property
    def new(self) -> tuple[Message, ...]:
        """The trailing messages of the customer."""
        start = len(self.messages)
        while start and self.messages[start - 1].role == "user":
            start -= 1
        return self.messages[start:]

    def earlier(self, history: Sequence[Exchange]) -> tuple[Message, ...]:
        """What was said before the customer's last message, oldest first; `history` is what the conversation remembers."""
        if self.conversation_id is None:
            return self.messages[:-1]
        return (*(message for exchange in history for message in exchange.messages), *self.new[:-1])

    @property
    def text(self) -> str:
        """The customer's last message."""
        return self.messages[-1].content

    @property
    def language(self) -> Language:
        """The language to answer in."""
        return customer_language(self.text)


@dataclass
class Answer:
    """What the agent answers, and what there is to know about it."""

    content: str
    reasoning: str = ""
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    cache: dict[str, str] | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    confirmation: Proposal | None = None
    thinking: Thought | None = None
    intent: str | None = None  # where it was asked for before the answer
    from_model: bool = False  # worded by the model, so that an intent is worth asking for
    exchange: list[Message] = field(default_factory=list)  # calls and results on the way, for the memory


def customer_language(text: str) -> Language:
    """The language to answer in. Clients that pack a history into one message end it with what the customer says now,
    so that Chinese in its last lines counts as Chinese."""
    tail = "\n".join([line for line in text.splitlines() if line.strip()][-2:])
    return "zh" if "zh" in (language_of(text), language_of(tail)) else "en"
