"""Browsers: other origins stay out unless named, other host names too, answers carry what keeps browsers safe."""

import dataclasses
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.gateway import create_app
from serving.settings import GatewaySettings
from serving.web import LOOPBACK_HOSTS, SecurityHeaders, TrustedHosts, is_host, is_origin

CHAT = "/v1/chat/completions"
HI = {"model": "kefu", "messages": [{"role": "user", "content": "hi there"}]}
SHOP, EVIL = "https://shop.example", "https://evil.example"
Open = Callable[..., httpx.AsyncClient]


@pytest.fixture
def opened(settings: GatewaySettings, engine: Any, shop: Any) -> Open:
    """A client of an endpoint with changed settings."""

    def open(**changes: Any) -> httpx.AsyncClient:
        app = create_app(dataclasses.replace(settings, **changes), transport=httpx.MockTransport(engine))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://kefu")

    return open


def preflight(origin: str) -> dict[str, str]:
    asked = "authorization,content-type,x-customer-token,x-stainless-lang"
    return {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}


async def test_without_origins_no_other_page_may_call(opened: Open) -> None:
    async with opened() as client:
        answers = [
            await client.options(CHAT, headers=preflight(SHOP)),
            await client.post(CHAT, json=HI, headers={"Origin": SHOP}),
        ]
    assert not any(name.startswith("access-control") for answer in answers for name in answer.headers)


async def test_named_origins_may_call_even_to_be_refused(opened: Open) -> None:
    async with opened(cors_origins=(SHOP,), api_keys=("sk-1",)) as client:
        allowed = await client.options(CHAT, headers=preflight(SHOP))
        assert allowed.status_code == 200 and allowed.headers["access-control-allow-origin"] == SHOP
        assert "x-customer-token" in allowed.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in allowed.headers
        other = await client.options(CHAT, headers=preflight(EVIL))
        assert "access-control-allow-origin" not in other.headers
        refused = await client.post(CHAT, json=HI, headers={"Origin": SHOP})
        assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == SHOP
        assert "x-ratelimit-remaining-tokens" in refused.headers["access-control-expose-headers"]


async def test_a_form_of_another_page_is_no_request(opened: Open, engine: Any) -> None:
    """Without keys, a page elsewhere could send what needs no preflight; only JSON is read, and that needs one."""
    async with opened(demo=True) as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            body = httpx.Request("POST", "http://kefu", json=HI).content
            response = await client.post(CHAT, content=body, headers={"Content-Type": kind, "Origin": EVIL})
            assert response.status_code == 400 and not engine.requests


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("api.shop.example", True),
        ("shop.example", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("evil@localhost", False),
        ("localhost:bad:port]", False),
        ("", False),
    ],
)
async def test_only_trusted_hosts_are_answered(opened: Open, host: str, known: bool) -> None:
    async with opened(trusted_hosts=(*LOOPBACK_HOSTS, "*.shop.example")) as client:
        response = await client.get("/healthz", headers={"Host": host})
    assert response.status_code == (200 if known else 400)
    if not known:
        assert response.json()["error"]["code"] == "host_not_trusted" and "KEFU_TRUSTED_HOSTS" in response.text
        assert response.headers["x-content-type-options"] == "nosniff"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_no_other_host_name_is_known(host: str) -> None:
    hosts = TrustedHosts(lambda *_: None, LOOPBACK_HOSTS)  # type: ignore[arg-type]
    name = host.strip("[]").rpartition(":")[0] or host
    assert hosts._knows([host]) <= any(part.lower() in LOOPBACK_HOSTS for part in (host, name, name.strip("[]")))
    assert not hosts._knows([]) and not hosts._knows(["localhost", host])


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/v1/models", 200), ("/nothing", 404), ("/openapi.json", 200)]
)
async def test_answers_load_nothing_and_are_framed_by_nobody(opened: Open, path: str, status: int) -> None:
    async with opened() as client:
        response = await client.get(path)
    assert response.status_code == status
    assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers.get("cache-control") == ("no-store" if path.startswith("/v1/") else None)
    assert "strict-transport-security" not in response.headers


async def test_streams_are_guarded_too_and_https_stays(opened: Open) -> None:
    async with opened() as client:
        response = await client.post("https://kefu" + CHAT, json=HI | {"stream": True})
    assert response.headers["cache-control"] == "no-cache"  # its own
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["strict-transport-security"] == "max-age=31536000"


async def test_pages_run_their_own_scripts_in_frames_of_named_origins(opened: Open) -> None:
    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"hi"})

    transport = httpx.ASGITransport(SecurityHeaders(page, (SHOP,)))
    async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as client:
        policy = (await client.get("/")).headers["content-security-policy"]
    assert policy.startswith("default-src 'self';") and policy.endswith(f"frame-ancestors 'self' {SHOP}")
    async with opened() as client:
        assert "cdn.jsdelivr.net" in (await client.get("/docs")).headers["content-security-policy"]


def test_what_is_an_origin_and_what_a_host() -> None:
    assert all(map(is_origin, (SHOP, "http://localhost:3000", "*")))
    assert not any(map(is_origin, ("shop.example", f"{SHOP}/", f"{SHOP}/a", "null", "https://a b", "")))
    assert all(map(is_host, ("shop.example", "*.shop.example", "10.0.0.1", "::1", "*")))
    assert not any(map(is_host, ("https://shop.example", "shop.example:80", "a*.example", "", "a b")))
