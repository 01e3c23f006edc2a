"""The agent: one customer message in, one answer out, with the shop's prompt, memory, FAQ, tools and confirmations.

The order is fixed: consent to an open proposal, FAQ, then the engine with tools. The model proposes words and calls;
what may be read, what is written and what is said about it is decided here. Not covered: HTTP (`serving/gateway.py`).
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.chat import INTENT_MAX_TOKENS, agent_messages, intent_messages, language_of, parse_intent, wire
from data.schema import Function, Language, Message, ToolCall
from serving import wording
from serving.claims import checked
from serving.client import Completion, EngineClient, Usage
from serving.consent import consent
from serving.errors import BadRequest, ServiceError
from serving.faq_cache import FaqCache, Lookup
from serving.faq_guards import Setting
from serving.faq_tally import Tally
from serving.memory import CountTokens, Memory, Owner, window
from serving.proposals import Party, Proposal
from serving.reasoning import without_markup
from serving.release import Release
from serving.speech import Call
from serving.telemetry import Telemetry
from serving.toolset import CallResult, Toolset

MAX_ROUNDS = 4
MAX_CALLS = 4  # in one round
MAX_NOTES = 1000  # tokens
MAX_ARGUMENTS = 4000  # characters of a call's arguments
MAX_RESULT = 2000  # characters of a tool's result
_GREEDY: dict[str, Any] = {"temperature": 0.0}
_THINKING: dict[str, Any] = {"temperature": 0.6, "top_p": 0.95}  # greedy thinking repeats itself without end


@dataclass(frozen=True)
class Turn:
    """One request to the agent. `messages` ends with what the customer says; `notes` is the caller's system text."""

    messages: tuple[Message, ...]
    owner: Owner
    notes: str = ""
    conversation_id: str | None = None
    confirmation_id: str | None = None
    thinking: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)

    @property
    def new(self) -> tuple[Message, ...]:
        """The trailing messages of the customer."""
        start = len(self.messages)
        while start and self.messages[start - 1].role == "user":
            start -= 1
        return self.messages[start:]

    @property
    def text(self) -> str:
        """The customer's last message."""
        return self.messages[-1].content


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
    from_model: bool = False  # worded by the model, so that an intent is worth asking for
    exchange: list[Message] = field(default_factory=list)  # calls and results on the way, for the memory


@dataclass(frozen=True)
class Agent:
    """The agent of one release."""

    release: Release
    engine: EngineClient
    toolset: Toolset
    memory: Memory
    faq: FaqCache
    tally: Tally
    telemetry: Telemetry
    count: CountTokens

    async def answer(self, turn: Turn) -> Answer:
        """Answers one turn and remembers it.

        Raises:
            BadRequest: the message or the caller's notes are too long.
            NotFound: the conversation is somebody else's.
            EngineUnavailable, EngineTimeout: the engine did not answer.
        """
        self._check_lengths(turn)
        history: tuple[Message, ...] = ()
        if turn.conversation_id is not None:
            history = await asyncio.to_thread(self.memory.open, turn.conversation_id, turn.owner)
        language = customer_language(turn.text)
        customer = turn.owner.customer
        party = Party(customer, turn.conversation_id, language) if customer else None
        answer = await self._confirm(turn, party, language) or await self._from_faq(turn, history)
        if answer is None:
            messages = (*history, *turn.new) if turn.conversation_id is not None else turn.messages
            answer = await self._converse(turn, messages, party, language)
        if turn.conversation_id is not None:
            said = [*turn.new, *answer.exchange, Message(role="assistant", content=answer.content)]
            await asyncio.to_thread(self.memory.append, turn.conversation_id, turn.owner, said)
        return answer

    async def intent(self, text: str) -> str | None:
        """The intent of a customer's message by the released intent prompt; None if unparsable or the engine failed."""
        payload = {
            "messages": wire(intent_messages(text, self.release.prompts)),
            "temperature": 0.0,
            "max_tokens": INTENT_MAX_TOKENS,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        try:
            completion = Completion.of(await self.engine.complete(payload), calls=False)
        except ServiceError:  # a label is never worth an answer
            return None
        self.telemetry.used(completion.usage)
        label = parse_intent(completion.content, self.release.taxonomy.names)
        self.telemetry.intents.labels(label or "unparsable").inc()
        return label

    def _check_lengths(self, turn: Turn) -> None:
        history = self.release.recipe.serve.history
        if sum(self.count(message.content) for message in turn.new) > history:
            raise BadRequest(
                f"the message is longer than {history} tokens; shorten it",
                param="messages",
                code="context_length_exceeded",
            )
        if turn.notes and self.count(turn.notes) > MAX_NOTES:
            raise BadRequest(f"the system message is longer than {MAX_NOTES} tokens; shorten it", param="messages")

    async def _confirm(self, turn: Turn, party: Party | None, language: Language) -> Answer | None:
        """Executes what the customer consents to; the server words it. What is no consent voids what is open."""
        given = consent(turn.new, turn.confirmation_id)
        plain_yes = given is not None and given.id is None and given.code is None
        if party is None:
            return None if given is None or plain_yes else Answer(wording.reason("sign_in", language))
        if given is None or (plain_yes and turn.conversation_id is None):
            await asyncio.to_thread(self.toolset.void, party)
            return None
        proposal, outcome = await asyncio.to_thread(self.toolset.confirm, given, party)
        if proposal is None and plain_yes:
            return None  # a yes to something else than a proposal
        self.telemetry.confirmations.labels(outcome).inc()
        if proposal is None or outcome != "done":
            return Answer(wording.reason(outcome, language))
        done = {"name": proposal.tool, "arguments": dict(proposal.arguments), "status": "done"}
        return Answer(self.toolset.done(proposal, language), tools=[done])

    async def _from_faq(self, turn: Turn, history: Sequence[Message]) -> Answer | None:
        if turn.notes:
            return None
        found = self.faq.exact(turn.text)
        if found is None:
            earlier = (*history, *turn.new[:-1]) if turn.conversation_id is not None else turn.messages[:-1]
            near = self.faq.matcher is not None
            lookup, setting = self.faq.lookup, Setting(earlier)
            found = await asyncio.to_thread(lookup, turn.text, setting) if near else Lookup("miss")
        self.telemetry.faq.labels(found.kind).inc()
        if found.near is not None:
            self.tally.near_miss(turn.text, found.near.entry, found.near.probability, found.near.objections)
        if found.entry is None:
            return None
        self.tally.hit(found.entry, found.kind)
        return Answer(found.entry.answer, cache=found.public())

    async def _converse(
        self, turn: Turn, messages: Sequence[Message], party: Party | None, language: Language
    ) -> Answer:
        """Lets the model answer, with tools, in a bounded number of rounds."""
        answer = Answer("", from_model=True)
        shown = self._prompt(turn, messages, language)
        for round_ in range(1, MAX_ROUNDS + 1):
            last = round_ == MAX_ROUNDS
            completion = await self._complete(turn, (*shown, *answer.exchange), answer, last)
            answer.finish_reason = "length" if completion.finish_reason == "length" else "stop"
            if last or not completion.calls:
                break
            results = await self._run(completion, answer, party, round_)
            words = self._server_words(results, answer, language)
            if words:
                answer.content, answer.finish_reason = words, "stop"
                return answer
        content = checked(without_markup(completion.content), language)
        self.telemetry.withheld.inc(content.withheld)
        answer.content = content.text.strip() or wording.no_answer(language)
        return answer

    def _prompt(self, turn: Turn, messages: Sequence[Message], language: Language) -> tuple[Message, ...]:
        kept = window(messages, self.release.recipe.serve.history, self.count)
        system, *turns = agent_messages(kept, language, self.release.prompts)
        if turn.notes:
            system = system.model_copy(update={"content": f"{system.content}\n\n# Caller's notes\n{turn.notes}"})
        return (system, *turns)

    async def _complete(self, turn: Turn, messages: Sequence[Message], answer: Answer, last: bool) -> Completion:
        """One engine call; a second one without thinking if the thinking swallowed the answer."""
        completion = await self._call(turn, messages, answer, last, turn.thinking)
        if turn.thinking and not completion.calls and not without_markup(completion.content):
            self.telemetry.thinking_retries.inc()
            completion = await self._call(turn, messages, answer, last, False)
        return completion

    async def _call(
        self, turn: Turn, messages: Sequence[Message], answer: Answer, last: bool, thinking: bool
    ) -> Completion:
        serve = self.release.recipe.serve
        sampling = {**(_THINKING if thinking else _GREEDY), **turn.sampling}
        answer_tokens = min(sampling.pop("max_tokens", serve.answer_tokens), serve.answer_tokens)
        payload = {
            **sampling,
            "messages": wire(messages),
            "tools": list(self.release.tools),
            "tool_choice": "none" if last else "auto",
            "max_tokens": answer_tokens + (serve.thinking_tokens if thinking else 0),
            "chat_template_kwargs": {"enable_thinking": thinking},
        }
        completion = Completion.of(await self.engine.complete(payload), calls=not last)
        self.telemetry.used(completion.usage)
        answer.usage += completion.usage
        answer.reasoning = "\n\n".join(part for part in (answer.reasoning, completion.reasoning) if part)
        return completion

    async def _run(self, completion: Completion, answer: Answer, party: Party | None, round_: int) -> list[CallResult]:
        """Runs the calls of one round, in order, and adds calls and results to the exchange."""
        calls = [_parsed(call, f"call_{round_}_{index}") for index, call in enumerate(completion.calls[:MAX_CALLS])]
        content = without_markup(completion.content)
        answer.exchange.append(Message(role="assistant", content=content, tool_calls=tuple(calls)))
        results: list[CallResult] = []
        for call in calls:
            name, arguments = call.function.name, call.function.arguments
            if any(result.proposal for result in results) and self.toolset.writes(name):
                result = CallResult("invalid", "One change at a time: the customer was asked about another one.")
            else:
                result = await asyncio.to_thread(self.toolset.call, name, arguments, party)
            results.append(result)
            known = name if any(name == tool["function"]["name"] for tool in self.release.tools) else "unknown"
            self.telemetry.tool_calls.labels(known, result.status).inc()
            answer.tools.append({"name": name, "arguments": arguments, "status": result.status})
            answer.exchange.append(Message(role="tool", content=result.text[:MAX_RESULT], tool_call_id=call.id))
        return results

    def _server_words(self, results: Sequence[CallResult], answer: Answer, language: Language) -> str:
        """What the server says itself after a round: the question before a write, or why nothing could be done."""
        proposal = next((result.proposal for result in results if result.proposal), None)
        if proposal is not None:
            answer.confirmation = proposal
            what = self.toolset.asks(proposal, language)
            return wording.question(what, proposal.code, self.toolset.proposals.lifetime_s, language)
        refused = [result for result in results if result.reason]
        if len(refused) == len(results) or any(result.write for result in refused):
            return wording.reason(refused[0].reason or "failed", language)
        return ""


def customer_language(text: str) -> Language:
    """The language to answer in. Clients that pack a history into one message end it with what the customer says now,
    so that Chinese in its last lines counts as Chinese."""
    tail = "\n".join([line for line in text.splitlines() if line.strip()][-2:])
    return "zh" if "zh" in (language_of(text), language_of(tail)) else "en"


def _parsed(call: Call, fallback_id: str) -> ToolCall:
    """A call with its arguments as an object; what is no object of plain JSON becomes one that no schema accepts."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", call.name)[:64] or "unknown"
    return ToolCall(id=call.id or fallback_id, function=Function(name=name, arguments=_arguments(call.arguments)))


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text) if len(text) <= MAX_ARGUMENTS else None
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()  # neither NaN nor half a character
    except (ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {"malformed": text[:200].encode("ascii", "replace").decode()}
