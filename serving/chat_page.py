"""The chat page at `/`: static files under a policy that runs no script but ours and lets nobody frame it unasked.

The page speaks to the same endpoint as every other client, with no rights of its own. Not covered: what it shows and
says (`serving/page/`).
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from data.errors import BadInput

FILES = Path(__file__).parent / "page"
# scheme://host[:port]; a leading *. stands for any subdomain
_ORIGIN = re.compile(r"https?://(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",  # no text ever becomes markup
    "trusted-types": "'none'",
}


def add_chat_page(app: FastAPI, embedders: Sequence[str] = ()) -> None:
    """Serves the page at `/` and its files below `/page`; `embedders` are the origins whose pages may frame it.

    Raises:
        BadInput: an embedder is not an origin.
    """
    for origin in embedders:
        if not _ORIGIN.fullmatch(origin):
            raise BadInput(
                f"expected the origin of a site that embeds the chat page, like https://shop.example; found {origin!r}"
            )
    policy = {**_POLICY, "frame-ancestors": " ".join(["'self'", *embedders])}
    files = _Files(
        {
            "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
            "Cache-Control": "no-cache",  # asked for again each time; what has not changed answers 304
        }
    )
    app.mount("/page", files, name="page")

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)


class _Files(StaticFiles):
    """The page's files, each with the same headers."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(directory=FILES)
        self._headers = headers

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(self._headers)
        return response
