"""What browsers are told, and which hosts are answered: security headers, origins of other pages, trusted host names.

Not covered: TLS, which ends before the endpoint; the content policy of a page that sets its own.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import BadRequest

CACHE = "X-Kefu-Cache"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_ORIGIN = re.compile(r"\*|https?://[^\s/?#@]+")
_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_EXPOSED = (
    "Retry-After", "X-Request-Id", "X-Conversation-Id", CACHE,
    *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")),
)  # fmt: skip
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_PAGE = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_CDN = "https://cdn.jsdelivr.net"  # from where FastAPI's documentation pages take Swagger UI and ReDoc
_DOCUMENTATION = (
    f"default-src 'self'; script-src 'self' 'unsafe-inline' {_CDN}; worker-src 'self' blob:; "
    f"style-src 'self' 'unsafe-inline' {_CDN} https://fonts.googleapis.com; font-src https://fonts.gstatic.com; "
    "img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; frame-ancestors 'none'"
)


def is_origin(text: str) -> bool:
    """Whether this is an origin as browsers send it (scheme, host, port, no path), or `*`."""
    return _ORIGIN.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether this is a host name without a port, an address, `*.domain`, or `*`."""
    return _HOST.fullmatch(text) is not None


def cache_headers(cache: Mapping[str, str] | None) -> dict[str, str]:
    """`X-Kefu-Cache: exact; id=return-start` where an FAQ entry answered, else `none`."""
    return {CACHE: f"{cache['kind']}; id={_plain(cache['id'])}" if cache else "none"}


def cors(app: ASGIApp, origins: Sequence[str]) -> CORSMiddleware:
    """Lets pages of these origins call the endpoint. Who they act for stands in headers that they must know, never in
    cookies, so that credentials of the browser stay out of it."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=_EXPOSED,
    )


class TrustedHosts:
    """ASGI middleware that answers requests for these hosts only, so that no page gets in by a name of its own that it
    points at us (DNS rebinding). Starlette's own answers in plain text and redirects."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._exact = {host.lower() for host in hosts if not host.startswith("*")}
        self._endings = tuple(host[1:].lower() for host in hosts if host.startswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(Headers(scope=scope).getlist("host")):
            told = "this endpoint does not answer to that host name; its operator sets them in KEFU_TRUSTED_HOSTS"
            error = BadRequest(told, code="host_not_trusted")
            await JSONResponse(error.body(), error.status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, given: Sequence[str]) -> bool:
        if len(given) != 1 or re.search(r"[\s/@?#\\]", given[0]):
            return False
        try:
            host = urlsplit(f"//{given[0]}").hostname or ""
        except ValueError:
            return False
        return host in self._exact or (bool(host) and host.endswith(self._endings))


class SecurityHeaders:
    """ASGI middleware that adds to each answer what keeps browsers from doing harm; what an answer sets itself, stays."""

    def __init__(self, app: ASGIApp, embedders: Sequence[str] = ()) -> None:
        """`embedders`: origins whose pages may show ours in a frame."""
        self._app = app
        self._page = " ".join((_PAGE, *embedders))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("Content-Security-Policy", self._policy(path, headers.get("content-type", "")))
                if path.startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")  # orders and addresses
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self._app(scope, receive, told)

    def _policy(self, path: str, content_type: str) -> str:
        if not content_type.startswith("text/html"):
            return _NOTHING
        return _DOCUMENTATION if path.startswith(("/docs", "/redoc")) else self._page


def _plain(text: str) -> str:
    """A text as a header may hold it."""
    return "".join(mark if mark.isascii() and mark.isprintable() and mark not in ";," else "_" for mark in text)
