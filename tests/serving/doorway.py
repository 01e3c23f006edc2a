"""Callers of whole applications whose settings a test changes."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import httpx

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
HI = {"model": "kefu", "messages": [{"role": "user", "content": "hi there"}]}
Open = Callable[..., contextlib.AbstractAsyncContextManager[httpx.AsyncClient]]


async def post(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return await client.post(CHAT, json=HI | body, headers=headers)


def told(response: httpx.Response) -> tuple[int, str | None]:
    """The status and OpenAI's code of an error."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return response.status_code, error["code"]


class Gate:
    """An engine whose answers wait until they are let go."""

    def __init__(self, engine: Any, h: Any) -> None:
        self.open, self.asked = asyncio.Event(), 0

        async def answer(_body: dict[str, Any]) -> dict[str, Any]:
            self.asked += 1
            await self.open.wait()
            return dict(h.message("Hello!"))

        engine.say(answer)

    async def reached(self, number: int) -> None:
        async with asyncio.timeout(5):
            while self.asked < number:
                await asyncio.sleep(0.001)
