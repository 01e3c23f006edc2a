"""The reference reading of a raw completion: which text, which reasoning and which calls a model wrote in Qwen3's ChatML.

It reads a whole text at once and knows nothing of the gateway, whose reading it is held against. Thinking ends at `</think>`
or at a call; a call is a `<tool_call>` block whose JSON object has a name and an object of arguments (its last brace and
mark may be cut off), wherever its mark stands. After the first call text is no part of an answer, after a block that is no
whole call nothing is, and blocks of `<tool_response>`, which end at a call too, never are.
Not covered: texts in other formats than ChatML with JSON calls.
"""

import json
import re
from typing import Any

from data.chat import CALL_CLOSE, CALL_OPEN, END_OF_TURN, THINK_CLOSE, THINK_OPEN
from data.schema import Function, Strict

TURN_OPEN, RESPONSE = "<|im_start|>", "<tool_response>"
MARKS = (THINK_OPEN, THINK_CLOSE, CALL_OPEN, CALL_CLOSE, RESPONSE, "</tool_response>", TURN_OPEN, END_OF_TURN)
_BLOCK = re.compile(
    r"<tool_(call)>(.*?)(?:</tool_call>|\Z)|<tool_response>.*?(?:</tool_response>|(?=<tool_call>)|\Z)", re.DOTALL
)
_TURNS_THINKING = (THINK_OPEN, THINK_CLOSE)
_STRAY = re.compile("|".join(map(re.escape, MARKS)))


class Transcript(Strict):
    """What a raw completion says. `broken`: it ends in a block that is no whole call."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[Function, ...] = ()
    broken: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is neither text nor a call."""
        return not self.content and not self.calls


def transcript(raw: str, *, thinking: bool, calls: bool = True) -> Transcript:
    """Reads `raw`. `thinking`: it begins inside the thinking, as engines read what follows a prompt with thinking on.

    `calls`: whether calls were wanted; else blocks of calls are left out, and the text around them stays.
    """
    found: list[Function] = []
    content, reasoning, inside, at = "", "", thinking, 0
    while at < len(raw) and not _cut(raw[at:]):
        block, mark = _BLOCK.match(raw, at), _STRAY.match(raw, at)
        if block is not None and block.group(1) == "call":
            at, inside = block.end(), False
            function = _call(block.group(2)) if calls else None
            found += [function] if function else []
            if calls and function is None:
                return _transcript(content, reasoning, found, broken=True)
        elif block is not None:
            at = block.end()
        elif mark is not None:
            at = mark.end()
            inside = mark.group() == THINK_OPEN if mark.group() in _TURNS_THINKING else inside
        else:
            reasoning += raw[at] if inside else ""
            content += raw[at] if not inside and not found else ""
            at += 1
    return _transcript(content, reasoning, found, broken=False)


def written(arguments: str) -> dict[str, Any] | None:
    """A call's arguments as an object; None if the text is none."""
    try:
        value = json.loads(arguments, parse_constant=_no_number)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _transcript(content: str, reasoning: str, calls: list[Function], *, broken: bool) -> Transcript:
    return Transcript(content=content.strip(), reasoning=reasoning.strip(), calls=tuple(calls), broken=broken)


def _call(text: str) -> Function | None:
    text = next((text[:-n] for n in range(len(CALL_CLOSE) - 1, 1, -1) if text.endswith(CALL_CLOSE[:n])), text)
    for closing in ("", "}"):
        try:
            value = json.loads(text + closing, parse_constant=_no_number)
            return Function(name=value["name"], arguments=value["arguments"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _cut(rest: str) -> bool:
    """Whether `rest` is the beginning of a mark that was cut off; a lone `<` is text."""
    return len(rest) > 1 and any(mark.startswith(rest) for mark in MARKS)
