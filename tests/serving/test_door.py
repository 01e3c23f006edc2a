"""Who comes in, how often, how many at once and for how long, through the whole application."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from data.errors import BadInput
from serving.database import Database
from serving.errors import Forbidden, Unauthorized
from serving.keys import SCOPES, ConversationTables, KeyStore, Scope
from serving.limits import Allowance
from serving.settings import GatewaySettings
from tests.serving.doorway import CHAT, TOOL, Gate, Open, post, told


@pytest.fixture
def keys(settings: GatewaySettings, shop: Any) -> Iterator[KeyStore]:
    """Stored keys, read anew for each request; closed by the endpoint too, where there is one."""
    store = KeyStore(Database.open(settings.conversations_url, ConversationTables), refresh_s=0.0)
    yield store
    store.close()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_a_stored_key_opens_the_door_and_its_scope_the_room(opened: Open, keys: KeyStore) -> None:
    _, web = keys.create("web")
    _, ops = keys.create("ops", ("admin",))
    async with opened(host="0.0.0.0", key_store=keys, api_keys=("sk-1",)) as client:
        assert [(await post(client, bearer(key))).status_code for key in (web, "sk-1")] == [200, 200]
        assert told(await post(client, bearer(ops))) == (403, "missing_scope")
        keys.revoke("web")
        refused = await post(client, bearer(web))
        assert told(refused) == (401, "invalid_api_key")
        assert refused.headers["www-authenticate"].startswith("Bearer")


def test_scopes_are_asked_for_where_keys_are(settings: GatewaySettings, keys: KeyStore) -> None:
    _, ops = keys.create("ops", ("admin",))
    keys._read()
    guarded = dataclasses.replace(settings, key_store=keys, api_keys=("sk-1",))
    assert guarded.owner({"authorization": f"Bearer {ops}"}, scope="admin").api_key
    assert guarded.owner({"authorization": f"bearer  {ops} "}, scope=None).api_key
    with pytest.raises(Forbidden, match="lacks the scope admin"):
        guarded.owner({"authorization": "Bearer sk-1"}, scope="admin")
    assert settings.owner({}, scope="admin").api_key is None  # on loopback, without keys


@examples(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scopes=st.sets(st.sampled_from(SCOPES), min_size=1),
    wanted=st.sampled_from((*SCOPES, None)),
    lifetime_s=st.sampled_from((None, 1e-6, 60.0)),
    revoked=st.booleans(),
)
def test_a_key_opens_exactly_what_its_scopes_say_while_it_lives(
    settings: GatewaySettings, scopes: set[Scope], wanted: Scope | None, lifetime_s: float | None, revoked: bool
) -> None:
    keys = KeyStore(Database.open("sqlite://", ConversationTables))
    keys.create("another", SCOPES)
    _, secret = keys.create("web", scopes, lifetime_s)
    if revoked:
        keys.revoke("web")
    keys._read()
    guarded = dataclasses.replace(settings, key_store=keys)
    headers = {"authorization": f"Bearer {secret}"}
    if revoked or lifetime_s == 1e-6:
        with pytest.raises(Unauthorized):
            guarded.owner(headers, scope=wanted)
    elif wanted is None or wanted in scopes:
        assert guarded.owner(headers, scope=wanted).api_key
    else:
        with pytest.raises(Forbidden):
            guarded.owner(headers, scope=wanted)
    keys.close()


def test_off_loopback_there_must_be_a_key_that_opens_something(settings: GatewaySettings, keys: KeyStore) -> None:
    with pytest.raises(BadInput, match="kefu keys create"):
        dataclasses.replace(settings, host="0.0.0.0", key_store=keys)
    keys.create("web")
    assert dataclasses.replace(settings, host="0.0.0.0", key_store=keys).key_store is keys
    keys.revoke("web")
    for host in ("0.0.0.0", "127.0.0.1"):
        with pytest.raises(BadInput, match="kefu keys create"):
            dataclasses.replace(settings, host=host, key_store=keys)


@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.text() | st.sampled_from(["Bearer ", "Bearer sk-", "Bearer sk-11", "Basic sk-1", "sk-1", "Bearer sk-1 x"])
)
def test_no_other_header_opens_the_door(settings: GatewaySettings, keys: KeyStore, value: str) -> None:
    guarded = dataclasses.replace(settings, api_keys=("sk-1",), key_store=keys)
    if [part for part in value.split() if part] != ["Bearer", "sk-1"]:
        with pytest.raises(Unauthorized):
            guarded.owner({"authorization": value}, scope=None)


async def test_nothing_is_read_of_whom_the_door_keeps_out(opened: Open) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with opened(api_keys=("sk-1",)) as client:
        for path in (CHAT, "/v1/models", "/v1/nothing"):
            assert told(await client.post(path, content=body(), headers=bearer("sk-2"))) == (401, "invalid_api_key")
        assert (await client.get("/healthz")).status_code == 200
        assert 'kefu_requests_total{mode="none",status="401"} 3.0' in (await client.get("/metrics")).text


async def test_requests_a_minute_by_key(opened: Open) -> None:
    async with opened(api_keys=("sk-1", "sk-2"), key_allowance=Allowance(requests_per_minute=3)) as client:
        left = [await post(client, bearer("sk-1"), **extra) for extra in ({}, {"stream": True}, {"n": 2})]
        assert [response.status_code for response in left] == [200, 200, 400]
        assert [r.headers["x-ratelimit-remaining-requests"] for r in left] == ["2", "1", "0"]
        assert left[0].headers["x-ratelimit-limit-requests"] == "3"
        refused = await post(client, bearer("sk-1"))
        assert told(refused) == (429, "rate_limit_exceeded") and refused.json()["error"]["type"] == "requests"
        assert (
            0 < int(refused.headers["retry-after"]) <= 20 and refused.headers["x-ratelimit-remaining-requests"] == "0"
        )
        assert (await post(client, bearer("sk-2"))).status_code == 200
        assert 'status="429"} 1.0' in (await client.get("/metrics")).text


async def test_requests_a_minute_by_customer_through_any_key(opened: Open, h: Any) -> None:
    async with opened(api_keys=("sk-1", "sk-2"), customer_allowance=Allowance(requests_per_minute=2)) as client:
        for key in ("sk-1", "sk-2"):
            assert (await post(client, bearer(key) | h.token("mei"))).status_code == 200
        refused = await post(client, bearer("sk-1") | h.token("mei"))
        assert told(refused) == (429, "rate_limit_exceeded") and "this customer" in refused.text
        assert (await post(client, bearer("sk-1") | h.token("ana"))).status_code == 200
        assert (await post(client, bearer("sk-1"))).status_code == 200  # nobody signed in: nobody's limit


@pytest.mark.parametrize("extra", [{}, {"stream": True}, {"tools": [TOOL]}, {"tools": [TOOL], "stream": True}])
async def test_tokens_a_minute_are_those_that_the_engine_took(opened: Open, extra: dict[str, Any]) -> None:
    took = 15 if "tools" in extra else 30  # in agent mode the intent's call, too
    allowance = Allowance(tokens_per_minute=took + 1)
    async with opened(api_keys=("sk-1",), key_allowance=allowance) as client:
        first, second, third = [await post(client, bearer("sk-1"), **extra) for _ in range(3)]
        assert first.headers["x-ratelimit-remaining-tokens"] == str(took + 1)
        assert second.status_code == 200 and int(second.headers["x-ratelimit-remaining-tokens"]) < took / 2
        assert told(third) == (429, "rate_limit_exceeded") and third.json()["error"]["type"] == "tokens"
        assert 0 < int(third.headers["retry-after"]) <= 60


async def test_a_stream_that_breaks_off_is_paid_by_the_chunk(opened: Open, engine: Any) -> None:
    async def broken() -> Any:
        for _ in range(7):
            yield b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": null}]}\n\n'
        raise httpx.ReadError("gone")

    engine.say(httpx.Response(200, content=broken()))
    async with opened(api_keys=("sk-1",), key_allowance=Allowance(tokens_per_minute=100)) as client:
        await post(client, bearer("sk-1"), tools=[TOOL], stream=True)
        after = await client.get("/v1/models", headers=bearer("sk-1"))
        assert 93 <= int(after.headers["x-ratelimit-remaining-tokens"]) < 100


async def test_requests_at_once(opened: Open, engine: Any, h: Any) -> None:
    gate = Gate(engine, h)
    async with opened(customer_allowance=Allowance(concurrency=2)) as client:
        running = [asyncio.create_task(post(client, h.token("mei"))) for _ in range(2)]
        await gate.reached(2)
        refused = await post(client, h.token("mei"))
        assert told(refused) == (429, "concurrency_limit_exceeded") and refused.headers["retry-after"] == "1"
        running[0].cancel()  # a client that leaves makes room
        await asyncio.wait(running[:1])
        running.append(asyncio.create_task(post(client, h.token("mei"))))
        await gate.reached(3)
        gate.open.set()
        assert [(await task).status_code for task in running[1:]] == [200, 200]
        assert (await post(client, h.token("mei"), stream=True)).status_code == 200


async def test_a_full_queue_is_a_503_and_what_needs_no_engine_is_served(opened: Open, engine: Any, h: Any) -> None:
    gate = Gate(engine, h)
    async with opened(engine_seats=1, engine_queue=1) as client:
        running = [asyncio.create_task(post(client))]
        await gate.reached(1)
        running.append(asyncio.create_task(post(client)))
        async with asyncio.timeout(5):
            while "kefu_engine_queue 1.0" not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.001)
        for extra in ({}, {"stream": True}, {"tools": [TOOL]}, {"tools": [TOOL], "stream": True}):
            refused = await post(client, **extra)
            assert told(refused) == (503, "overloaded") and int(refused.headers["retry-after"]) >= 1
        faq = await post(client, messages=[{"role": "user", "content": "怎么退货？"}])
        assert faq.status_code == 200 and faq.json()["kefu"]["cache"]
        assert "kefu_engine_seats_taken 1.0" in (await client.get("/metrics")).text
        gate.open.set()
        assert [(await task).status_code for task in running] == [200, 200]
        assert "kefu_engine_seats_taken 0.0" in (await client.get("/metrics")).text


async def test_a_prompt_over_the_context_is_refused_before_the_engine(opened: Open, engine: Any) -> None:
    async with opened() as client:
        long = await post(client, tools=[TOOL], messages=[{"role": "user", "content": "x" * 8193}])
        assert told(long) == (400, "context_length_exceeded") and long.json()["error"]["param"] == "messages"
        assert not engine.requests
        fits = [{"role": "user", "content": "x" * 8000}]
        assert (await post(client, tools=[TOOL], messages=fits)).status_code == 200


async def test_openai_s_client_knows_every_refusal(opened: Open, keys: KeyStore, engine: Any, h: Any) -> None:
    _, web = keys.create("web")
    _, ops = keys.create("ops", ("admin",))

    async def ask(http: httpx.AsyncClient, key: str) -> Any:
        client = openai.AsyncOpenAI(base_url="http://kefu/v1", api_key=key, http_client=http, max_retries=0)
        return await client.chat.completions.create(model="kefu", messages=[{"role": "user", "content": "hi there"}])

    async with opened(key_store=keys, key_allowance=Allowance(requests_per_minute=1)) as http:
        with pytest.raises(openai.AuthenticationError):
            await ask(http, "wrong")
        with pytest.raises(openai.PermissionDeniedError):
            await ask(http, ops)
        assert (await ask(http, web)).choices
        with pytest.raises(openai.RateLimitError) as refused:
            await ask(http, web)
        assert refused.value.code == "rate_limit_exceeded" and refused.value.type == "requests"
    Gate(engine, h)
    async with opened(request_timeout_s=0.05) as http:
        with pytest.raises(openai.InternalServerError) as late:
            await ask(http, "EMPTY")
        assert late.value.status_code == 504 and late.value.code == "deadline_exceeded"
