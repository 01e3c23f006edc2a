"""Asks a model behind an OpenAI-compatible base_url for intents and tool calls: greedy, in order, nothing skipped.

A request that fails for good becomes a prediction with an error, which counts as wrong. Thinking is always off here, so
that any reasoning that comes along is a leak, and is kept. Not covered: starting an engine
(`serving/engine.py`) and judging the predictions (`evals/metrics.py`).
"""

import asyncio
import json
import math
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx
import tenacity
from pydantic import TypeAdapter, ValidationError

from data.chat import CALL_OPEN, INTENT_MAX_TOKENS, Prompts, agent_messages, intent_messages, parse_intent, wire
from data.schema import Function, IntentCase, Language, Strict, ToolCase
from evals.journal import Journal

TOOL_MAX_TOKENS = 160
TIMEOUT_S = 120.0
ATTEMPTS = 4

Progress = Callable[[int], None]
Json = dict[str, Any]
C = TypeVar("C", IntentCase, ToolCase)


class Prediction(Strict):
    """One intent case and what the model made of it. `predicted` is None where its text was no label (unparsable)."""

    case: IntentCase
    predicted: str | None
    raw: str = ""
    error: str | None = None  # the request failed for good
    held_out: bool = False  # widens the paired tests only, never F1
    probability: float | None = None  # of the whole text, by the model itself; None where the engine did not say
    reasoning: str = ""  # what came as reasoning although thinking is off

    @property
    def right(self) -> bool:
        """Whether the label is the expected one."""
        return self.predicted == self.case.intent

    @property
    def language(self) -> Language:
        """The case's language."""
        return self.case.language


class ToolPrediction(Strict):
    """One tool case and the calls that the model made; `error` says why there is no usable answer."""

    case: ToolCase
    calls: tuple[Function, ...] = ()
    raw: str = ""
    error: str | None = None
    unfinished: bool = False  # a call that is cut or malformed
    reasoning: str = ""  # what came as reasoning although thinking is off

    @property
    def right(self) -> bool:
        """Whether the model made exactly the expected call, or answered without one where none is due."""
        if self.error is not None:
            return False
        expected = [self.case.expect] if self.case.expect is not None else []
        return [normalized(call) for call in self.calls] == [normalized(call) for call in expected]

    @property
    def language(self) -> Language:
        """The case's language."""
        return self.case.language


P = TypeVar("P", Prediction, ToolPrediction)


class NoAnswer(Exception):
    """The endpoint gave no usable answer; the text is the prediction's error. Never leaves this module."""


class Busy(Exception):
    """The endpoint answered 503. Never leaves this module."""


def predict_intents(
    base_url: str,
    model: str,
    cases: Sequence[IntentCase],
    prompts: Prompts,
    names: Sequence[str],
    *,
    held_out: bool = False,
    concurrency: int = 16,
    timeout_s: float = TIMEOUT_S,
    progress: Progress | None = None,
    journal: Journal[Prediction] | None = None,
) -> list[Prediction]:
    """The label of each case, in order; `progress` is told how many are done. Not for use inside an event loop.

    What is in `journal` is not asked again; failed requests are.
    """

    async def ask(client: httpx.AsyncClient, case: IntentCase) -> Prediction:
        messages = wire(intent_messages(case.text, prompts))
        try:
            choice = await _complete(
                client, {"model": model, "messages": messages, "max_tokens": INTENT_MAX_TOKENS, "logprobs": True}
            )
        except NoAnswer as error:
            return Prediction(case=case, predicted=None, error=str(error), held_out=held_out)
        raw = choice["message"].get("content") or ""
        return Prediction(
            case=case,
            predicted=parse_intent(raw, names),
            raw=raw,
            held_out=held_out,
            probability=_probability(choice),
            reasoning=_reasoning(choice["message"]),
        )

    return asyncio.run(_ask_all(base_url, ask, cases, concurrency, timeout_s, progress, journal))


def predict_tools(
    base_url: str,
    model: str,
    cases: Sequence[ToolCase],
    prompts: Prompts,
    tools: Sequence[Mapping[str, Any]],
    *,
    concurrency: int = 16,
    timeout_s: float = TIMEOUT_S,
    progress: Progress | None = None,
    journal: Journal[ToolPrediction] | None = None,
) -> list[ToolPrediction]:
    """The calls that the agent makes next in each case, in order, with `tools` (OpenAI's shape) on offer; `journal` as
    in `predict_intents`."""
    offered = [dict(tool) for tool in tools]

    async def ask(client: httpx.AsyncClient, case: ToolCase) -> ToolPrediction:
        messages = wire(agent_messages(case.messages, case.language, prompts))
        body = {"model": model, "messages": messages, "tools": offered, "max_tokens": TOOL_MAX_TOKENS}
        try:
            return _tool_prediction(case, (await _complete(client, body))["message"])
        except NoAnswer as error:
            return ToolPrediction(case=case, error=str(error))

    return asyncio.run(_ask_all(base_url, ask, cases, concurrency, timeout_s, progress, journal))


def normalized(call: Function) -> Function:
    """The call as it is compared: string arguments in NFKC and stripped, an order number without its `#`."""
    arguments: dict[str, Any] = {}
    for name, value in call.arguments.items():
        if isinstance(value, str):
            value = unicodedata.normalize("NFKC", value).strip()
            value = value.lstrip("#").strip() if name == "order_id" else value
        arguments[name] = value
    return Function(name=call.name, arguments=arguments)


def _tool_prediction(case: ToolCase, answer: Json) -> ToolPrediction:
    """Reads the calls of an answer; broken arguments, a call left in the text and an empty answer are errors."""
    raw, reasoning = answer.get("content") or "", _reasoning(answer)
    calls = answer.get("tool_calls") or []
    try:
        read = tuple(Function(name=c["function"]["name"], arguments=_arguments(c["function"])) for c in calls)
    except (KeyError, TypeError, ValidationError):
        written = json.dumps(calls, ensure_ascii=False)
        broken = f"malformed tool call: {written[:200]}"
        return ToolPrediction(case=case, raw=raw or written, error=broken, unfinished=True, reasoning=reasoning)
    error = None
    if CALL_OPEN in raw:
        error = f"{CALL_OPEN} left in the text: the call is not well-formed"
    elif not read and not raw.strip():
        error = "an empty answer"
    return ToolPrediction(case=case, calls=read, raw=raw, error=error, unfinished=CALL_OPEN in raw, reasoning=reasoning)


def _arguments(function: Json) -> Json:
    return TypeAdapter(Json).validate_json(function["arguments"])


def _reasoning(answer: Json) -> str:
    return answer.get("reasoning") or answer.get("reasoning_content") or ""


def _probability(choice: Json) -> float | None:
    """The product of the tokens' probabilities, or None where the engine gave no log probabilities."""
    try:
        logs = [float(token["logprob"]) for token in choice["logprobs"]["content"]]
    except (KeyError, TypeError, ValueError):
        return None
    return math.exp(min(0.0, math.fsum(logs))) if logs else None


async def _ask_all(
    base_url: str,
    ask: Callable[[httpx.AsyncClient, C], Awaitable[P]],
    cases: Sequence[C],
    concurrency: int,
    timeout_s: float,
    progress: Progress | None,
    journal: Journal[P] | None,
) -> list[P]:
    """Runs `ask` over all cases, at most `concurrency` at a time; results are in the order of the cases."""
    turnstile, done = asyncio.Semaphore(concurrency), 0

    async def one(client: httpx.AsyncClient, case: C) -> P:
        nonlocal done
        result = journal.find(case) if journal is not None else None
        if result is None:
            async with turnstile:
                result = await ask(client, case)
            if journal is not None and result.error is None:
                journal.add(case, result)
        done += 1
        if progress is not None:
            progress(done)
        return result

    limits = httpx.Limits(max_connections=concurrency)
    # The engine is on loopback: a proxy from the environment must not come between.
    async with httpx.AsyncClient(base_url=base_url, timeout=timeout_s, limits=limits, trust_env=False) as client:
        return list(await asyncio.gather(*(one(client, case) for case in cases)))


async def _complete(client: httpx.AsyncClient, body: Json) -> Json:
    """The first choice of a greedy completion with thinking off; its `message` is an object.

    Raises:
        NoAnswer: the endpoint was unreachable or busy after all attempts, refused, or answered something else.
    """
    greedy = {**body, "temperature": 0, "chat_template_kwargs": {"enable_thinking": False}}
    try:
        response = await _post(client, greedy)
    except (httpx.TransportError, Busy) as error:
        raise NoAnswer(f"no answer after {ATTEMPTS} attempts: {type(error).__name__}: {error}") from error
    if response.status_code != httpx.codes.OK:
        raise NoAnswer(f"HTTP {response.status_code}: {response.text[:200]}")
    try:
        choice: Json = TypeAdapter(Json).validate_python(response.json()["choices"][0])
        TypeAdapter(Json).validate_python(choice["message"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise NoAnswer(f"not a chat completion: {response.text[:200]}") from error
    return choice


@tenacity.retry(
    retry=tenacity.retry_if_exception_type((httpx.TransportError, Busy)),
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    wait=tenacity.wait_exponential(multiplier=0.1, max=5),
    reraise=True,
)
async def _post(client: httpx.AsyncClient, body: Json) -> httpx.Response:
    response = await client.post("/v1/chat/completions", json=body)
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise Busy(response.text[:200])
    return response
