"""The chat page over HTTP: what is served, under which policy, and who may hold it in a frame."""

import dataclasses
import re
from typing import Any

import httpx
import pytest

from data.errors import BadInput
from serving.chat_page import FILES
from serving.gateway import create_app
from serving.settings import GatewaySettings


async def test_page_comes_under_a_policy_that_runs_no_other_script(client: httpx.AsyncClient) -> None:
    for path in ("/", "/page/app.js", "/page/style.css", "/page/icons.svg"):
        response = await client.get(path)
        assert response.status_code == 200, path
        policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'self'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'" and policy["trusted-types"] == "'none'"
        assert response.headers["x-content-type-options"] == "nosniff"
    page = await client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert (await client.head("/")).status_code == 200


def test_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    page = (FILES / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\s(style|on[a-z]+)=", page)
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    for source in FILES.glob("*.js"):
        code = source.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code), (
            source
        )


def test_page_names_only_files_drawings_and_parts_that_exist() -> None:
    page = (FILES / "index.html").read_text(encoding="utf-8")
    code = {source.name: source.read_text(encoding="utf-8") for source in FILES.glob("*.js")}
    named = {name.partition("#")[0] for name in re.findall(r"(?:src|href)=\"page/([^\"]+)\"", page)}
    imported = {name for text in code.values() for name in re.findall(r"from \"\./([^\"]+)\"", text)}
    files = {file.name for file in FILES.iterdir()}
    assert named | imported == files - {"index.html"}
    drawings = set(re.findall(r"<symbol id=\"([^\"]+)\"", (FILES / "icons.svg").read_text(encoding="utf-8")))
    used = set(re.findall(r"icons\.svg#([a-z-]+)", page))
    used |= {name for text in code.values() for name in re.findall(r"icon\(\"([a-z-]+)\"\)", text)}
    assert used <= drawings


async def test_page_is_read_only_and_missing_files_are_told_as_errors_are(client: httpx.AsyncClient) -> None:
    assert (await client.post("/")).status_code == 405
    missing = await client.get("/page/nothing.js")
    assert missing.status_code == 404 and missing.json()["error"]["type"] == "invalid_request_error"
    assert (await client.get("/page/../settings.py")).status_code == 404
    assert (await client.get("/page/%2e%2e/settings.py")).status_code == 404


async def test_only_named_sites_embed_the_page(settings: GatewaySettings, shop: Any) -> None:
    settings = dataclasses.replace(settings, page_embedders=("https://shop.example", "https://*.shop.example:8443"))
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as client:
        policy = (await client.get("/?embed=1")).headers["content-security-policy"]
    assert "frame-ancestors 'self' https://shop.example https://*.shop.example:8443" in policy


@pytest.mark.parametrize(
    "origin", ["*", "shop.example", "https://shop.example/", "https://a; script-src *", "https://a b"]
)
def test_what_is_no_origin_embeds_nothing(settings: GatewaySettings, shop: Any, origin: str) -> None:
    with pytest.raises(BadInput, match="embeds the chat page"):
        create_app(dataclasses.replace(settings, page_embedders=(origin,)))
