"""What is wrong with some training data, all of it, each finding with its place: the report behind `kefu data check`.

Not covered: lengths in tokens of a base (training leaves rows out that are too long and counts them), answers that were cut.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import jsonschema

from data.firewall import case_firewall, conversation_firewall, normalized, user_text
from data.intake import meant
from data.rows import Found
from data.schema import Dialog, Language, Utterance
from data.shop import Shop
from data.sources import Example

SENTENCE = 3  # words
Kind = Literal["malformed", "unknown label", "contradiction", "leak", "tool call", "language", "encoding"]


class Finding(NamedTuple):
    """One problem at one place."""

    kind: Kind
    place: str
    what: str


class Checked(NamedTuple):
    """Everything that was found, and the good rows by their places."""

    findings: list[Finding]
    utterances: dict[str, Utterance]
    dialogs: dict[str, Dialog]
    duplicates: int  # utterances that say the same as an earlier one, with the same label; they are dropped silently

    @property
    def rows(self) -> int:
        """All rows that were read, malformed ones included."""
        return len(self.utterances) + len(self.dialogs) + self.counts["malformed"]

    @property
    def counts(self) -> Counter[Kind]:
        """The findings by their kind."""
        return Counter(finding.kind for finding in self.findings)


def check(found: Iterable[Found[Example]], shop: Shop) -> Checked:
    """Reads all rows and looks at each of them, then at all together."""
    utterances: dict[str, Utterance] = {}
    dialogs: dict[str, Dialog] = {}
    findings: list[Finding] = []
    for place, row, problem in found:
        if row is None:
            findings.append(Finding("malformed", place, problem))
        elif isinstance(row, Utterance):
            utterances[place] = row
        else:
            dialogs[place] = row
    rows: dict[str, Example] = {**utterances, **dialogs}
    for look in (_labels, _text):
        findings += [finding for place, row in rows.items() for finding in look(place, row, shop)]
    findings += [finding for place, dialog in dialogs.items() for finding in _tool_calls(place, dialog, shop)]
    contradictions, duplicates = _same_texts(utterances)
    findings += [*contradictions, *_leaks(utterances, dialogs, shop)]
    return Checked(findings, utterances, dialogs, duplicates)


def _labels(place: str, row: Example, shop: Shop) -> Iterator[Finding]:
    if row.intent is not None and row.intent not in shop.taxonomy.names:
        yield Finding(
            "unknown label", place, f"{row.intent!r} is not in intents.yaml{meant(row.intent, shop.taxonomy)}"
        )


def _text(place: str, row: Example, _shop: Shop) -> Iterator[Finding]:
    """Damage that a wrong decoding leaves, and a language that is plainly not the declared one."""
    from ftfy.badness import is_bad

    texts = [row.text] if isinstance(row, Utterance) else [message.content for message in row.messages]
    for text in texts:
        if "\N{REPLACEMENT CHARACTER}" in text or "\0" in text or is_bad(text):
            yield Finding("encoding", place, f"characters broken by a wrong decoding: {_short(text)}")
    said = texts if isinstance(row, Utterance) else [m.content for m in row.messages if m.role in ("user", "assistant")]
    if _another_language(" ".join(said), row.language):
        yield Finding("language", place, f"declared {row.language}: {_short(' '.join(said))}")


def _another_language(text: str, declared: Language) -> bool:
    """Chinese without a single Han character but with a sentence's worth of words, or English without a word: less would
    accuse the code-mixed, in which customers write."""
    han, words = re.search("[\u4e00-\u9fff]", text), re.findall("[A-Za-z]{2,}", text)
    return (not han and len(words) >= SENTENCE) if declared == "zh" else bool(han and not words)


def _tool_calls(place: str, dialog: Dialog, shop: Shop) -> Iterator[Finding]:
    """Calls of tools that are not on offer, and arguments that break their schema."""
    offered = {}
    for tool in dialog.tools:
        if isinstance(tool, str) and tool not in shop.tools:
            yield Finding("tool call", place, f"tool {tool!r} is not in tools.json, which has {', '.join(shop.tools)}")
            continue
        schema = shop.tools[tool] if isinstance(tool, str) else tool
        offered[schema.get("function", {}).get("name")] = schema.get("function", {}).get("parameters", {})
    for call in (call.function for message in dialog.messages for call in message.tool_calls):
        if call.name not in offered:
            has = ", ".join(str(name) for name in offered) or "none"
            yield Finding("tool call", place, f"calls {call.name!r}; on offer: {has}")
            continue
        try:
            jsonschema.Draft202012Validator.check_schema(offered[call.name])
            broken = [
                e.message for e in jsonschema.Draft202012Validator(offered[call.name]).iter_errors(call.arguments)
            ]
        except jsonschema.SchemaError as error:
            broken = [error.message]
        yield from (Finding("tool call", place, f"{call.name}: {what}") for what in broken)


def _same_texts(utterances: dict[str, Utterance]) -> tuple[list[Finding], int]:
    """Texts that carry two labels, and the number of those that carry the same one again."""
    first: dict[str, str] = {}
    findings, duplicates = [], 0
    for place, row in utterances.items():
        before = first.setdefault(normalized(row.text), place)
        if before == place:
            continue
        if utterances[before].intent == row.intent:
            duplicates += 1
        else:
            other = utterances[before].intent
            findings.append(Finding("contradiction", place, f"{row.text!r} is {row.intent}, and {other} at {before}"))
    return findings, duplicates


def _leaks(utterances: dict[str, Utterance], dialogs: dict[str, Dialog], shop: Shop) -> Iterator[Finding]:
    places: dict[str, str] = {}
    for place, row in utterances.items():
        places.setdefault(row.text, place)
    for place, dialog in dialogs.items():
        for message in dialog.messages:
            if message.role == "user":
                places.setdefault(message.content, place)
    texts = list(places)
    for index, case, similarity in case_firewall(shop).leaks(texts):
        yield Finding(
            "leak", places[texts[index]], f"{texts[index]!r} repeats the frozen case {case!r} ({similarity:.2f})"
        )
    whole = [user_text(dialog.messages) for dialog in dialogs.values()]
    for index, case, similarity in conversation_firewall(shop).leaks(whole):
        what = f"{whole[index]!r} repeats the frozen tool case {case!r} ({similarity:.2f})"
        yield Finding("leak", list(dialogs)[index], what)


def _short(text: str, length: int = 60) -> str:
    return repr(text if len(text) <= length else text[: length - 1] + "…")
