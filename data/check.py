"""What is wrong with some training data, all of it, each finding with its places: the report behind `kefu data check`.

Each question has a file of its own: labels, toolcalls, turns, spoken (language), lengths. Not covered: near-duplicates, PII.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from data.firewall import case_firewall, conversation_firewall, normalized, user_text
from data.labels import foreign_label, same_texts
from data.lengths import Lengths
from data.rows import Found
from data.schema import Dialog, Utterance
from data.shop import Shop
from data.sources import Example
from data.spoken import another_language
from data.toolcalls import call_problems
from data.turns import cut_off, damage, narrow_column, order_problems, says_nothing

Kind = Literal[
    "malformed",
    "unknown label",
    "contradiction",
    "leak",
    "tool call",
    "turn order",
    "empty",
    "truncated",
    "language",
    "encoding",
    "length",
]
_NAMES = {"en": "English", "zh": "Chinese"}


class Finding(NamedTuple):
    """One problem: where it is first, what it is, and where else the same is."""

    kind: Kind
    place: str
    what: str
    more: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """All places."""
        return (self.place, *self.more)


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
        """How many places each kind of finding has."""
        counts: Counter[Kind] = Counter()
        for finding in self.findings:
            counts[finding.kind] += len(finding.places)
        return counts


def check(found: Iterable[Found[Example]], shop: Shop, lengths: Lengths | None = None) -> Checked:
    """Reads all rows and looks at each of them, then at all together. Lengths are looked at if there is what measures them."""
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
    for place, utterance in utterances.items():
        findings += (Finding(kind, place, what) for kind, what in _of_utterance(utterance, shop, lengths))
    for place, dialog in dialogs.items():
        findings += (Finding(kind, place, what) for kind, what in _of_dialog(dialog, shop, lengths))
    contradictions, duplicates = same_texts(utterances, {place: normalized(u.text) for place, u in utterances.items()})
    findings += (Finding("contradiction", *told) for told in contradictions)
    findings += (Finding("truncated", *told) for told in narrow_column(utterances))
    findings += _leaks(utterances, dialogs, shop)
    return Checked(merged(findings), utterances, dialogs, duplicates)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Findings of the same kind in the same words become one, with all their places."""
    places: dict[tuple[Kind, str], list[str]] = {}
    for finding in findings:
        places.setdefault((finding.kind, finding.what), []).extend(finding.places)
    return [Finding(kind, first, what, tuple(more)) for (kind, what), (first, *more) in places.items()]


def _of_utterance(row: Utterance, shop: Shop, lengths: Lengths | None) -> Iterator[tuple[Kind, str]]:
    if what := foreign_label(row.intent, shop.taxonomy):
        yield "unknown label", what
    if what := damage(row.text):
        yield "encoding", what
    if says_nothing(row.text):
        yield "empty", "nothing but punctuation or invisible characters"
    if other := another_language(row.text, row.language):
        yield "language", f"declared {_NAMES[row.language]}, reads as {other}"
    if lengths:
        yield from (("length", what) for what in lengths.problems(row, shop))


def _of_dialog(dialog: Dialog, shop: Shop, lengths: Lengths | None) -> Iterator[tuple[Kind, str]]:
    if what := foreign_label(dialog.intent, shop.taxonomy):
        yield "unknown label", what
    for index, message in enumerate(dialog.messages):
        if what := damage(message.content):
            yield "encoding", f"turn {index}: {what}"
        if message.content and message.role != "tool" and says_nothing(message.content):
            yield "empty", f"turn {index} ({message.role}) has nothing but punctuation or invisible characters"
        if message.role == "assistant" and message.trained and (what := cut_off(message.content)):
            yield "truncated", f"turn {index}, an answer: {what}"
    if what := _other_language(dialog):
        yield "language", what
    yield from (("turn order", what) for what in order_problems(dialog))
    broken = list(call_problems(dialog, shop.tools))
    yield from (("tool call", what) for what in broken)
    if lengths and not broken:
        yield from (("length", what) for what in lengths.problems(dialog, shop))


def _other_language(dialog: Dialog) -> str:
    """A dialog in another language, or answers in another: single turns of a customer may be mixed."""
    answers = " ".join(message.content for message in dialog.messages if message.role == "assistant")
    asked = " ".join(message.content for message in dialog.messages if message.role == "user")
    for said, text in (("reads", f"{asked} {answers}"), ("the answers read", answers)):
        if other := another_language(text, dialog.language):
            return f"declared {_NAMES[dialog.language]}, {said} as {other}"
    return ""


def _leaks(utterances: dict[str, Utterance], dialogs: dict[str, Dialog], shop: Shop) -> Iterator[Finding]:
    places: dict[str, str] = {}
    for place, row in utterances.items():
        places.setdefault(row.text, place)
    for place, dialog in dialogs.items():
        for message in dialog.messages:
            if message.role == "user":
                places.setdefault(message.content, place)
    if not places:
        return
    texts = list(places)
    for index, case, similarity in case_firewall(shop).leaks(texts):
        yield Finding(
            "leak", places[texts[index]], f"{texts[index]!r} repeats the frozen case {case!r} ({similarity:.2f})"
        )
    whole = [user_text(dialog.messages) for dialog in dialogs.values()]
    for index, case, similarity in conversation_firewall(shop).leaks(whole):
        what = f"{whole[index]!r} repeats the frozen tool case {case!r} ({similarity:.2f})"
        yield Finding("leak", list(dialogs)[index], what)
