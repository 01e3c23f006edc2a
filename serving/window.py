"""What of a long conversation the model is shown, counted on the rendered prompt with the release's own tokenizer.

A conversation that fits is shown as it is. Of one that does not, the latest exchanges are shown, and before them, word for
word, the exchange in which the order in question was last looked up and the one in which an address was confirmed: a shape of
conversation that training knows, unlike a summary. An exchange (what the customer says, with everything up to when they speak
again) is shown whole, so that a call is never parted from its result. Not covered: summaries.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from data.chat import render
from data.schema import Message
from serving.errors import BadRequest
from serving.tokenizer import ServedTokenizer

PINNED = 4  # a pinned exchange may take one part in so many of `history`
MIN_RESULT = 40  # characters of a tool's result that are not cut any further
MAX_PREFIXES = 64
MAX_FACT = 300  # characters
_CUT = "…"
_BEFORE, _AFTER = Message(role="system", content="-"), Message(role="user", content="-")


@dataclass(frozen=True)
class Facts:
    """What an exchange settled: the order that it was about, the address that the customer confirmed."""

    order_id: str | None = None
    address: str | None = None

    @classmethod
    def of(cls, tools: Sequence[Mapping[str, Any]]) -> "Facts":
        """Of the calls in an exchange (name, arguments, status): the order of the last that was not refused, and an address
        once it was confirmed."""
        order_id = address = None
        for tool in tools:
            if tool["status"] in ("ok", "proposed", "done"):
                order_id = _short(tool["arguments"].get("order_id")) or order_id
            if tool["status"] == "done":
                address = _short(tool["arguments"].get("new_addr")) or address
        return cls(order_id, address)


@dataclass(frozen=True)
class Exchange:
    """A customer's message, or several in a row, and everything up to the next one."""

    messages: tuple[Message, ...]
    facts: Facts = Facts()

    @property
    def text(self) -> str:
        """All that was said, called and returned in it."""
        said = (message.content for message in self.messages)
        called = (str(call.function.arguments) for message in self.messages for call in message.tool_calls)
        return "\n".join(chain(said, called))


@dataclass(frozen=True)
class Window:
    """The budgets of one release, in tokens: `history` for the conversation, `context` for everything."""

    tokenizer: ServedTokenizer
    history: int
    context: int
    tools: tuple[Mapping[str, Any], ...] = ()
    _prefixes: dict[str, tuple[int, int]] = field(default_factory=dict, init=False, repr=False)

    def shown(self, system: Message, exchanges: Sequence[Exchange], room: int = 0) -> tuple[Message, ...]:
        """The prompt's messages: `system`, what is pinned, the longest run of latest exchanges that fits.

        The last exchange is always in it. `room` tokens of `context` are left for the answer.

        Raises:
            BadRequest: the last exchange alone is too long for the model.
        """
        alone, _ = self._prefix(system)
        limit = alone + min(self.history, self.context - room - alone)
        whole = (system, *_joined(exchanges))
        if self._surely_fits(whole, self._rendered(whole), limit):
            return whole
        for start in range(self._earliest(exchanges, limit - alone), len(exchanges)):
            latest = exchanges[start:]
            pinned = (self._brief(one, (limit - alone) // PINNED) for one in settled(exchanges[:start], latest))
            chosen = (system, *_joined([*pinned, *latest]))
            if self._fits(chosen, limit):
                return chosen
        return (system, *self._squeezed(system, exchanges[-1], self.context - room))

    def _earliest(self, exchanges: Sequence[Exchange], budget: int) -> int:
        """Where the longest run begins that may fit: nothing is pinned there, and exchanges cost at least this much."""
        start, used = len(exchanges), 0
        while start and used <= budget:
            start -= 1
            used += self._cost(exchanges[start])
        return min(start + (used > budget), len(exchanges) - 1)

    def _cost(self, exchange: Exchange) -> int:
        """What an exchange adds to a prompt that goes on after it."""
        return self.tokenizer.count(render(self.tokenizer, (_BEFORE, *exchange.messages, _AFTER))) - self._alone

    @cached_property
    def _alone(self) -> int:
        return self.tokenizer.count(render(self.tokenizer, (_BEFORE, _AFTER)))

    def _brief(self, exchange: Exchange, budget: int) -> Exchange:
        """The exchange itself or, where that is too long, its fact as what was asked and the beginning of the answer."""
        if self._cost(exchange) <= budget:
            return exchange
        fact, answer = exchange.facts.order_id or exchange.facts.address or _CUT, exchange.messages[-1]
        for length in _halves(len(answer.content)):
            said = Message(role="assistant", content=answer.content[:length] + _CUT)
            cut = Exchange((Message(role="user", content=fact), said), exchange.facts)
            if self._cost(cut) <= budget:
                break
        return cut

    def _squeezed(self, system: Message, exchange: Exchange, limit: int) -> tuple[Message, ...]:
        """The last exchange alone; if need be, with the beginnings of what the tools returned."""
        messages = list(exchange.messages)
        while not self._fits((system, *messages), limit):
            longest = max(range(len(messages)), key=lambda i: len(messages[i].content) * (messages[i].role == "tool"))
            content = messages[longest].content
            if messages[longest].role != "tool" or len(content) < MIN_RESULT:
                told = (
                    f"the message is longer than the {limit - self._prefix(system)[0]} tokens that the model has for it"
                )
                raise BadRequest(f"{told}; shorten it", param="messages", code="context_length_exceeded")
            messages[longest] = messages[longest].model_copy(update={"content": content[: len(content) // 2] + _CUT})
        return tuple(messages)

    def _fits(self, messages: Sequence[Message], limit: int) -> bool:
        text = self._rendered(messages)
        return self._surely_fits(messages, text, limit) or self.tokenizer.count(text) <= limit

    def _surely_fits(self, messages: Sequence[Message], text: str, limit: int) -> bool:
        tokens, length = self._prefix(messages[0])
        # no token is shorter than a byte, so most conversations need no counting; a tokenizer that composes first (NFC) may
        # make a text longer that is not composed
        most = tokens + (len(text.encode()) - length) * (1 if unicodedata.is_normalized("NFC", text) else 3)
        return most <= limit

    def _prefix(self, system: Message) -> tuple[int, int]:
        """Tokens and bytes of a prompt without a conversation."""
        known = self._prefixes.get(system.content)
        if known is None:
            text = self._rendered((system,))
            known = self.tokenizer.count(text), len(text.encode())
            if len(self._prefixes) >= MAX_PREFIXES:  # callers' notes make more than the shop's two
                self._prefixes.clear()
            self._prefixes[system.content] = known
        return known

    def _rendered(self, messages: Sequence[Message]) -> str:
        return render(self.tokenizer, messages, tools=self.tools)


def exchanges_of(messages: Sequence[Message]) -> tuple[Exchange, ...]:
    """Cuts before every customer's message that follows anything else; several in a row belong together."""
    cuts: list[list[Message]] = []
    previous = None
    for message in messages:
        if not cuts or (message.role == "user" and previous != "user"):
            cuts.append([])
        cuts[-1].append(message)
        previous = message.role
    return tuple(Exchange(tuple(cut)) for cut in cuts)


def settled(earlier: Sequence[Exchange], latest: Sequence[Exchange]) -> list[Exchange]:
    """Of the earlier exchanges the last that was about an order and the last with a confirmed address, in their order, unless
    a later one says the same."""
    after = [*earlier, *latest]
    pinned: set[int] = set()
    for name in ("order_id", "address"):
        found = next((i for i in reversed(range(len(after))) if getattr(after[i].facts, name)), None)
        if found is None or found >= len(earlier):
            continue
        fact = str(getattr(after[found].facts, name))
        if not any(fact in exchange.text for exchange in latest):
            pinned.add(found)
    return [earlier[index] for index in sorted(pinned)]


def _short(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_FACT else None


def _joined(exchanges: Sequence[Exchange]) -> tuple[Message, ...]:
    return tuple(message for exchange in exchanges for message in exchange.messages)


def _halves(length: int) -> list[int]:
    """`length`, half of it, and so on down to nothing."""
    lengths = [length]
    while lengths[-1]:
        lengths.append(lengths[-1] // 2)
    return lengths
