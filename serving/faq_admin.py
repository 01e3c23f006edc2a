"""The FAQ for those who write it: its entries with their hits, what almost matched, and taking over an edit.

An edit is a new release; a running endpoint takes its FAQ when told to, if nothing else differs and its gate passed it.
Not covered: who may ask, (`serving/settings.py`); figures over time (`/metrics`).
"""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from data.errors import KefuError
from serving.endpoint import Endpoint
from serving.errors import BadRequest, NotFound

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "the FAQ that is there to take over is refused; the error says why"},
    401: {"description": "no valid API key, or a customer token that does not hold"},
    403: {"description": "the API key lacks the scope admin"},
    404: {"description": "this endpoint was not told where releases come from"},
}


class FaqEntryHits(BaseModel):
    """One entry and how often it answered since the endpoint started."""

    id: str
    language: str
    question: str
    hits: dict[str, int] = Field(description="by kind: exact, semantic")
    threshold: float | None = Field(description="the probability that a near question needs; null: only exact hits")


class FaqNearMiss(BaseModel):
    """A question that almost matched; personal data and digits are replaced."""

    question: str
    id: str
    language: str
    probability: float
    because: list[str] = Field(description="what did not agree; empty: the probability alone")
    count: int


class FaqListing(BaseModel):
    """The FAQ as it serves."""

    release: str
    embedder: str | None
    exact_only: str | None = Field(description="why near questions are left to the model; null: they are not")
    figures: dict[str, float] | None = Field(description="what the check of the frozen pairs found")
    entries: list[FaqEntryHits]
    near_misses: list[FaqNearMiss]


class FaqSwapped(BaseModel):
    """What serves after a reload."""

    release: str
    changed: bool
    entries: int
    exact_only: str | None


def faq_routes(endpoint: Endpoint) -> APIRouter:
    """The routes over one endpoint. Where there are keys, one with the scope admin is needed."""
    router = APIRouter(prefix="/v1/faq", tags=["faq"], responses=REFUSALS)

    @router.get("", response_model=FaqListing)
    async def faq(request: Request) -> dict[str, Any]:
        """The FAQ's entries, their hits since the start, and near misses: the next entries to write."""
        endpoint.settings.owner(request.headers, "admin")
        return listing(endpoint)

    @router.post("/reload", response_model=FaqSwapped)
    async def reload(request: Request) -> dict[str, Any]:
        """Takes over the champion's FAQ, if it differs from what serves in nothing else and passed its gate."""
        endpoint.settings.owner(request.headers, "admin")
        champion = endpoint.settings.champion
        if champion is None:
            raise NotFound("this endpoint was not told where releases come from; restart it to serve another one")
        before = endpoint.digest
        try:
            release = await asyncio.to_thread(champion)
            if release.digest != before:
                await asyncio.to_thread(endpoint.swap_faq, release)
        except KefuError as error:
            raise BadRequest(f"the FAQ stays as it is: {error}", code="faq_refused") from error
        cache = endpoint.faq.cache
        return {
            "release": endpoint.digest,
            "changed": endpoint.digest != before,
            "entries": len(cache.entries),
            "exact_only": endpoint.faq.exact_only,
        }

    return router


def listing(endpoint: Endpoint) -> dict[str, Any]:
    """What `GET /v1/faq` answers."""
    opened, tally = endpoint.faq, endpoint.tally
    cache, matcher = opened.cache, opened.cache.matcher
    entries = [
        {
            **entry.model_dump(include={"id", "language", "question"}),
            "hits": tally.hits(entry),
            "threshold": matcher.verifier.threshold(entry) if matcher else None,
        }
        for entry in cache.entries
    ]
    return {
        "release": endpoint.digest,
        "embedder": matcher.embedder.name if matcher else None,
        "exact_only": opened.exact_only,
        "figures": opened.figures.model_dump() if opened.figures else None,
        "entries": entries,
        "near_misses": tally.near_misses(),
    }
