"""The agent: one customer message in, one answer out, with the shop's prompt, memory, FAQ, tools and confirmations.

The order is fixed: consent to an open proposal, FAQ, then the engine with tools. The model proposes words and calls;
what may be read, what is written and what is said about it is decided here. Not covered: HTTP (`serving/gateway.py`).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from data.chat import INTENT_MAX_TOKENS, agent_messages, intent_messages, parse_intent, wire
from data.schema import Language, Message
from serving import wording
from serving.claims import Checked, Known, checked
from serving.client import EngineClient
from serving.completion import Completion
from serving.consent import consent
from serving.errors import BadRequest, ServiceError
from serving.faq_cache import FaqCache
from serving.memory import CountTokens
from serving.observation import span
from serving.proposals import Confirmation, Party
from serving.protocol import Thought
from serving.reasoning import without_markup
from serving.release import Release
from serving.telemetry import Telemetry
from serving.thinking import Decision, intent_decides
from serving.tool_calls import ToolCalls, read_calls, words
from serving.tools.facts import facts_of
from serving.toolset import CallResult, Toolset
from serving.turn import Answer, Turn
from serving.turns import Turns
from serving.window import Exchange, Facts, Window, exchanges_of

MAX_ROUNDS = 4
MAX_NOTES = 1000  # tokens
MAX_RESULT = 2000  # characters of a tool's result
_GREEDY: dict[str, Any] = {"temperature": 0.0}
_THINKING: dict[str, Any] = {"temperature": 0.6, "top_p": 0.95}  # greedy thinking repeats itself without end


@dataclass(frozen=True)
class Agent:
    """The agent of one release."""

    release: Release
    engine: EngineClient
    toolset: Toolset
    turns: Turns
    faq: FaqCache
    telemetry: Telemetry
    count: CountTokens
    window: Window

    async def answer(self, turn: Turn) -> Answer:
        """Answers one turn and remembers it.

        Raises:
            BadRequest: the message or the caller's notes are too long.
            NotFound: the conversation is somebody else's.
            EngineUnavailable, EngineTimeout: the engine did not answer.
        """
        turn = turn.through(self._plain)
        self._check_lengths(turn)
        language = turn.language
        customer = turn.owner.customer
        party = Party(customer, turn.conversation_id, language) if customer else None
        try:
            async with self.turns.turn(turn.conversation_id, turn.owner) as held:
                answer = await self._answer(turn, held.exchanges, party, language)
                said = [*turn.new, *answer.exchange, Message(role="assistant", content=answer.content)]
                held.add(said, Facts.of(answer.tools))
        except BaseException:  # a question that nobody was shown must not be answered by the next yes
            if party is not None:
                with contextlib.suppress(Exception):
                    await self._calls.void(party)
            raise
        return answer

    async def _answer(self, turn: Turn, history: Sequence[Exchange], party: Party | None, language: Language) -> Answer:
        answer = await self._confirm(turn, party, language, history) or self._from_faq(turn)
        if answer is None:
            kept = turn.conversation_id is not None
            exchanges = (*history, Exchange(turn.new)) if kept else exchanges_of(turn.messages)
            answer = await self._converse(turn, exchanges, party, language)
        if answer.thinking is not None:
            self.telemetry.thought(answer.thinking.mode, answer.thinking.used, answer.thinking.tokens)
        return answer

    async def intent(self, text: str) -> str | None:
        """The intent of a customer's message by the released intent prompt; None if unparsable or the engine failed."""
        payload = {
            "messages": wire(intent_messages(self._plain(text), self.release.prompts)),
            "temperature": 0.0,
            "max_tokens": INTENT_MAX_TOKENS,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        try:
            completion = Completion.of(await self.engine.complete(payload, "intent"), calls=False)
        except ServiceError:  # a label is never worth an answer
            return None
        self.telemetry.used(completion.usage)
        label = parse_intent(completion.content, self.release.taxonomy.names)
        self.telemetry.intents.labels(label or "unparsable").inc()
        return label

    def _plain(self, text: str) -> str:
        """What customers, callers and the shop's records say, so that none of it counts as a mark of the template."""
        return self.window.tokenizer.plain(text)

    @cached_property
    def _calls(self) -> ToolCalls:
        return ToolCalls(self.toolset)

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

    async def _confirm(
        self, turn: Turn, party: Party | None, language: Language, history: Sequence[Exchange]
    ) -> Answer | None:
        """Executes what the customer consents to; the server words it. What is no consent voids what is open.

        A plain yes means the question that the answer before it was: one that a crash kept from the customer has no yes.
        """
        given = consent(turn.new, turn.confirmation_id)
        plain_yes = given is not None and given.id is None and given.code is None
        if plain_yes:
            code = wording.asked_code(history[-1].messages[-1].content) if history else None
            given = Confirmation(code=code) if code else None
        if party is None:
            return None if given is None or plain_yes else Answer(wording.reason("sign_in", language))
        if given is None:
            await self._calls.void(party)
            return None
        proposal, outcome = await self._calls.confirm(given, party)
        self.telemetry.confirmations.labels(outcome).inc()
        if proposal is None or outcome != "done":
            return Answer(wording.reason(outcome, language))
        done = {"name": proposal.tool, "arguments": dict(proposal.arguments), "status": "done"}
        return Answer(self.toolset.done(proposal, language), tools=[done])

    def _from_faq(self, turn: Turn) -> Answer | None:
        if turn.notes:
            return None
        with span("faq", "faq") as seen:
            entry = self.faq.lookup(turn.text)
            seen.outputs = entry.id if entry else None
        self.telemetry.faq.labels("hit" if entry else "miss").inc()
        return Answer(entry.answer, cache={"kind": "exact", "id": entry.id}) if entry else None

    async def _converse(
        self, turn: Turn, exchanges: Sequence[Exchange], party: Party | None, language: Language
    ) -> Answer:
        """Lets the model answer, with tools, in a bounded number of rounds."""
        answer = Answer("", from_model=True)
        decision = await self._decide(turn, answer)
        system, serve = self._system(turn, language), self.release.recipe.serve
        room = serve.answer_tokens + (turn.thinking.tokens(serve.thinking_tokens) if decision.think else 0)
        for round_ in range(1, MAX_ROUNDS + 1):
            last = round_ == MAX_ROUNDS
            latest = Exchange((*exchanges[-1].messages, *answer.exchange))
            # of a long conversation this takes milliseconds, which others shall not wait for
            shown = await asyncio.to_thread(self.window.shown, system, (*exchanges[:-1], latest), room)
            completion = await self._complete(turn, shown, answer, last, decision.think)
            answer.finish_reason = "length" if completion.finish_reason == "length" else "stop"
            if last or not completion.calls:
                break
            results = await self._run(completion, answer, party, round_)
            said, answer.confirmation = words(self.toolset, results, language)
            if said:
                answer.content, answer.finish_reason = said, "stop"
                return answer
        content = await self._checked(without_markup(completion.content), answer, party, language)
        answer.content = content.text.strip() or wording.no_answer(language)
        return answer

    async def _decide(self, turn: Turn, answer: Answer) -> Decision:
        """Whether the model thinks; on `auto` the intent is asked for first where it could turn the decision."""
        mode = turn.thinking.mode
        if mode == "auto" and intent_decides(turn.text):
            answer.intent = await self.intent(turn.text)
        decision = turn.thinking.decide(turn.text, answer.intent)
        if mode != "off":
            budget = turn.thinking.tokens(self.release.recipe.serve.thinking_tokens)
            reasons = list(decision.reasons)
            answer.thinking = Thought(mode=mode, used=decision.think, reasons=reasons, budget=budget, tokens=0)
        return decision

    def _system(self, turn: Turn, language: Language) -> Message:
        (system,) = agent_messages((), language, self.release.prompts)
        if not turn.notes:
            return system
        return system.model_copy(update={"content": f"{system.content}\n\n# Caller's notes\n{turn.notes}"})

    async def _complete(
        self, turn: Turn, messages: Sequence[Message], answer: Answer, last: bool, thinking: bool
    ) -> Completion:
        """One engine call; a second one without thinking if the thinking swallowed the answer."""
        completion = await self._call(turn, messages, answer, last, thinking)
        if thinking and not completion.calls and not without_markup(completion.content):
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
            "max_tokens": answer_tokens,
            "chat_template_kwargs": {"enable_thinking": thinking},
        }
        if thinking:
            budget = turn.thinking.tokens(serve.thinking_tokens)
            payload |= {"max_tokens": answer_tokens + budget, "thinking_token_budget": budget}
        completion = Completion.of(await self.engine.complete(payload), calls=not last)
        self.telemetry.used(completion.usage)
        answer.usage += completion.usage
        if answer.thinking is not None:
            answer.thinking.tokens += completion.usage.reasoning
        answer.reasoning = "\n\n".join(part for part in (answer.reasoning, completion.reasoning) if part)
        return completion

    async def _run(self, completion: Completion, answer: Answer, party: Party | None, round_: int) -> list[CallResult]:
        """Runs the calls of one round, and adds calls and results to the exchange."""
        calls = read_calls(completion.calls, round_)
        content = without_markup(completion.content)
        answer.exchange.append(Message(role="assistant", content=content, tool_calls=calls))
        results = await self._calls.run(calls, party)
        for call, result in zip(calls, results, strict=True):
            name, arguments = call.function.name, call.function.arguments
            known = self.telemetry.known_tool(name)
            self.telemetry.tool_calls.labels(known, result.status).inc()
            answer.tools.append({"name": name, "arguments": arguments, "status": result.status})
            answer.exchange.append(
                Message(role="tool", content=self._plain(result.text[:MAX_RESULT]), tool_call_id=call.id)
            )
        return results

    async def _checked(self, text: str, answer: Answer, party: Party | None, language: Language) -> Checked:
        """What of the model's text may leave; what was really read or done is looked up only if it claims anything."""
        content = checked(text, language)
        if content.withheld and party is not None:
            reads = [facts_of(message.content) for message in answer.exchange if message.role == "tool"]
            done = await asyncio.to_thread(self.toolset.done_for, party) if party.conversation is not None else []
            content = checked(text, language, Known.of(reads, done))
        self.telemetry.withheld.inc(content.withheld)
        return content
