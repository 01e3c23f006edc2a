"""The endpoint over HTTP: OpenAI's chat completions, the model list, health and metrics.

`create_app` composes everything from its settings and starts nothing; one release, one engine. Not covered: rate
limits, feedback, the chat page.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from serving.admission import BodyLimit
from serving.endpoint import Chunks, Endpoint
from serving.errors import BadRequest, ServiceError
from serving.faq_admin import add_faq_routes
from serving.protocol import ChatRequest, ChatResponse
from serving.settings import GatewaySettings
from serving.told import Told, cache_headers
from serving.toolset import TOOLS, Tool

CLIENT_GONE = 499  # nginx's number for a client that closed the request; nobody reads this answer
_SSE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
T = TypeVar("T")


def create_app(
    settings: GatewaySettings, *, transport: httpx.AsyncBaseTransport | None = None, tools: Sequence[Tool] = TOOLS
) -> FastAPI:
    """The application for one release. `transport` replaces the wire to the engine, `tools` the shop's functions.

    Raises:
        BadInput: the release's tools or FAQ do not fit this code.
        EnvironmentLacks: a database does not answer.
    """
    endpoint = Endpoint(settings, tools, transport)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await endpoint.close()

    app = FastAPI(title="Kefu", summary="A customer-service agent behind OpenAI's API", lifespan=lifespan)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    _add_chat(app, endpoint)
    _add_operations(app, endpoint)
    add_faq_routes(app, endpoint)
    return app


def _add_chat(app: FastAPI, endpoint: Endpoint) -> None:
    @app.post("/v1/chat/completions", response_model=None, responses={200: {"model": ChatResponse}})
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """Answers a conversation. With `tools` or `functions` the model's calls come back; without, the agent answers.

        Headers: `Authorization: Bearer KEY` where keys are on, `X-Customer-Token` for who the customer is,
        `X-Conversation-Id` instead of `conversation_id` in the body.
        """
        request.state.mode, request.state.started = body.mode, time.monotonic()
        owner = endpoint.settings.owner(request.headers)
        served = await _unless_gone(request, endpoint.serve(_with_conversation(body, request), owner))
        if served is None:
            _count(endpoint, request, CLIENT_GONE)
            return Response(status_code=CLIENT_GONE)
        if isinstance(served, dict):
            _count(endpoint, request, 200)
            return JSONResponse(served, headers=cache_headers(served["kefu"]["cache"]))
        headers = {**_SSE, **(served.headers if isinstance(served, Told) else {})}
        return StreamingResponse(_events(endpoint, request, served), media_type="text/event-stream", headers=headers)

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """The names that this endpoint answers to."""
        endpoint.settings.owner(request.headers)
        names = endpoint.settings.model_names
        return {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": 0, "owned_by": "kefu"} for name in names],
        }

    async def failed(request: Request, error: Exception) -> Response:
        told = _as_service_error(error)
        status = error.status_code if isinstance(error, HTTPException) else told.status
        _count(endpoint, request, status)
        headers = {"Retry-After": str(told.retry_after_s)} if told.retry_after_s else {}
        return JSONResponse(told.body(), status, headers)

    for kind in (ServiceError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, failed)


def _add_operations(app: FastAPI, endpoint: Endpoint) -> None:
    settings = endpoint.settings

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        """Whether this process lives."""
        return {"alive": True}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether a request would be served now: the release is loaded and the engine answers; else 503."""
        ready = await endpoint.engine.ready()
        body = {"ready": ready, "engine": ready, "release": endpoint.digest, "stale": settings.stale}
        return JSONResponse(body, 200 if ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(endpoint.telemetry.text(), media_type="text/plain; version=0.0.4")


async def _events(endpoint: Endpoint, request: Request, chunks: Chunks) -> AsyncIterator[str]:
    """Chunks as server-sent events; an error in the middle is told in the stream, where OpenAI's clients look."""
    status = CLIENT_GONE
    try:
        async for chunk in chunks:
            yield _event(chunk)
        status = 200
    except ServiceError as error:
        status = error.status
        yield _event(error.body())
    finally:
        _count(endpoint, request, status)
        await chunks.aclose()  # type: ignore[attr-defined]
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None if the client went away first, and then the work is cancelled, the engine's too."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for job in (task, gone):
            job.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _with_conversation(body: ChatRequest, request: Request) -> ChatRequest:
    header = request.headers.get("x-conversation-id")
    if header is None or body.conversation_id is not None:
        return body
    if not 0 < len(header) <= 128:
        raise BadRequest("X-Conversation-Id must have 1 to 128 characters", param="conversation_id")
    return body.model_copy(update={"conversation_id": header})


def _as_service_error(error: Exception) -> ServiceError:
    """What a caller is told. Of an error that is a bug of ours, nothing but that."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        if first["type"] == "json_invalid":
            return BadRequest("the body is not valid JSON", code="invalid_json")
        if first["type"] == "extra_forbidden":
            return BadRequest(f"the field {where} is not supported", param=where, code="unknown_field")
        return BadRequest(f"{where}: {first['msg']}" if where else first["msg"], param=where or None)
    if isinstance(error, HTTPException):
        return BadRequest(str(error.detail))
    return ServiceError("something went wrong on our side")


def _count(endpoint: Endpoint, request: Request, status: int) -> None:
    mode = getattr(request.state, "mode", "none")
    endpoint.telemetry.requests.labels(mode, str(status)).inc()
    started = getattr(request.state, "started", None)
    if started is not None:
        endpoint.telemetry.seconds.labels(mode).observe(time.monotonic() - started)
