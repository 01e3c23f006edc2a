"""POST /v1/feedback: what a customer thinks of an answer, from whoever got that answer and from nobody else.

Whose an answer is its id shows (`serving/answer_ids.py`). Not covered: reading feedback.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from serving.conversations import REFUSALS
from serving.endpoint import Endpoint
from serving.errors import NotFound
from serving.ratings import Thumb
from serving.reasoning import clean
from serving.trace_store import Thumbs

MAX_COMMENT = 2000  # characters


class FeedbackRequest(BaseModel):
    """A rating of one answer."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="the `id` of the completion")
    rating: Thumb
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] | None = Field(
        None, description="stored with personal data taken out"
    )


def feedback_routes(endpoint: Endpoint) -> APIRouter:
    """The route over one endpoint."""
    router = APIRouter(tags=["feedback"], responses=REFUSALS)

    @router.post("/v1/feedback", status_code=204, response_class=Response)
    async def feedback(body: FeedbackRequest, request: Request) -> Response:
        """Rates an answer of one's own, by the headers that it was asked with; 404 for any other. A later rating replaces
        an earlier one."""
        owner = endpoint.settings.owner(request.headers)
        if not endpoint.answer_ids.belongs(body.id, owner):
            raise NotFound("no such answer", param="id", code="answer_not_found")
        comment = clean(body.comment) if body.comment else None
        stored = await asyncio.to_thread(endpoint.ratings.rate, body.id, body.rating, comment)
        endpoint.telemetry.feedback.labels(body.rating).inc()
        if endpoint.traces is not None:
            endpoint.traces.feedback(Thumbs(body.id, body.rating == "up", stored))
        return Response(status_code=204)

    return router
