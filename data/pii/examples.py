"""Personal data of a whole example replaced by surrogates: the one function that a build calls on each row.

A value found anywhere in a dialog is replaced everywhere in it: what the customer says, the call's arguments, the tool's result
(as JSON, which stays JSON) and the thinking. Not touched: ids of rows and calls, tool schemas, keys of objects, a mention of
only a number's last digits.
"""

import hashlib
import hmac
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
_TOKEN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]+(?:[-/_ ]?[A-Za-z0-9]+)*(?![A-Za-z0-9])")
_STYLES = [(ascii_only, separators) for ascii_only in (False, True) for separators in (None, (",", ":"))]


def redact(example: E, *, people: bool, key: str = "") -> tuple[E, dict[str, int]]:
    """The example with surrogates in place of personal data, and how many spans of each kind were replaced.

    `people` also looks for names and addresses. The surrogates depend on the example and on `key` alone; without a secret key
    somebody who guesses the original can confirm his guess.

    Raises:
        EnvironmentLacks: `people`, and the recognizers are not installed.
    """
    texts = list(_texts(example))
    known = _values(texts, people)
    if not known:
        return example, {}
    content = "\x1f".join(text for _, text in texts)
    seed = hmac.new(key.encode(), content.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    surrogates = Surrogates(seed, known, example.language)
    replacement = _Replacement(known, surrogates, people)
    return cast(E, _changed(example, replacement)), dict(replacement.counts)


class _Replacement:
    """Replaces, text by text, what is found there and what was found elsewhere in the dialog."""

    def __init__(self, known: dict[str, Kind], surrogates: Surrogates, people: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._surrogates = surrogates
        self._people = people
        self._codes = {canonical(value): kind for value, kind in known.items() if kind not in PEOPLE}
        self._pattern = _anywhere({**known, **_parts(known)})
        self._kinds = {**_parts(known), **known}

    def __call__(self, key: str, text: str) -> str:
        made, end = [], 0
        for span in self._spans(key, text):
            made += [text[end : span.start], self._surrogates.of(span.kind, text[span.start : span.end])]
            self.counts[span.kind] += 1
            end = span.end
        return "".join([*made, text[end:]])

    def _spans(self, key: str, text: str) -> list[Span]:
        own = _found(key, text, self._people)
        spans = [*own, *(Span(*match.span(), self._kinds[match[0]]) for match in self._pattern.finditer(text))]
        for match in _TOKEN.finditer(text) if self._codes else ():
            if kind := self._codes.get(canonical(match[0])):
                spans.append(Span(*match.span(), kind))
        return merged(spans)


def _values(texts: list[tuple[str, str]], people: bool) -> dict[str, Kind]:
    """Every value found in any of the texts; one that is found as two kinds is what it is first."""
    known: dict[str, Kind] = {}
    codes: dict[str, Kind] = {}
    for key, text in texts:
        for span in _found(key, text, people):
            value = text[span.start : span.end]
            known[value] = codes.setdefault(canonical(value), span.kind)
    return known


def _found(key: str, text: str, people: bool) -> list[Span]:
    """What a text holds; a value under a telling key is what the key says, under another key the key is its context."""
    for kind, pattern in _KEYS.items() if key else ():
        if pattern.fullmatch(key) and (people or kind not in PEOPLE) and _may_be(kind, text):
            start = len(text) - len(text.lstrip())
            return [Span(start, len(text.rstrip()), kind)]
    if not key:
        return find(text, people)
    context = f"{key.replace('_', ' ')} "
    spans = find(context + text, people)
    return [Span(s.start - len(context), s.end - len(context), s.kind) for s in spans if s.start >= len(context)]


def _may_be(kind: Kind, text: str) -> bool:
    digits = sum(map(str.isdigit, text))
    if kind in PEOPLE:
        return 1 < len(text.strip()) < 200
    return (
        digits >= 2 and len(text.strip()) <= 40 and " " not in text.strip()
        if kind in ("order", "tracking")
        else digits >= 5
    )


def _anywhere(known: dict[str, Kind]) -> re.Pattern[str]:
    """Finds any of the values, the longest first, as whole words where they are Latin; not a Chinese surname alone."""
    values = sorted((value for value in known if len(value) > 1), key=len, reverse=True)
    bounded = (f"(?<![A-Za-z0-9]){re.escape(v)}(?![A-Za-z0-9])" if v[:1].isascii() else re.escape(v) for v in values)
    return re.compile("|".join(bounded) or "(?!)")


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
    thinking = message.reasoning_content
    return message.model_copy(
        update={
            "content": _changed_content(message.content, change),
            "reasoning_content": None if thinking is None else change("", thinking),
            "tool_calls": tuple(_changed_call(call, change) for call in message.tool_calls),
        }
    )


def _changed_call(call: ToolCall, change: Change) -> ToolCall:
    arguments = _changed_value("", call.function.arguments, change)
    return call.model_copy(update={"function": Function(name=call.function.name, arguments=arguments)})


def _changed_content(content: str, change: Change) -> str:
    """A text, or JSON whose values are changed and whose way of writing stays."""
    if content[:1] not in ("{", "["):
        return change("", content)
    try:
        value = json.loads(content)
        changed = _changed_value("", value, change)
        if changed == value:
            return content
        style = next((s for s in _STYLES if _dumped(value, s) == content), _STYLES[0])
        return _dumped(changed, style)
    except (ValueError, RecursionError):
        return change("", content)


def _dumped(value: Any, style: tuple[bool, tuple[str, str] | None]) -> str:
    return json.dumps(value, ensure_ascii=style[0], separators=style[1], allow_nan=False)


def _changed_value(key: str, value: Any, change: Change) -> Any:
    """A JSON value with its texts changed, and its whole numbers where the key says that they name something."""
    if isinstance(value, str):
        return change(key, value)
    if isinstance(value, dict):
        return {name: _changed_value(name, item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_changed_value(key, item, change) for item in value]
    names = any(pattern.fullmatch(key) for kind, pattern in _KEYS.items() if kind not in PEOPLE)
    if names and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return int(change(key, str(value)))
    return value
