"""One release's endpoint without HTTP: a checked request and its owner in, a body or a run of chunks out.

Not covered: routes, status codes, server-sent events (`serving/gateway.py`).
"""

import asyncio
import contextlib
import dataclasses
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
from tokenizers import Tokenizer

from data.errors import BadInput
from serving.agent import Agent, Answer, Turn
from serving.claims import sentences
from serving.client import EngineClient
from serving.database import Database
from serving.errors import NotFound
from serving.faq_opening import OpenedFaq, open_faq, require_same_but_faq
from serving.faq_tally import Tally
from serving.memory import ConversationTables, CountTokens, Memory, Owner
from serving.orders import ShopTables
from serving.proposals import Proposals
from serving.protocol import ChatRequest, Envelope, Kefu
from serving.reasoning import joined
from serving.relay import Relay
from serving.release import Release
from serving.settings import GatewaySettings
from serving.telemetry import Telemetry
from serving.told import Told, cache_headers
from serving.toolset import Tool, Toolset

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
        self.settings, self.telemetry, self._digest = settings, Telemetry(), release.digest
        served = [schema["function"]["name"] for schema in release.tools]
        self._shop = Database.open(settings.shop_url, ShopTables)
        toolset = Toolset(self._shop, Proposals(), [tool for tool in tools if tool.name in served])
        toolset.require(release.tools)
        self.faq, self.tally, count = open_faq(release, settings.embedder), Tally(), count or token_counter(release)
        self._conversations = Database.open(settings.conversations_url, ConversationTables)
        self.engine = EngineClient(
            settings.engine_base_url, settings.engine_model, settings.engine_timeout_s, transport
        )
        memory = Memory(self._conversations)
        self._agent = Agent(release, self.engine, toolset, memory, self.faq.cache, self.tally, self.telemetry, count)
        self._relay = Relay(self.engine, self.telemetry, serve.answer_tokens, serve.thinking_tokens)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def close(self) -> None:
        """Closes connections."""
        await self.engine.close()
        self._shop.close()
        self._conversations.close()

    def swap_faq(self, release: Release) -> OpenedFaq:
        """Takes another release's FAQ from the next request on; requests under way end with the old one.

        Raises:
            BadInput: more than the FAQ differs, or its gate did not pass it.
        """
        require_same_but_faq(self._agent.release, release)
        opened = open_faq(release, self.settings.embedder)
        self._agent = dataclasses.replace(self._agent, release=release, faq=opened.cache)
        self.faq, self._digest = opened, release.digest
        return opened

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
        envelope = Envelope(request.model)
        if request.mode == "agent":
            return await self._by_agent(request, envelope, _turn(request, owner))
        kefu = Kefu(release=self._digest).model_dump()
        if not request.stream:
            return await self._relay.answer(request, envelope, kefu)
        chunks = self._relay.stream(request, envelope, kefu)
        return _preceded(await anext(chunks), chunks)

    async def _by_agent(self, request: ChatRequest, envelope: Envelope, turn: Turn) -> dict[str, Any] | Chunks:
        async with self._in_order(turn.conversation_id):
            answer = await self._agent.answer(turn)
        if request.stream:
            return Told(self._chunks(request, envelope, turn, answer), cache_headers(answer.cache))
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
            intent=await self._agent.intent(turn.text) if wanted else None,
            cache=answer.cache,
            tools=answer.tools,
            confirmation=answer.confirmation.public() if answer.confirmation else None,
        ).model_dump()

    def _in_order(self, conversation_id: str | None) -> contextlib.AbstractAsyncContextManager[Any]:
        """Turns of one conversation come one after another; others do not wait."""
        if conversation_id is None:
            return contextlib.nullcontext()
        lock = self._locks.get(conversation_id)
        if lock is None:
            self._locks[conversation_id] = lock = asyncio.Lock()
        return lock


def token_counter(release: Release) -> CountTokens:
    """Counts tokens as the release's own tokenizer does.

    Raises:
        BadInput: the release has no readable tokenizer.
    """
    path = release.model / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise BadInput(f"{path} is not a tokenizer that the tokenizers library reads: {error}") from error
    encode: Callable[..., Any] = tokenizer.encode
    return lambda text: len(encode(text, add_special_tokens=False).ids)


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
