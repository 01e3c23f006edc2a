"""A model's raw text as engines put it on the wire: with vLLM 0.32's parsers for Qwen3, or with none.

`parsed` follows vLLM's `hermes` tool parser and `qwen3` reasoning parser, their faults included: a streamed call is taken
apart by search, a whole one that is broken comes back as text. As there, each mark is a token, and a piece, of its own.
`plain` is an engine without parsers.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

OPEN, CLOSE = "<tool_call>", "</tool_call>"
Delta = dict[str, Any]


def parsed_stream(raw: str, cuts: Sequence[int], *, thinking: bool, calls: bool) -> Iterator[Delta]:
    """The deltas of a stream, cut at `cuts`."""
    reasoning, content = _reasoning(raw) if thinking else ("", raw)
    yield from ({"reasoning": piece} for piece in pieces(reasoning, cuts))
    if not calls:
        yield from ({"content": piece} for piece in pieces(content, cuts))
        return
    parser, text = _Hermes(), ""
    marks = [edge for mark in re.finditer(f"{OPEN}|{CLOSE}", content) for edge in mark.span()]
    for piece in pieces(content, [*cuts, *marks]):
        text += piece
        if delta := parser.feed(text):
            yield delta


def parsed_message(raw: str, *, thinking: bool, calls: bool) -> Delta:
    """The message of a whole answer."""
    reasoning, content = _reasoning(raw) if thinking else (None, raw)
    message: Delta = {"reasoning": reasoning, "content": content}
    if not calls or OPEN not in content:
        return message
    blocks = re.findall(f"{OPEN}(.*?){CLOSE}|{OPEN}(.*)", content, re.DOTALL)
    try:
        objects = [json.loads(closed or rest) for closed, rest in blocks]
        found = [_call(number, one["name"], json.dumps(one["arguments"])) for number, one in enumerate(objects)]
    except (ValueError, KeyError, TypeError):
        return message
    if not all(isinstance(one["name"], str) for one in objects):
        return message  # pydantic refuses the name
    return {**message, "content": content[: content.find(OPEN)] or None, "tool_calls": found}


def plain_stream(raw: str, cuts: Sequence[int]) -> Iterator[Delta]:
    """The deltas of an engine without parsers."""
    yield from ({"content": piece} for piece in pieces(raw, cuts))


def pieces(text: str, cuts: Sequence[int]) -> Iterator[str]:
    """`text` cut at each of `cuts` that lies inside; no piece is empty."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    yield from (text[start:end] for start, end in pairwise(edges) if end > start)


def _reasoning(raw: str) -> tuple[str, str]:
    """Thinking ends at its mark or at a call; a second opening is swallowed."""
    found = re.search(f"</think>|(?={OPEN})", raw)
    reasoning, content = (raw[: found.start()], raw[found.end() :]) if found else (raw, "")
    return reasoning.replace("<think>", ""), content


def _call(number: int, name: Any, arguments: str) -> Delta:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


class _Hermes:
    """vLLM's `Hermes2ProToolParser.extract_tool_calls_streaming`: each time the whole text so far is searched anew."""

    def __init__(self) -> None:
        self._sent = 0
        self._named: list[bool] = []
        self._arguments: list[str] = []

    def feed(self, text: str) -> Delta | None:
        end = text.index(OPEN) if OPEN in text else len(text) - _overlap(text, OPEN)
        content = text[self._sent : end] if end > self._sent else None
        self._sent = max(self._sent, end)
        deltas: list[Delta] = []
        for index, (body, complete) in enumerate(_bodies(text)):
            if index >= len(self._named):
                self._named.append(False)
                self._arguments.append("")
            if not self._named[index]:
                name = re.search(r'"name"\s*:\s*"([^"]+)"', body)
                if name is None:
                    break
                self._named[index] = True
                deltas.append({"index": index, **_call(index, name.group(1), "")})
            arguments = _arguments(body, complete)
            if arguments is not None and len(arguments) > len(self._arguments[index]):
                more = arguments[len(self._arguments[index]) :]
                self._arguments[index] = arguments
                deltas.append({"index": index, "function": {"arguments": more}})
        return {"content": content, "tool_calls": deltas} if content or deltas else None


def _bodies(text: str) -> Iterator[tuple[str, bool]]:
    at = 0
    while (start := text.find(OPEN, at)) != -1:
        start += len(OPEN)
        end = text.find(CLOSE, start)
        if end == -1:
            rest = text[start : len(text) - _overlap(text[start:], CLOSE)].strip()
            yield rest, _is_json(rest)
            return
        yield text[start:end].strip(), True
        at = end + len(CLOSE)


def _arguments(body: str, complete: bool) -> str | None:
    found = re.search(r'"arguments"\s*:\s*', body)
    if found is None:
        return None
    rest = body[found.end() :]
    if complete and rest.rstrip().endswith("}"):
        return rest.rstrip()[:-1].rstrip()
    return rest


def _overlap(text: str, mark: str) -> int:
    return next((n for n in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:n])), 0)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
