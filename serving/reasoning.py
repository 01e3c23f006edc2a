"""Keeps thinking apart from the answer, whichever way an engine delivers it.

Engines with a reasoning parser send it in a field of its own; others leave `<think>` in the text, whole or cut
anywhere in a stream. Not covered: deciding whether to think.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from data.chat import CALL_CLOSE, CALL_OPEN, END_OF_TURN, THINK_CLOSE, THINK_OPEN

Part = tuple[Literal["content", "reasoning"], str]
_MARKUP = re.compile(
    rf"{re.escape(CALL_OPEN)}.*?(?:{re.escape(CALL_CLOSE)}|\Z)|<tool_response>.*?(?:</tool_response>|\Z)", re.DOTALL
)
_STRAY = re.compile(
    rf"</?tool_call>|</?tool_response>|{THINK_OPEN}|{THINK_CLOSE}|{re.escape(END_OF_TURN)}|<\|im_start\|>\w*"
)


class ThinkSplitter:
    """Splits a stream of text into content and reasoning; every way of cutting the stream gives the same result."""

    def __init__(self) -> None:
        self._thinking, self._held = False, ""

    def feed(self, text: str) -> Iterator[Part]:
        """Takes a piece and gives what is certain by now; what may be the start of a mark is held back."""
        self._held += text
        while True:
            found = re.search(f"{THINK_OPEN}|{THINK_CLOSE}", self._held)
            if found is None:
                break
            yield from self._give(self._held[: found.start()])
            self._held = self._held[found.end() :]
            self._thinking = found.group() == THINK_OPEN
        certain = len(self._held) - _mark_begun(self._held)
        ready, self._held = self._held[:certain], self._held[certain:]
        yield from self._give(ready)

    def end(self) -> Iterator[Part]:
        """What was held back when the stream ended."""
        rest, self._held = self._held, ""
        yield from self._give(rest)

    def _give(self, text: str) -> Iterator[Part]:
        if text:
            yield ("reasoning" if self._thinking else "content"), text


def split(text: str) -> tuple[str, str]:
    """A whole text as (content, reasoning), both stripped."""
    splitter = ThinkSplitter()
    parts = [*splitter.feed(text), *splitter.end()]
    content = "".join(piece for kind, piece in parts if kind == "content")
    reasoning = "".join(piece for kind, piece in parts if kind == "reasoning")
    return content.strip(), reasoning.strip()


def separate(message: Mapping[str, Any]) -> tuple[str, str]:
    """The content and the reasoning of an engine's message, from its fields and from marks in its text."""
    content, inline = split(clean(message.get("content") or ""))
    field = clean(message.get("reasoning") or message.get("reasoning_content") or "").strip()
    return content, "\n\n".join(part for part in (field, inline) if part)


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


def _mark_begun(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of a mark."""
    marks = (THINK_OPEN, THINK_CLOSE)
    longest = max(map(len, marks)) - 1
    return next((n for n in range(min(longest, len(text)), 0, -1) if any(m.startswith(text[-n:]) for m in marks)), 0)
