"""Conformance: what a model says is exactly what arrives at a client, in every cell of the matrix (`evals/cells.py`).

Held against the raw completion (`evals/reference.py`): each call in it arrives with these arguments and none is invented, no
mark of the template arrives, nor thinking that was not asked for; no answer is empty, the finish reason fits, and a stream says
what the whole says. A model of any skill passes, a random one too: `evidence` says what the cells had to show. A mismatch
counts once the raw completion was repeated; where that changes by itself, the cell is asked again.
Not covered: whether what the model says is right; starting engine and gateway (`pipelines/conform.py`).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
from pydantic import Field

from data.schema import Strict
from evals.answer import Answer, streamed, whole
from evals.cells import Cell, Json, matrix
from evals.reference import Reference, Said, Serving
from evals.transcript import MARKS, written

ATTEMPTS = 3
TIMEOUT_S = 300.0
NAMED = 3  # failing cells in a reason
WAYS = ("whole", "stream")


class Failure(Strict):
    """A cell in which something else arrived than was said: what was expected and found, and the raw text."""

    cell: str
    problem: str
    raw: str


class Conformance(Strict):
    """What the matrix showed. `cells` are requests; `evidence` counts cells by what the model wrote in them."""

    cells: int
    failures: tuple[Failure, ...] = ()
    evidence: dict[str, int] = Field(default_factory=dict)


def conformance(
    engine_url: str,
    gateway_url: str,
    serving: Serving,
    *,
    cells: Sequence[Cell] | None = None,
    concurrency: int = 8,
    progress: Callable[[int], None] | None = None,
) -> Conformance:
    """Asks every cell, whole and streamed. URLs are without /v1; `progress` is told how many cells are done.

    Not for use inside an event loop.
    """
    asked = tuple(matrix()) if cells is None else tuple(cells)
    return asyncio.run(_ask_all(engine_url, gateway_url, serving, asked, concurrency, progress))


async def _ask_all(
    engine_url: str,
    gateway_url: str,
    serving: Serving,
    cells: Sequence[Cell],
    concurrency: int,
    progress: Callable[[int], None] | None,
) -> Conformance:
    turnstile, evidence, failures = asyncio.Semaphore(concurrency), Counter[str](), list[Failure]()
    done = [0]

    async def one(cell: Cell) -> None:
        async with turnstile:
            said, found = await _checked(cell, reference, gateway, serving)
        evidence.update(_evidence(said))
        failures.extend(found)
        done[0] += 1
        if progress is not None:
            progress(done[0])

    async with _client(engine_url) as engine, _client(gateway_url) as gateway:
        reference = Reference(engine, serving)
        await asyncio.gather(*map(one, cells))
    failures.sort(key=lambda failure: failure.cell)
    return Conformance(cells=len(WAYS) * len(cells), failures=tuple(failures), evidence=dict(sorted(evidence.items())))


async def _checked(
    cell: Cell, reference: Reference, gateway: httpx.AsyncClient, serving: Serving
) -> tuple[Said | None, list[Failure]]:
    try:
        for attempt in range(ATTEMPTS):
            said = await reference.said(cell, anew=attempt > 0)
            answers = [await _ask(cell, gateway, serving, stream) for stream in (False, True)]
            problems = [list(_problems(cell, said, answer, serving)) for answer in answers]
            if _telling(answers[0]) != _telling(answers[1]):
                problems[1].append(f"the whole answer is {_telling(answers[0])}, the stream {_telling(answers[1])}")
            steady = not any(problems) or (await reference.said(cell, anew=True)).raws == said.raws
            if steady:
                break
    except (httpx.HTTPError, ValueError, KeyError, IndexError) as error:
        return None, [Failure(cell=cell.name, problem=f"no reference: {type(error).__name__}: {error}", raw="")]
    note = "" if steady else " (the raw completion changes by itself)"
    failures = [
        Failure(cell=f"{cell.name}/{way}", problem="; ".join(found) + note, raw="\n---\n".join(said.raws))
        for way, found in zip(WAYS, problems, strict=True)
        if found
    ]
    return said, failures


async def _ask(cell: Cell, gateway: httpx.AsyncClient, serving: Serving, stream: bool) -> Answer:
    body: Json = {
        "model": "kefu",
        "messages": cell.messages(),
        **cell.offer(serving.tools),
        "temperature": 0,
        "enable_thinking": cell.thinking,
        "return_reasoning": cell.shown,
        "stream": stream,
    }
    try:
        response = await gateway.post("/v1/chat/completions", json=body)
        if response.status_code != httpx.codes.OK:
            return Answer(problems=[f"HTTP {response.status_code}: {response.text[:300]}"])
        return streamed(response.text) if stream else whole(response.json())
    except (httpx.HTTPError, ValueError) as error:
        return Answer(problems=[f"{type(error).__name__}: {error}"])


def _problems(cell: Cell, said: Said, answer: Answer, serving: Serving) -> Iterator[str]:
    """What is wrong with one answer."""
    if answer.problems:
        yield from answer.problems
        return
    visible = answer.content + answer.reasoning
    if leaked := [mark for mark in MARKS if mark in visible]:
        yield f"no {', '.join(leaked)} expected in the answer, found in {_quoted(visible)}"
    if (answer.reasoning or answer.opening) and not cell.shown:
        yield f"no reasoning expected, found {_quoted(answer.opening or answer.reasoning)}"
    if not answer.content.strip() and not answer.calls:
        yield "an answer expected, found nothing"
    yield from (
        _agent_problems(cell, said, answer, serving) if cell.mode == "agent" else _model_problems(cell, said, answer)
    )


def _model_problems(cell: Cell, said: Said, answer: Answer) -> Iterator[str]:
    due = said.transcript
    calls = due.calls[:1] if cell.choice == "functions" else due.calls  # function_call has room for one
    wanted = [(call.name, call.arguments) for call in calls]
    found = [(name, written(arguments)) for name, arguments in answer.calls]
    if found != wanted:
        yield f"calls {wanted} expected, found {answer.calls}"
    if not due.empty and not _same(answer.content, due.content):
        yield f"content {_quoted(due.content)} expected, found {_quoted(answer.content)}"
    if cell.shown and not _same(answer.reasoning, due.reasoning):
        yield f"reasoning {_quoted(due.reasoning)} expected, found {_quoted(answer.reasoning)}"
    if cell.forced and not wanted and not said.cut:
        yield "a forced call expected, the engine wrote none"
    called = "function_call" if cell.choice == "functions" else "tool_calls"
    yield from _finish(answer, "length" if said.cut else called if wanted else "stop")


def _agent_problems(cell: Cell, said: Said, answer: Answer, serving: Serving) -> Iterator[str]:
    """An agent runs the calls itself; its words are this text's only where there are none."""
    due = said.transcript
    wanted = [(call.name, call.arguments) for call in due.calls]
    ran = [(call["name"], call["arguments"]) for call in answer.handled]
    if answer.calls:
        yield f"no calls to the caller expected, found {answer.calls}"
    if bool(ran) != bool(wanted) or any(one != other for one, other in zip(ran, wanted, strict=False)):
        yield f"the server was to handle {wanted} first, found {ran}"
    if wanted:
        return
    words = serving.worded(due.content, cell.language)
    if words.strip() and not _same(answer.content, words):
        yield f"content {_quoted(words)} expected, found {_quoted(answer.content)}"
    if cell.shown and not _same(answer.reasoning, due.reasoning):
        yield f"reasoning {_quoted(due.reasoning)} expected, found {_quoted(answer.reasoning)}"
    yield from _finish(answer, "length" if said.cut else "stop")


def _finish(answer: Answer, wanted: str) -> Iterator[str]:
    if answer.finish != wanted:
        yield f"finish_reason {wanted} expected, found {answer.finish}"


def _same(found: str, said: str) -> bool:
    """Whether a text arrived. White space at its ends and NUL are nothing; where a mark was taken out, a space may be."""
    said = said.replace("\x00", "")
    if found.strip() == said.strip():
        return True
    return "<" in said and "".join(found.split()) == "".join(said.split())


def _telling(answer: Answer) -> tuple[Any, ...]:
    calls = [(name, written(arguments)) for name, arguments in answer.calls]
    return answer.content, answer.opening, answer.reasoning, calls, answer.finish


def _evidence(said: Said | None) -> Iterator[str]:
    """What a cell had to show."""
    if said is None:
        yield "no reference"
        return
    read = said.transcript
    yield from (name for name, shows in (("calls", read.calls), ("text", read.content)) if shows)
    yield from (name for name, shows in (("reasoning", read.reasoning), ("broken call", read.broken)) if shows)
    yield from (name for name, shows in (("cut", said.cut), ("nothing", read.empty)) if shows)


def _quoted(text: str, most: int = 160) -> str:
    return repr(text if len(text) <= most else f"{text[:most]}…")


def _client(url: str) -> httpx.AsyncClient:
    # both are on loopback: a proxy from the environment must not come between
    return httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False)
