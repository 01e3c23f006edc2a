"""What one answer of an engine says: text, reasoning and whole calls, whichever way the engine delivers them.

Engines with parsers send calls and reasoning in fields of their own, others leave them in the text, and a parser that fails
hands the marks on. Here each call leaves whole or not at all, and no mark leaves. A call is whole once its name and its
arguments are; only its closing brace and mark may be missing, as an engine that streams cannot tell. Text after a call
is no part of an answer, as engines with parsers drop it, and after a call that is not whole nothing is.
Not covered: asking again, the words when nothing was said, and what vLLM's streaming parser gets wrong unseen (it takes a
`"name"` among the arguments for the call's own where that is missing).
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serving.reasoning import MARKS, RESPONSE_OPEN, Kind, Splitter, clean

_IN_REASONING: Mapping[str, Kind | None] = {**dict.fromkeys(MARKS), RESPONSE_OPEN: "response"}


@dataclass(frozen=True)
class Call:
    """A tool call; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


Said = tuple[Literal["content", "reasoning"], str] | tuple[Literal["call"], Call]


class Trimmed:
    """Text without white space at its beginning and its end, though it comes in pieces."""

    def __init__(self) -> None:
        self._held, self._begun = "", False

    def feed(self, text: str) -> str:
        """What may leave by now: white space waits for what follows it."""
        text = self._held + text
        text = text if self._begun else text.lstrip()
        ready = text.rstrip()
        self._held, self._begun = text[len(ready) :], self._begun or bool(ready)
        return ready


@dataclass
class _Pending:
    """A call whose pieces still come."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def add(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function") or {}
        self.id = self.id or piece.get("id") or ""
        self.name += function.get("name") or ""
        self.arguments += function.get("arguments") or ""


class Speech:
    """Reads the deltas of one answer."""

    def __init__(self, *, calls: bool) -> None:
        """`calls`: whether the caller wants calls; else they are left out like any other markup."""
        self._calls = calls
        self._content = Splitter(MARKS)
        self._field = Splitter(_IN_REASONING, "reasoning")  # the engine's own field for it
        self._trimmed = {"content": Trimmed(), "reasoning": Trimmed()}
        self._index = 0
        self._pending: _Pending | None = None
        self._called = False  # text after this is no part of the answer
        self._broken = False  # nothing after this is

    def feed(self, delta: Mapping[str, Any]) -> Iterator[Said]:
        """What a delta of the engine adds."""
        for part in self._field.feed(clean(delta.get("reasoning") or delta.get("reasoning_content") or "")):
            yield from self._part(*part)
        if content := clean(delta.get("content") or ""):
            yield from self._end_of_reasoning(cut=False)
            for part in self._content.feed(content):
                yield from self._part(*part)
        for piece in delta.get("tool_calls") or ():
            yield from self._end_of_reasoning(cut=False)
            yield from self._end_of_text(cut=False)
            index = piece.get("index", self._index)
            if index != self._index:
                yield from self._whole()
                self._index = index
            self._pending = self._pending or _Pending()
            self._pending.add(piece)

    def end(self) -> Iterator[Said]:
        """What was held back when the answer ended."""
        yield from self._end_of_reasoning(cut=True)
        yield from self._end_of_text(cut=True)
        yield from self._whole()

    def _end_of_reasoning(self, *, cut: bool) -> Iterator[Said]:
        for part in self._field.end(cut=cut):
            yield from self._part(*part)

    def _end_of_text(self, *, cut: bool) -> Iterator[Said]:
        for part in self._content.end(cut=cut):
            yield from self._part(*part)
        self._called = self._calls

    def _part(self, kind: Kind, text: str) -> Iterator[Said]:
        if kind == "call" and self._calls:
            self._called = True
            yield from self._call(written_call(text))
        elif kind == "reasoning" or (kind == "content" and not self._called):
            yield from self._text("reasoning" if kind == "reasoning" else "content", text)

    def _text(self, kind: Literal["content", "reasoning"], text: str) -> Iterator[Said]:
        if not self._broken and (ready := self._trimmed[kind].feed(text)):
            yield kind, ready

    def _whole(self) -> Iterator[Said]:
        pending, self._pending = self._pending, None
        if self._calls and pending is not None:
            yield from self._call(_parsed_call(pending))

    def _call(self, call: Call | None) -> Iterator[Said]:
        self._broken = self._broken or call is None
        if call is not None and not self._broken:
            yield "call", call


def written_call(text: str) -> Call | None:
    """The call in the text of one `<tool_call>` block; None if it is not whole."""
    found = _object(text) or _object(f"{text}}}") or {}
    name, arguments = found.get("name"), found.get("arguments")
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    return Call(_new_id(), clean(name), clean(json.dumps(arguments, ensure_ascii=False)))


def _parsed_call(pending: _Pending) -> Call | None:
    """A call that an engine parsed. vLLM's streaming parser takes all after `"arguments":` for them, other keys too."""
    if pending.name and _object(pending.arguments) is not None:
        return Call(pending.id or _new_id(), pending.name, pending.arguments)
    found = _object(f'{{"arguments": {pending.arguments}}}')
    if found is None:
        return None
    call = written_call(json.dumps({"name": pending.name, **found}))
    return Call(pending.id or call.id, call.name, call.arguments) if call else None


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"
