"""GET and DELETE /v1/conversations/{id}: what was said, for a page that is opened again, and forgetting it.

A conversation is its owner's, by customer and API key; for others it does not exist. Not covered: listing conversations;
what the customer never saw (calls, their results, thinking).
"""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from data.schema import Message
from serving.endpoint import Endpoint
from serving.memory import Conversation

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "the request is malformed"},
    401: {"description": "no valid API key, or a customer token that does not hold"},
    404: {"description": "there is none, or it belongs to somebody else"},
}
ConversationId = Annotated[str, Path(min_length=1, max_length=128)]


class Said(BaseModel):
    """One message as the customer saw it."""

    role: Literal["user", "assistant"]
    content: str


class ConversationBody(BaseModel):
    """A conversation, oldest message first."""

    id: str
    created: int
    messages: list[Said]


def conversation_routes(endpoint: Endpoint) -> APIRouter:
    """The routes over one endpoint."""
    router = APIRouter(prefix="/v1/conversations", tags=["conversations"], responses=REFUSALS)

    @router.get("/{conversation_id:path}")
    async def read(conversation_id: ConversationId, request: Request) -> ConversationBody:
        """What was said in a conversation of one's own; 404 for any other."""
        owner = endpoint.settings.owner(request.headers)
        return _body(await asyncio.to_thread(endpoint.memory.read, conversation_id, owner))

    @router.delete("/{conversation_id:path}", status_code=204, response_class=Response)
    async def forget(conversation_id: ConversationId, request: Request) -> Response:
        """Deletes a conversation of one's own, and voids what waits in it for a confirmation; 404 for any other."""
        await endpoint.forget(conversation_id, endpoint.settings.owner(request.headers))
        return Response(status_code=204)

    return router


def _body(conversation: Conversation) -> ConversationBody:
    messages = (message for exchange in conversation.exchanges for message in exchange.messages)
    said = [_said(message) for message in messages if message.role == "user" or _is_answer(message)]
    return ConversationBody(id=conversation.id, created=int(conversation.created_at), messages=said)


def _is_answer(message: Message) -> bool:
    """What is said beside a call is not shown to customers."""
    return message.role == "assistant" and not message.tool_calls


def _said(message: Message) -> Said:
    return Said(role="user" if message.role == "user" else "assistant", content=message.content)
