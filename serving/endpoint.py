"""One release's endpoint without HTTP: a checked request and its owner in, a body or a run of chunks out.

Not covered: routes, status codes, server-sent events (`serving/gateway.py`).
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from serving.admission import require_context
from serving.agent import Agent
from serving.answer_ids import AnswerIds
from serving.claims import sentences
from serving.client import EngineClient
from serving.database import Database
from serving.door import House
from serving.errors import NotFound
from serving.faq_opening import open_faq, require_same_but_faq
from serving.faq_tally import Tally
from serving.logs import log_problem, log_request
from serving.memory import ConversationTables, CountTokens, Memory, Owner
from serving.observation import Observation, heard, observation
from serving.orders import ShopTables
from serving.proposals import Party, Proposals
from serving.protocol import ChatRequest, Envelope, Kefu
from serving.ratings import Ratings
from serving.reasoning import joined
from serving.relay import Relay
from serving.release import Release
from serving.settings import GatewaySettings
from serving.telemetry import Telemetry
from serving.tokenizer import ServedTokenizer
from serving.tool import Tool
from serving.toolset import Toolset
from serving.traces import Traces
from serving.turn import Answer, Turn
from serving.turns import Turns
from serving.window import Window

Chunks = AsyncIterator[dict[str, Any]]


class Endpoint:
    """The agent, the relay and what they share."""

    def __init__(
        self,
        settings: GatewaySettings,
        tools: Sequence[Tool],
        transport: httpx.AsyncBaseTransport | None = None,
        count: CountTokens | None = None,
    ) -> None:
        """Puts the parts together.

        Raises:
            BadInput: the release's tools or FAQ do not fit this code.
            EnvironmentLacks: a database does not answer.
        """
        release, serve = settings.release, settings.release.recipe.serve
        served = [schema["function"]["name"] for schema in release.tools]
        self.settings, self.telemetry, self._digest = settings, Telemetry(served), release.digest
        self._shop = Database.open(settings.shop_url, ShopTables)
        self._toolset = Toolset(self._shop, Proposals(), [tool for tool in tools if tool.name in served])
        self._toolset.require(release.tools)
        self.house = House.of(settings)
        self.house.seats.register(self.telemetry.registry)
        tokenizer, self.faq, self.tally = ServedTokenizer.of(release), open_faq(release, settings.embedder), Tally()
        window = Window(tokenizer, serve.history, serve.context, release.tools)
        self._conversations = Database.open(settings.conversations_url, ConversationTables, survives_power_cut=False)
        self.engine = EngineClient(
            settings.engine_base_url, settings.engine_model, settings.engine_timeout_s, transport
        )
        self.memory = Memory(self._conversations, bounds=settings.bounds)
        self.ratings = Ratings(self._conversations, release.digest, settings.bounds.retention_s)
        self.answer_ids = AnswerIds(settings.customer_keys.signing.secret)
        self.traces = self._traces()
        turns, count = Turns(self._conversations, self.memory), count or tokenizer.count
        self._context, self._count = serve.context, count
        self._agent = Agent(
            release, self.engine, self._toolset, turns, self.faq.cache, self.tally, self.telemetry, count, window
        )
        self._relay = Relay(self.engine, self.telemetry, serve.answer_tokens, serve.thinking_tokens)

    async def close(self) -> None:
        """Closes connections."""
        await self.engine.close()
        await self.house.close()
        self._shop.close()
        self._conversations.close()

    def swap_faq(self, release: Release) -> None:
        """Takes another release's FAQ from the next request on; requests under way end with the old one.

        Raises:
            BadInput: more than the FAQ differs, or its gate did not pass it.
        """
        require_same_but_faq(self._agent.release, release)
        opened = open_faq(release, self.settings.embedder)
        self._agent = dataclasses.replace(self._agent, release=release, faq=opened.cache)
        self.faq, self._digest, self.ratings.release = opened, release.digest, release.digest

    @property
    def digest(self) -> str:
        """The digest of the release that answers now."""
        return self._digest

    async def serve(self, request: ChatRequest, owner: Owner) -> dict[str, Any] | Chunks:
        """Serves one request in its mode; a stream's errors come before its first chunk wherever that is possible.

        Raises:
            ServiceError: by the class of what went wrong.
        """
        names = self.settings.model_names
        if request.model not in names:
            told = f"the model {request.model!r} does not exist; known: {', '.join(names)}"
            raise NotFound(told, param="model", code="model_not_found")
        request.check()
        envelope, seen = Envelope(request.model, self._digest, self.answer_ids.new(owner)), observation()
        seen.mode, seen.stream, seen.asked = request.mode, bool(request.stream), _asked(request)
        served = await self._served(request, envelope, owner)
        if isinstance(served, dict):
            seen.hear(served)
            return served
        return heard(served)

    async def forget(self, conversation_id: str, owner: Owner) -> None:
        """Deletes a conversation, and voids what waits in it for a confirmation.

        Raises:
            NotFound: there is none, or it belongs to somebody else.
        """
        await asyncio.to_thread(self.memory.forget, conversation_id, owner)
        if owner.customer:
            await asyncio.to_thread(self._toolset.void, Party(owner.customer, conversation_id, "en"))

    def finished(self, seen: Observation) -> None:
        """Takes a request that is over: into the metrics, the log and, if it is in the sample, the traces."""
        self.telemetry.in_flight.dec()
        try:
            self.telemetry.finished(seen)
            log_request(seen, self.telemetry.known_tool)
            if self.traces is not None:
                self.traces.offer(seen)
        except Exception as problem:  # what is told about a request must not spoil it
            log_problem("a request was not recorded", problem)

    async def _served(self, request: ChatRequest, envelope: Envelope, owner: Owner) -> dict[str, Any] | Chunks:
        if request.mode == "agent":
            return await self._by_agent(request, envelope, _turn(request, owner))
        await require_context(request, self._context, self._count)
        kefu = Kefu(release=self._digest).model_dump()
        if not request.stream:
            return await self._relay.answer(request, envelope, kefu)
        chunks = self._relay.stream(request, envelope, kefu)
        return _preceded(await anext(chunks), chunks)

    async def _by_agent(self, request: ChatRequest, envelope: Envelope, turn: Turn) -> dict[str, Any] | Chunks:
        answer = await self._agent.answer(turn)
        observation().cache = answer.cache
        if request.stream:
            return self._chunks(request, envelope, turn, answer)
        message: dict[str, Any] = {"content": answer.content}
        if request.with_reasoning:
            message = {"content": joined(answer.content, answer.reasoning), **_reasoning(answer)}
        kefu = await self._kefu(turn, answer)
        return envelope.body(message, answer.finish_reason, answer.usage.public(), kefu)

    async def _chunks(self, request: ChatRequest, envelope: Envelope, turn: Turn, answer: Answer) -> Chunks:
        yield envelope.chunk({"role": "assistant", "content": ""})
        if request.with_reasoning and answer.reasoning:
            yield envelope.chunk({"content": joined("", answer.reasoning), **_reasoning(answer)})
        for sentence in sentences(answer.content):
            yield envelope.chunk({"content": sentence})
        kefu = await self._kefu(turn, answer)
        for chunk in envelope.ending(answer.finish_reason, answer.usage.public() if request.with_usage else None, kefu):
            yield chunk

    async def _kefu(self, turn: Turn, answer: Answer) -> dict[str, Any]:
        wanted = self.settings.predict_intent and answer.from_model
        return Kefu(
            conversation_id=turn.conversation_id,
            release=self._digest,
            intent=answer.intent or (await self._agent.intent(turn.text) if wanted else None),
            cache=answer.cache,
            tools=answer.tools,
            confirmation=answer.confirmation.public() if answer.confirmation else None,
            thinking=answer.thinking,
        ).model_dump()

    def _traces(self) -> Traces | None:
        settings, counter = self.settings, self.telemetry.traces
        if settings.traces_uri is None or not settings.trace_share:
            return None
        return Traces(
            settings.traces_uri,
            settings.trace_share,
            settings.customer_keys.signing.secret,
            lambda result: counter.labels(result).inc(),
        )


def _asked(request: ChatRequest) -> list[dict[str, str]]:
    """What the customer says in this request."""
    asked: list[dict[str, str]] = []
    for message in reversed(request.messages):
        if message.role != "user" or (message.content and not isinstance(message.content, str)):
            break
        asked.insert(0, {"role": "user", "content": str(message.content or "")})
    return asked


def _turn(request: ChatRequest, owner: Owner) -> Turn:
    messages, notes = request.agent_messages()
    return Turn(
        messages=messages,
        owner=owner,
        notes=notes,
        conversation_id=request.conversation_id,
        confirmation_id=request.confirmation_id,
        thinking=request.thinking,
        sampling=request.sampling(),
    )


def _reasoning(answer: Answer) -> dict[str, str | None]:
    return {"reasoning": answer.reasoning or None, "reasoning_content": answer.reasoning or None}


async def _preceded(first: dict[str, Any], rest: Chunks) -> Chunks:
    """A stream whose first chunk was already taken; closing it closes the rest."""
    try:
        yield first
        async for chunk in rest:
            yield chunk
    finally:
        await rest.aclose()  # type: ignore[attr-defined]
