"""Keeps thinking apart from the answer, whichever way an engine delivers it.

Engines with a reasoning parser send it in a field of its own; others leave `<think>` in the text, whole or cut
anywhere in a stream. Not covered: deciding whether to think.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal

from data.chat import CALL_CLOSE, CALL_OPEN, END_OF_TURN, THINK_CLOSE, THINK_OPEN

Kind = Literal["content", "reasoning", "call", "response"]
Part = tuple[Kind, str]
RESPONSE_OPEN, RESPONSE_CLOSE = "<tool_response>", "</tool_response>"
# What ends a block; it is given whole. A call begins wherever its mark stands, as engines' parsers find it.
_BLOCKS: Mapping[str, tuple[str, ...]] = {"call": (CALL_CLOSE,), "response": (RESPONSE_CLOSE, CALL_OPEN)}
_THINKING: Mapping[str, Kind | None] = {THINK_OPEN: "reasoning", THINK_CLOSE: "content"}
MARKS: Mapping[str, Kind | None] = {
    **_THINKING,
    CALL_OPEN: "call",
    CALL_CLOSE: None,
    RESPONSE_OPEN: "response",
    RESPONSE_CLOSE: None,
    END_OF_TURN: None,
    "<|im_start|>": None,
}
_LONGEST = max(map(len, MARKS))
_MARKUP = re.compile(
    rf"{re.escape(CALL_OPEN)}.*?(?:{re.escape(CALL_CLOSE)}|\Z)|<tool_response>.*?(?:</tool_response>|\Z)", re.DOTALL
)
_STRAY = re.compile(
    rf"</?tool_call>|</?tool_response>|{THINK_OPEN}|{THINK_CLOSE}|{re.escape(END_OF_TURN)}|<\|im_start\|>\w*"
)


class Splitter:
    """Splits a stream of text at the template's marks; every way of cutting the stream gives the same result."""

    def __init__(self, marks: Mapping[str, Kind | None], start: Kind = "content") -> None:
        """`marks`: what the text after each mark is; after None it is what it was before, or before a block."""
        self._marks, self._kind, self._outside, self._held = marks, start, start, ""
        self._all = tuple(marks)
        self._ends: dict[Kind, str] = {}  # of what was given: it may be the start of a mark that the next piece ends
        self._joints: set[Kind] = set()  # where a mark was taken out after it

    def feed(self, text: str) -> Iterator[Part]:
        """Takes a piece and gives what is certain by now. The start of a mark is held back, and a block until its end."""
        self._held += text
        while found := _pattern(self._awaited()).search(self._held):
            yield from self._give(self._held[: found.start()])
            self._held = self._held[found.end() :]
            self._joints.update(self._ends)
            self._kind = self._marks[found.group()] or self._outside
            if self._kind != "response":  # which leaves what it stands in as it was; a call ends thinking
                self._outside = "content" if self._kind == "call" else self._kind
        if self._kind in _BLOCKS:
            return
        certain = len(self._held) - _mark_begun(self._held, self._awaited())
        ready, self._held = self._held[:certain], self._held[certain:]
        yield from self._give(ready)

    def end(self, *, cut: bool = True) -> Iterator[Part]:
        """What was held back when the text ended. `cut`: a mark that begins at its end was cut there, and is left out, but
        for a lone `<`; else something that is no text follows, and there is no mark."""
        rest, self._held = self._held, ""
        begun = _mark_begun(rest, self._awaited()) if cut else 0
        yield from self._give(rest[: len(rest) - begun] if begun > 1 else rest)
        self._joints.update(self._ends)

    def _awaited(self) -> tuple[str, ...]:
        return _BLOCKS.get(self._kind, self._all)

    def _give(self, text: str) -> Iterator[Part]:
        if not text:
            return
        if self._kind in _BLOCKS:
            yield self._kind, text
            return
        before = self._ends.get(self._kind, "")
        # two ends that meet because a mark between them was taken out must not make a new mark
        text = f" {text}" if self._kind in self._joints and _mark_begun(before, self._all) else text
        self._joints.discard(self._kind)
        self._ends[self._kind] = (before + text)[-_LONGEST:]
        yield self._kind, text


def split(text: str) -> tuple[str, str]:
    """A whole text as (content, reasoning), both stripped."""
    splitter = Splitter(_THINKING)
    parts = [*splitter.feed(text), *splitter.end()]
    content = "".join(piece for kind, piece in parts if kind == "content")
    reasoning = "".join(piece for kind, piece in parts if kind == "reasoning")
    return content.strip(), reasoning.strip()


def joined(content: str, reasoning: str) -> str:
    """Content with its reasoning before it in `<think>`, as callers that ask for it get it."""
    return f"{THINK_OPEN}\n{reasoning}\n{THINK_CLOSE}\n\n{content}" if reasoning else content


def without_markup(text: str) -> str:
    """Text without the template's own marks: what a customer must never see, whatever the model wrote."""
    while (less := _STRAY.sub("", _MARKUP.sub("", text))) != text:  # what is left may join to a new mark
        text = less
    return text.strip()


def clean(text: str) -> str:
    """Text that every database and every client takes: no NUL, no half of a character."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _mark_begun(text: str, marks: tuple[str, ...]) -> int:
    """How many characters at the end of `text` may be the beginning of a mark."""
    beginnings, longest = _beginnings(marks)
    return next((n for n in range(min(longest, len(text)), 0, -1) if text[-n:] in beginnings), 0)


@cache
def _beginnings(marks: tuple[str, ...]) -> tuple[frozenset[str], int]:
    """All that a mark may begin with, short of the whole of it, and the length of the longest."""
    found = frozenset(mark[:n] for mark in marks for n in range(1, len(mark)))
    return found, max(map(len, found))


@cache
def _pattern(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, marks)))
