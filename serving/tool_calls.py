"""The calls of one round: reads at the same time, writes one after another, none for longer than it may take.

Whatever becomes of a call ends in a result that can be told. Not covered: what a tool does (`serving/toolset.py`), and
stopping one that never returns: it keeps its thread, and the customer hears that it took too long.
"""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from data.schema import Function, Language, ToolCall
from serving import wording
from serving.lease import Lease, within
from serving.observation import span
from serving.proposals import Confirmation, Party, Proposal
from serving.speech import Call
from serving.tool import TIMEOUT_S
from serving.toolset import CallResult, Toolset

MAX_CALLS = 4  # in one round
MAX_ARGUMENTS = 4000  # characters of a call's arguments
THREADS = 16
_ONE_AT_A_TIME = CallResult("invalid", "One change at a time: the customer was asked about another one.")
T = TypeVar("T")


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="kefu-tool")


@dataclass(frozen=True)
class ToolCalls:
    """Runs a toolset's blocking work in threads of its own, so that slow tools keep nobody else waiting."""

    toolset: Toolset
    confirm_timeout_s: float = 2 * TIMEOUT_S
    _executor: ThreadPoolExecutor = field(default_factory=_threads)

    async def run(self, calls: Sequence[ToolCall], party: Party | None) -> list[CallResult]:
        """The results of a round's calls, in their order."""
        reads = {
            index: asyncio.ensure_future(self._call(call, party))
            for index, call in enumerate(calls)
            if not self._writes(call)
        }
        try:
            results: dict[int, CallResult] = {}
            for index, call in enumerate(calls):
                if index not in reads:
                    proposed = any(result.proposal for result in results.values())
                    results[index] = _ONE_AT_A_TIME if proposed else await self._call(call, party)
            results |= {index: await read for index, read in reads.items()}
        finally:
            for read in reads.values():
                read.cancel()
        return [results[index] for index in range(len(calls))]

    async def confirm(self, given: Confirmation, party: Party) -> tuple[Proposal | None, str]:
        """Executes what is confirmed, and says how it ended (`Toolset.confirm`)."""
        try:
            return await self._within(self.confirm_timeout_s, lambda lease: self.toolset.confirm(given, party, lease))
        except TimeoutError:
            return None, "too_slow"

    async def void(self, party: Party) -> int:
        """Voids what waits for this party's confirmation."""
        return await asyncio.to_thread(self.toolset.void, party)

    async def _call(self, call: ToolCall, party: Party | None) -> CallResult:
        name, arguments = call.function.name, call.function.arguments
        tool = self.toolset.find(name)
        with span("tool", tool.name if tool else "unknown", arguments) as seen:
            try:
                result = await self._within(
                    tool.timeout_s if tool else TIMEOUT_S,
                    lambda lease: self.toolset.call(name, arguments, party, lease),
                )
            except TimeoutError:
                result = CallResult("failed", "Failed: it took too long", "too_slow", write=self._writes(call))
            seen.outputs = result.text
        return result

    async def _within(self, seconds: float, work: Callable[[Lease], T]) -> T:
        return await within(seconds, self._executor, work)

    def _writes(self, call: ToolCall) -> bool:
        tool = self.toolset.find(call.function.name)
        return tool is not None and tool.writes


def read_calls(calls: Sequence[Call], round_: int) -> tuple[ToolCall, ...]:
    """The calls of a completion that are run, their arguments as objects; what is no object of plain JSON becomes one
    that no schema accepts."""
    return tuple(_read(call, f"call_{round_}_{index}") for index, call in enumerate(calls[:MAX_CALLS]))


def words(toolset: Toolset, results: Sequence[CallResult], language: Language) -> tuple[str, Proposal | None]:
    """What the server says itself after a round, if anything: the question before a write, or why nothing could be done."""
    proposal = next((result.proposal for result in results if result.proposal), None)
    if proposal is not None:
        what = toolset.asks(proposal, language)
        return wording.question(what, proposal.code, toolset.proposals.lifetime_s, language), proposal
    unable = [result for result in results if result.reason]
    if len(unable) == len(results) or any(result.write for result in unable):
        told = next((result for result in unable if result.write), unable[0])
        return wording.reason(told.reason or "failed", language), None
    return "", None


def _read(call: Call, fallback_id: str) -> ToolCall:
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", call.name)[:64] or "unknown"
    return ToolCall(id=call.id or fallback_id, function=Function(name=name, arguments=_arguments(call.arguments)))


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text) if len(text) <= MAX_ARGUMENTS else None
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()  # neither NaN nor half a character
    except (ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {"malformed": text[:200].encode("ascii", "replace").decode()}
