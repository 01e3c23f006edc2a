"""Personal data of a whole example replaced by surrogates: the one function that a build calls on each row.

A value found anywhere in a dialog is replaced everywhere in it: what the customer says, the call's arguments, the tool's result
(as JSON, which stays JSON) and the thinking. Not touched: ids of rows and calls, tool schemas, keys of objects, a mention of
only a number's last digits.
"""

import hashlib
import hmac
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from data.pii.spans import PEOPLE, Kind, Span, merged
from data.pii.surrogates import Surrogates, canonical
from data.pii.text import find
from data.pii.words import word_set
from data.schema import Dialog, Function, Message, ToolCall, Utterance

Example = Utterance | Dialog
E = TypeVar("E", bound=Example)
Found = dict[tuple[str, str], list[Span]]  # by key and text
Change = Callable[[str, str], str]  # the key it stands under ("" if none) and a text, to another text

# Keys of arguments and results that say what their value is.
_KEYS: dict[Kind, re.Pattern[str]] = {
    "order": re.compile(r"order_?(?:id|no|number|ids|numbers)?s?|return_id|rma|订单(?:号|编号)?|单号", re.IGNORECASE),
    "tracking": re.compile(r"tracking(?:_?(?:no|id|number|code))?|waybill(?:_no)?|(?:快递|运|物流)单号", re.IGNORECASE),
    "phone": re.compile(r"(?:tele)?phone(?:_?(?:no|number))?|mobile|tel|(?:联系)?电话|手机号?", re.IGNORECASE),
    "name": re.compile(
        r"recipient(?:_name)?|consignee|receiver|customer_name|contact_name|signed_by|收[件货]人|姓名|联系人|签收人",
        re.IGNORECASE,
    ),
    "address": re.compile(r"(?:\w+_)?addr(?:ess)?|(?:收货|新)?地址", re.IGNORECASE),
}
# what may be a number found elsewhere: "KX-220918", and "KX 220918" for it
_TOKEN = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z/_-]*[0-9])[A-Za-z0-9]+(?:[-/_][A-Za-z0-9]+)*")
_PAIR = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{1,4} [0-9]{3,}(?![A-Za-z0-9])")
_NAME = re.compile(r"[\u4e00-\u9fff·]{2,12}|[^\W\d_]+(?:[ .'’-]{1,2}[^\W\d_]+){0,4}\.?")
_STYLES = [(ascii_only, separators) for ascii_only in (False, True) for separators in (None, (",", ":"))]


def redact(example: E, *, people: bool, key: str = "") -> tuple[E, dict[str, int]]:
    """The example with surrogates in place of personal data, and how many spans of each kind were replaced.

    `people` also looks for names and addresses. The surrogates depend on the example and on `key` alone; without a secret key
    somebody who guesses the original can confirm his guess.

    Raises:
        EnvironmentLacks: `people`, and the recognizers are not installed.
    """
    found = {place: _found(*place, people) for place in _texts(example)}
    known = _values(found)
    if not known:
        return example, {}
    content = "\x1f".join(text for _, text in found)
    seed = hmac.new(key.encode(), content.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    replacement = _Replacement(found, known, Surrogates(seed, known, example.language))
    return cast(E, _changed(example, replacement)), dict(replacement.counts)


class _Replacement:
    """Replaces, text by text, what is found there and what was found elsewhere in the dialog."""

    def __init__(self, found: Found, known: dict[str, Kind], surrogates: Surrogates) -> None:
        self.counts: Counter[str] = Counter()
        self._found = found
        self._surrogates = surrogates
        self._codes = {canonical(value): kind for value, kind in known.items() if kind not in PEOPLE}
        texts = {**_parts(known), **known}
        self._elsewhere = {
            value: kind for value, kind in texts.items() if len(value) > 1 and not _TOKEN.fullmatch(value)
        }

    def __call__(self, key: str, text: str) -> str:
        made, end = [], 0
        for span in self._spans(key, text):
            made += [text[end : span.start], self._surrogates.of(span.kind, text[span.start : span.end])]
            self.counts[span.kind] += 1
            end = span.end
        return "".join([*made, text[end:]])

    def knows(self, number: str) -> bool:
        """Whether a number was found somewhere in the dialog."""
        return number in self._codes

    def _spans(self, key: str, text: str) -> list[Span]:
        spans = [*self._found.get((key, text), ())]  # a whole number that no key names was not looked at
        for value, kind in self._elsewhere.items():
            spans += [Span(start, start + len(value), kind) for start in _places(value, text)]
        for match in itertools.chain(_TOKEN.finditer(text), _PAIR.finditer(text)) if self._codes else ():
            if known := self._codes.get(canonical(match[0])):
                spans.append(Span(*match.span(), known))
        # a value is one kind in all of a dialog
        return merged(Span(s.start, s.end, self._codes.get(canonical(text[s.start : s.end]), s.kind)) for s in spans)


def _values(found: Found) -> dict[str, Kind]:
    """Every value found in any of the texts; one that is found as two kinds is what a telling key says, or what it is first."""
    known: dict[str, Kind] = {}
    codes: dict[str, Kind] = {}
    for (_, text), spans in sorted(found.items(), key=lambda item: item[0][0] == ""):
        for span in spans:
            value = text[span.start : span.end]
            known[value] = codes.setdefault(canonical(value), span.kind)
    return known


def _found(key: str, text: str, people: bool) -> list[Span]:
    """What a text holds; a value under a telling key is what the key says, under another key the key is its context."""
    for kind, pattern in _KEYS.items() if key else ():
        if pattern.fullmatch(key) and (people or kind not in PEOPLE) and _may_be(kind, text.strip()):
            start = len(text) - len(text.lstrip())
            return [Span(start, len(text.rstrip()), kind)]
    if not key:
        return find(text, people)
    context = f"{key.replace('_', ' ')} "
    spans = find(context + text, people)
    return [Span(max(0, s.start - len(context)), s.end - len(context), s.kind) for s in spans if s.end > len(context)]


def _may_be(kind: Kind, value: str) -> bool:
    """Whether a value under a key that promises this kind can be of it."""
    digits = sum(map(str.isdigit, value))
    if kind == "name":
        return bool(_NAME.fullmatch(value))
    if kind == "address":
        return len(value) < 200 and (digits > 0 or len(value) > 8)
    return digits >= 2 and len(value) <= 40 and " " not in value if kind in ("order", "tracking") else digits >= 5


def _places(value: str, text: str) -> Iterator[int]:
    """Where a value stands in a text, as a whole word if it is Latin."""
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        inside = ((text[start - 1 : start] + value[0]).isalnum() and start > 0) or (
            (value[-1] + text[end : end + 1]).isalnum() and end < len(text)
        )
        if not (value.isascii() and inside):
            yield start
        start = text.find(value, end)


def _parts(known: dict[str, Kind]) -> dict[str, Kind]:
    """Given name and surname of each Latin name alone, as they stand when the whole name was said before."""
    names = [value for value, kind in known.items() if kind == "name" and value[:1].isascii() and " " in value]
    return {
        word: "name"
        for name in names
        for word in name.split()
        if len(word) > 2 and word[0].isupper() and word not in word_set("ambiguous")
    }


def _texts(example: Example) -> Iterator[tuple[str, str]]:
    """Every text of an example with the key it stands under."""
    seen: list[tuple[str, str]] = []

    def note(key: str, text: str) -> str:
        seen.append((key, text))
        return text

    _changed(example, note)
    yield from seen


def _changed(example: Example, change: Change) -> Example:
    if isinstance(example, Utterance):
        return example.model_copy(update={"text": change("", example.text)})
    return example.model_copy(
        update={"messages": tuple(_changed_message(message, change) for message in example.messages)}
    )


def _changed_message(message: Message, change: Change) -> Message:
    content = _changed_content(message.content, change)
    thinking = change("", message.reasoning_content) if message.reasoning_content else message.reasoning_content
    calls = tuple(_changed_call(call, change) for call in message.tool_calls)
    if (content, thinking, calls) == (message.content, message.reasoning_content, message.tool_calls):
        return message
    return message.model_copy(update={"content": content, "reasoning_content": thinking, "tool_calls": calls})


def _changed_call(call: ToolCall, change: Change) -> ToolCall:
    arguments = _changed_value("", call.function.arguments, change)
    return call.model_copy(update={"function": Function(name=call.function.name, arguments=arguments)})


def _changed_content(content: str, change: Change) -> str:
    """A text, or JSON whose values are changed and whose way of writing stays."""
    if content.lstrip()[:1] not in ("{", "["):
        return change("", content)
    try:
        value = json.loads(content)
        style = next((style for style in _STYLES if _dumped(value, style) == content), _STYLES[0])
    except (ValueError, RecursionError):  # no JSON, or not such as can be written again (1e400)
        return change("", content)
    changed = _changed_value("", value, change)
    return content if changed == value else _dumped(changed, style)


def _dumped(value: Any, style: tuple[bool, tuple[str, str] | None]) -> str:
    return json.dumps(value, ensure_ascii=style[0], separators=style[1], allow_nan=False)


def _changed_value(key: str, value: Any, change: Change) -> Any:
    """A JSON value with its texts changed, and its whole numbers where a key or another text says that they name something."""
    if isinstance(value, str):
        return change(key, value)
    if isinstance(value, dict):
        return {name: _changed_value(name, item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_changed_value(key, item, change) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        named = any(pattern.fullmatch(key) for kind, pattern in _KEYS.items() if kind not in PEOPLE)
        if named or (isinstance(change, _Replacement) and change.knows(str(value))):
            return int(change(key, str(value)))
    return value
