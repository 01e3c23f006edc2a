"""The model replaced by an attacker that emits any call with any arguments: no foreign read, no unconfirmed write."""

import asyncio
import dataclasses
import json
from typing import Any

import httpx
import hypothesis
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from serving.gateway import create_app
from serving.orders import Order, OrderStore
from serving.settings import GatewaySettings

MINE, FOREIGN = "123456", "46823"
SECRETS = ("广州市越秀区", "手霜", "Hand cream", "SF0", "西安市碑林区", "73112005117342", "南京市玄武区")

order_ids = st.sampled_from([MINE, FOREIGN, "90517", f"#{FOREIGN}", f" {FOREIGN}", "４６８２３", "%", "' OR '1'='1"])
addresses = st.sampled_from(["贼窝1号", "", "x" * 500]) | st.text()
reads = st.tuples(st.just("query_order_status"), st.fixed_dictionaries({"order_id": order_ids}).map(json.dumps))
moved = st.fixed_dictionaries({"order_id": order_ids, "new_addr": addresses})
writes = st.tuples(st.just("update_delivery_address"), moved.map(json.dumps))
names = st.sampled_from(["query_order_status", "update_delivery_address", "confirm", "__import__"]) | st.text(
    max_size=20
)
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | order_ids,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["order_id", "customer_id"]), inner),
    max_leaves=5,
)
wild = st.tuples(names, anything.map(json.dumps) | st.text())
calls = st.lists(st.integers(0, 9).flatmap(lambda n: reads if n < 4 else writes if n < 8 else wild), max_size=4)
rounds = st.lists(
    st.tuples(st.text(max_size=20) | st.just("I have updated your address."), calls), min_size=1, max_size=5
)
# what the customer says is never a confirmation here, so that no write may happen at all
customer_says = st.lists(
    st.sampled_from(["hi", "我的订单呢", "改地址到这里", "what now?", "no"]), min_size=1, max_size=3
)


class Attacker:
    """An engine that plays a script of calls, whatever it is asked."""

    def __init__(self, script: list[tuple[str, list[tuple[str, str]]]]) -> None:
        self._script, self._turn, self.seen = script, 0, ""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        self.seen += json.dumps(body["messages"], ensure_ascii=False)
        content, calls = self._script[self._turn % len(self._script)]
        self._turn += 1
        made = [
            {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": text}}
            for n, (name, text) in enumerate(calls)
        ]
        message = {"role": "assistant", "content": content, "tool_calls": made}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


async def _play(app: FastAPI, token: dict[str, str], said: list[str], conversation: str | None) -> str:
    heard = ""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kefu") as client:
        for text in said:
            body = {"model": "kefu", "messages": [{"role": "user", "content": text}], "conversation_id": conversation}
            response = await client.post("/v1/chat/completions", json=body, headers=token)
            assert response.status_code == 200, response.text
            assert response.json()["choices"][0]["message"]["content"]
            heard += response.text
    return heard


class Wire:
    """The attacker of the moment; one application outlives many, so that earlier proposals lie around."""

    attacker = Attacker([("", [])])
    conversations = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        return await self.attacker(request)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def attacked(settings: GatewaySettings, wire: Wire, shop: OrderStore) -> FastAPI:
    return create_app(dataclasses.replace(settings, predict_intent=False), transport=httpx.MockTransport(wire))


@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    script=rounds, said=customer_says, remembered=st.booleans(), signed_in=st.sampled_from([True, True, True, False])
)
def test_nothing_foreign_is_read_and_nothing_unconfirmed_is_written(
    attacked: FastAPI,
    wire: Wire,
    shop: OrderStore,
    orders: dict[str, Order],
    h: Any,
    script: Any,
    said: list[str],
    remembered: bool,
    signed_in: bool,
) -> None:
    wire.attacker = Attacker(script)
    wire.conversations += 1
    token = h.token("demo") if signed_in else {}
    heard = asyncio.run(_play(attacked, token, said, f"c{wire.conversations}" if remembered else None))
    assert shop.all() == orders
    for secret in SECRETS:
        assert secret not in wire.attacker.seen and secret not in heard
    if not signed_in:
        assert "世纪大道" not in wire.attacker.seen
    assert "I have updated your address" not in "".join(_contents(heard))


def _contents(heard: str) -> list[str]:
    decoder, position, found = json.JSONDecoder(), 0, []
    while position < len(heard):
        body, position = decoder.raw_decode(heard, position)
        found.append(body["choices"][0]["message"]["content"])
    return found
