"""What a model says in a cell of the matrix, asked for on the engine's own port, past the gateway and the engine's parsers.

The prompt is tokenized by the engine, and these very token ids are completed at temperature 0. A forced call's raw text is
the engine's own chat completion turned back into text: only there is its grammar the same.
Not covered: comparing it with what arrives (`evals/conformance.py`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from data.chat import Prompts, agent_messages, wire
from data.schema import Language, Message
from evals.cells import Cell, Json
from evals.transcript import Transcript, transcript


@dataclass(frozen=True)
class Serving:
    """What is served, as far as a reference must know it; the most tokens are those of the gateway's recipe.

    `worded`: what of an agent's text leaves the server, which holds back claims.
    """

    engine_model: str
    prompts: Prompts
    tools: Sequence[Json]
    answer_tokens: int
    thinking_tokens: int
    worded: Callable[[str, Language], str]


@dataclass(frozen=True)
class Said:
    """What a model says: the reading that must arrive, the raw texts that it was read from, whether the last was cut."""

    transcript: Transcript
    raws: tuple[str, ...]
    cut: bool


class Reference:
    """Raw completions of one engine."""

    def __init__(self, engine: httpx.AsyncClient, serving: Serving) -> None:
        self._engine, self._serving = engine, serving
        self._known: dict[str, tuple[str, bool]] = {}

    async def said(self, cell: Cell, *, anew: bool = False) -> Said:
        """What the model says in a cell. Thinking that leaves nothing is asked again without: both texts count.

        Cells with the same prompt share a completion, unless it is wanted `anew`.

        Raises:
            httpx.HTTPError: the engine does not answer, or refuses.
        """
        raw, cut = await self._raw(cell, cell.thinking, anew)
        wanted = cell.choice != "none"
        read = transcript(raw, thinking=cell.thinking, calls=wanted)
        if not (cell.thinking and read.empty):
            return Said(read, (raw,), cut)
        again, cut = await self._raw(cell, False, anew)
        answer = transcript(again, thinking=False, calls=wanted)
        thoughts = [part for part in (read.reasoning, answer.reasoning) if part]
        return Said(answer.model_copy(update={"reasoning": "\n\n".join(thoughts)}), (raw, again), cut)

    async def _raw(self, cell: Cell, thinking: bool, anew: bool) -> tuple[str, bool]:
        """The text, and whether it was cut at the most tokens."""
        limit = self._serving.answer_tokens + (self._serving.thinking_tokens if thinking else 0)
        body: Json = {
            "model": self._serving.engine_model,
            "messages": self._messages(cell),
            "tools": cell.tools(self._serving.tools),
            "chat_template_kwargs": {"enable_thinking": thinking},
        }
        limits = {"temperature": 0, "max_tokens": limit}
        if thinking:  # the gateway sets it, too: at its end the engine closes the thinking
            limits["thinking_token_budget"] = self._serving.thinking_tokens
        # marks of turns are special tokens, which the engine shows its tool parser and nobody else
        how = {"tool_choice": cell.tool_choice()} if cell.forced else {"skip_special_tokens": cell.choice == "none"}
        key = json.dumps([body, limits, how])
        if anew or key not in self._known:
            complete = self._forced if cell.forced else self._completed
            self._known[key] = await complete(body, {**limits, **how})
        return self._known[key]

    async def _completed(self, body: Json, options: Json) -> tuple[str, bool]:
        tokens = (await self._post("/tokenize", body))["tokens"]
        prompt = {"model": body["model"], "prompt": tokens, **options}
        choice = (await self._post("/v1/completions", prompt))["choices"][0]
        return choice["text"], choice["finish_reason"] == "length"

    async def _forced(self, body: Json, options: Json) -> tuple[str, bool]:
        chat = {**body, **options, "return_token_ids": True}
        choice = (await self._post("/v1/chat/completions", chat))["choices"][0]
        text = await self._post("/detokenize", {"model": body["model"], "tokens": choice["token_ids"]})
        return text["prompt"], choice["finish_reason"] == "length"

    def _messages(self, cell: Cell) -> list[Json]:
        if cell.mode == "model":
            return cell.messages()
        turns = [Message(role=turn["role"], content=turn["content"]) for turn in cell.messages()]
        return wire(agent_messages(turns, cell.language, self._serving.prompts))

    async def _post(self, path: str, body: Json) -> Any:
        response = await self._engine.post(path, json=body)
        response.raise_for_status()
        return response.json()
