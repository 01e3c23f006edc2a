"""The endpoint over HTTP: OpenAI's chat completions, the model list, conversations, feedback, health and metrics.

`create_app` composes everything from its settings and starts nothing; one release, one engine. Not covered: limits and
hosts (`serving/door.py`, `serving/web.py`), the chat page (`serving/chat_page.py`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Annotated, Any

import httpx
from fastapi import Body, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException

from serving.admission import BodyLimit
from serving.answers import Alive, ModelList, Ready
from serving.chat_page import add_chat_page
from serving.conversations import conversation_routes
from serving.deadline import Deadline
from serving.door import Door
from serving.endpoint import Endpoint
from serving.errors import OUR_FAULT, BadRequest, ServiceError, Unavailable
from serving.events import events
from serving.faq_admin import faq_routes
from serving.feedback import feedback_routes
from serving.housekeeping import housekeeping
from serving.observation import Observed, observation
from serving.openapi import ANSWERS, ERRORS, EXAMPLES, document
from serving.protocol import ChatRequest
from serving.settings import GatewaySettings
from serving.tool import Tool
from serving.toolset import TOOLS
from serving.web import SecurityHeaders, TrustedHosts, cache_headers, cors

CLIENT_GONE = 499  # nginx's number for a client that closed the request; nobody reads this answer
_AWAY = (OperationalError, InterfaceError)  # a database that does not answer, as SQLAlchemy has it
_SSE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


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
        async with housekeeping(endpoint):
            yield
        await endpoint.close()

    app = FastAPI(title="Kefu", summary="A customer-service agent behind OpenAI's API", lifespan=lifespan)
    _add_guards(app, endpoint)
    _add_chat(app, endpoint)
    app.include_router(conversation_routes(endpoint))
    app.include_router(feedback_routes(endpoint))
    _add_operations(app, endpoint)
    app.include_router(faq_routes(endpoint))
    add_chat_page(app, settings.page_embedders)
    document(app)
    return app


def _add_guards(app: FastAPI, endpoint: Endpoint) -> None:
    """The last one added meets a request first."""
    settings, counted = endpoint.settings, endpoint.telemetry.requests
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(Door, house=endpoint.house, refused=lambda status: counted.labels("none", str(status)).inc())
    if settings.cors_origins:
        app.add_middleware(cors, origins=settings.cors_origins)
    if settings.trusted_hosts:
        app.add_middleware(TrustedHosts, hosts=settings.trusted_hosts)
    app.add_middleware(SecurityHeaders, embedders=settings.page_embedders)
    app.add_middleware(Observed, started=endpoint.telemetry.in_flight.inc, finished=endpoint.finished)


def _add_chat(app: FastAPI, endpoint: Endpoint) -> None:
    @app.post("/v1/chat/completions", response_model=None, responses=ANSWERS)
    async def chat_completions(
        body: Annotated[ChatRequest, Body(openapi_examples=EXAMPLES)],
        request: Request,
        conversation: Annotated[str | None, Header(alias="X-Conversation-Id", min_length=1, max_length=128)] = None,
    ) -> Response:
        """Answers a conversation. With `tools` or `functions` the model's calls come back; without, the agent answers.

        Headers: `Authorization: Bearer KEY` where keys are on, `X-Customer-Token` for who the customer is,
        `X-Conversation-Id` instead of `conversation_id` in the body. Every answer, and the last chunk of every stream,
        carries `kefu`: the conversation, the release, what the tools did, a change that waits for a yes, and more.
        `X-Kefu-Cache` says whether an FAQ entry answered, wherever that is known when the answer begins.
        """
        request.state.mode, request.state.started = body.mode, time.monotonic()
        owner = endpoint.settings.owner(request.headers)
        if conversation is not None and body.conversation_id is None:
            body = body.model_copy(update={"conversation_id": conversation})
        deadline = Deadline(endpoint.settings.request_timeout_s)
        work = asyncio.ensure_future(_in_time(deadline, endpoint.serve(body, owner)))
        if not await _begun(request, work, endpoint.settings.keep_alive_s if body.stream else None):
            _count(endpoint, request, CLIENT_GONE)
            return Response(status_code=CLIENT_GONE)
        if body.stream:
            known = cache_headers(observation().cache) if work.done() else {}
            stream = _events(endpoint, request, work)
            return StreamingResponse(stream, media_type="text/event-stream", headers={**_SSE, **known})
        served = await work
        _count(endpoint, request, 200)
        return JSONResponse(served, headers=cache_headers(observation().cache))

    @app.get("/v1/models", responses={status: ERRORS[status] for status in (401, 500)})
    async def models(request: Request) -> ModelList:
        """The names that this endpoint answers to."""
        endpoint.settings.owner(request.headers)
        names = endpoint.settings.model_names
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "kefu"} for name in names]
        return ModelList.model_validate({"object": "list", "data": data})

    async def failed(request: Request, error: Exception) -> Response:
        told = _as_service_error(error)
        observation().error = type(error).__name__
        status = error.status_code if isinstance(error, HTTPException) else told.status
        _count(endpoint, request, status)
        return JSONResponse(told.body(), status, {**(getattr(error, "headers", None) or {}), **told.headers})

    for kind in (ServiceError, RequestValidationError, HTTPException, *_AWAY, Exception):
        app.add_exception_handler(kind, failed)


def _add_operations(app: FastAPI, endpoint: Endpoint) -> None:
    settings = endpoint.settings

    @app.get("/healthz")
    async def healthz() -> Alive:
        """Whether this process lives."""
        return Alive(alive=True)

    @app.get("/readyz", response_model=None, responses={200: {"model": Ready}, 503: {"model": Ready}})
    async def readyz() -> JSONResponse:
        """Whether a request would be served now: the release is loaded and the engine completes a prompt; else 503."""
        ready = await endpoint.engine.ready()
        body = {"ready": ready, "engine": ready, "release": endpoint.digest, "stale": settings.stale}
        return JSONResponse(body, 200 if ready else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(endpoint.telemetry.text(), media_type="text/plain; version=0.0.4")


async def _events(endpoint: Endpoint, request: Request, work: "asyncio.Future[Any]") -> AsyncIterator[str]:
    """The events of a stream, counted when they end."""
    status = CLIENT_GONE

    def told(error: Exception) -> ServiceError:
        nonlocal status
        known = _as_service_error(error)
        status = known.status
        return known

    stream = events(work, endpoint.settings.keep_alive_s, told)
    try:
        async with contextlib.aclosing(stream):  # type: ignore[type-var]
            async for text in stream:
                yield text
        status = 200 if status == CLIENT_GONE else status
    finally:
        _count(endpoint, request, status)


async def _in_time(deadline: Deadline, work: Awaitable[Any]) -> Any:
    """A body, or chunks, that come before the deadline or end with it."""
    served = await deadline.keep(work)
    return served if isinstance(served, dict) else deadline.over(served)


async def _begun(request: Request, work: "asyncio.Future[Any]", patience_s: float | None) -> bool:
    """Waits for `work`, not longer than `patience_s`; False if the client went away first, and the work is cancelled.

    Raises:
        ServiceError: whatever ended the work.
    """
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not work.done():
            await _stop(work)
            return False
    except asyncio.CancelledError:
        await _stop(work)
        raise
    finally:
        await _stop(gone)
    if work.done():
        work.result()
    return True


async def _stop(work: "asyncio.Future[Any]") -> None:
    work.cancel()
    await asyncio.shield(asyncio.gather(work, return_exceptions=True))  # a second cancellation must not end its closing


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _as_service_error(error: Exception) -> ServiceError:
    """What a caller is told. Of an error that is a bug of ours, nothing but that."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return BadRequest(str(error.detail))
    if isinstance(error, _AWAY):
        return Unavailable("a database of this endpoint does not answer; try again later")
    return ServiceError(OUR_FAULT)


def _invalid(error: RequestValidationError) -> BadRequest:
    """The deepest problem of a body: of the forms that a field may have, the one that was meant goes deepest."""
    problem = max(error.errors(), key=lambda one: len(one["loc"]))
    if problem["type"] == "json_invalid":
        return BadRequest("the body is not valid JSON", code="invalid_json")
    where = _place(problem["loc"], error.body, missing=problem["type"] == "missing")
    if problem["type"] == "extra_forbidden":
        return BadRequest(f"the field {where} is not supported", param=where, code="unknown_field")
    return BadRequest(f"{where}: {problem['msg']}" if where else problem["msg"], param=where or None)


def _place(location: Sequence[Any], body: Any, *, missing: bool) -> str:
    """A problem's place in a body. Pydantic puts the names of a field's forms in between, which the body does not hold."""
    place, value = [], body if location[0] == "body" else {location[-1]: None}
    for part in location[1:]:
        held = isinstance(value, dict) and part in value
        if held or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
            place.append(str(part))
    return ".".join([*place, str(location[-1])] if missing else place)


def _count(endpoint: Endpoint, request: Request, status: int) -> None:
    mode = getattr(request.state, "mode", "none")
    observation().status = status  # of a stream, the one that it ended with
    endpoint.telemetry.requests.labels(mode, str(status)).inc()
    started = getattr(request.state, "started", None)
    if started is not None:
        endpoint.telemetry.seconds.labels(mode).observe(time.monotonic() - started)
