"""What the engine behind a base_url makes of prompts, in token ids: as it reads them, and what it writes after them.

Not covered: comparing ids (`evals/parity.py`) and starting an engine (`serving/engine.py`).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

from data.chat import Row, wire
from data.errors import CheckFailed

TIMEOUT_S = 120.0
PUSH = 100.0  # the largest bias that OpenAI's API takes: a greedy model then writes that token
T = TypeVar("T")


def prompt_ids(base_url: str, model: str, rows: Sequence[Row], concurrency: int) -> list[list[int]]:
    """The prompt of each row by the engine's `/tokenize`, asked as a client asks for an answer.

    Raises:
        CheckFailed: the engine refuses, or its answer holds no ids.
    """
    return _ask_all(base_url, [("/tokenize", _request(model, row)) for row in rows], lambda b: b["tokens"], concurrency)


def greedy_ids(base_url: str, model: str, rows: Sequence[Row], max_tokens: int, concurrency: int) -> list[list[int]]:
    """What the engine writes after each row's prompt at temperature 0, the end of turn included.

    Raises:
        CheckFailed: the engine refuses, or its answer holds no ids (it is no vLLM).
    """
    greedy = {"temperature": 0, "max_tokens": max_tokens, "return_token_ids": True}
    asked = [("/v1/chat/completions", {**_request(model, row), **greedy}) for row in rows]
    return _ask_all(base_url, asked, lambda b: list(b["choices"][0]["token_ids"]), concurrency)


def stops_at(base_url: str, model: str, prompt: Sequence[int], token: int) -> bool:
    """Whether the engine ends an answer when the model writes `token`, which a bias makes it write.

    Raises:
        CheckFailed: the engine refuses.
    """
    pushed = {"prompt": list(prompt), "logit_bias": {str(token): PUSH}, "temperature": 0, "max_tokens": 3}
    (finish,) = _ask_all(
        base_url, [("/v1/completions", {"model": model, **pushed})], lambda b: b["choices"][0]["finish_reason"], 1
    )
    return bool(finish == "stop")


def _request(model: str, row: Row) -> dict[str, Any]:
    """A row as the gateway asks for its answer."""
    tools = {"tools": [dict(tool) for tool in row.tools]} if row.tools else {}
    thinking = {"enable_thinking": row.thinking}
    return {"model": model, "messages": wire(row.messages), "chat_template_kwargs": thinking, **tools}


def _ask_all(
    base_url: str, asked: Sequence[tuple[str, dict[str, Any]]], read: Callable[[Any], T], concurrency: int
) -> list[T]:
    # the engine is on loopback: a proxy from the environment must not come between
    with (
        httpx.Client(base_url=base_url, timeout=TIMEOUT_S, trust_env=False) as client,
        ThreadPoolExecutor(concurrency) as pool,
    ):

        def ask(one: tuple[str, dict[str, Any]]) -> T:
            path, body = one
            try:
                response = client.post(path, json=body)
                response.raise_for_status()
                return read(response.json())
            except httpx.HTTPStatusError as error:
                said = error.response.text[:300]
                raise CheckFailed(f"{base_url}{path}: HTTP {error.response.status_code}: {said}") from error
            except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
                raise CheckFailed(f"{base_url}{path}: no token ids ({type(error).__name__}: {error})") from error

        return list(pool.map(ask, asked))
