"""Names and addresses in Latin script: from Rampart's tokens, completed by rules.

Rules add the name after "Mrs" or "this is", the unit before a street, the country after a town. Not covered: names written small
that are in no list of given names.
"""

import re
from collections.abc import Sequence

from data.pii.addresses import completed, find_by_rule
from data.pii.pseudonyms import given_names
from data.pii.spans import Span
from data.pii.taggers import NAMES, classified
from data.pii.words import word_set

_ENGLISH_TITLED = re.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Madam|Sir)\b\.? ((?:[A-Z][\w'’-]+)(?: [A-Z][\w'’-]+){0,2})"
)
_ENGLISH_CALLED = re.compile(
    r"(?:\b(?:[Tt]his is|[Mm]y name(?:'s| is)|[Nn]ame:|[Ii]t's|I'm|I am|[Rr]egards,?|[Cc]heers,?|[Tt]hanks,|[Yy]ours,|[Dd]ear|[Rr]ecipient(?: is|:| to)?"
    r"|[Ss]igned for by|[Aa]sk for|[Aa]ttn:?|[Cc]/o|to the name|in the name of|under)\s+)((?:[A-Z][\w'’-]+)(?: [A-Z][\w'’-]+){0,2})"
)
_NAME_GAP = re.compile(r"\s|\s?[A-Z]\.\s?|['’-]|\.\s")
_ADDRESS_GAP = re.compile(r"[\s,;/#|-]{0,4}|\.,\s?|(?:(?<=[A-Z][a-z])|(?<=[A-Z][a-z]{2})|(?<=[A-Z][a-z]{3}))\.\s")
_NO_STREET = frozenset({"order", "ordr", "pls", "plz", "please"})
_SURE_IF_SMALL = 0.95


def in_latin(text: str) -> list[Span]:
    tokens = classified(text)
    names = _joined(text, [(s, e) for s, e, label, _ in tokens if label in NAMES], _NAME_GAP)
    sure = {start: probability for start, _, _, probability in tokens}
    spans = [
        Span(*_whole_words(text, span), "name")
        for span in names
        if _is_name(text[slice(*_whole_words(text, span))], sure[span[0]])
    ]
    rules = [(s.start, s.end) for s in find_by_rule(text)]
    streets = [
        *rules,
        *((s, e) for s, e, label, _ in tokens if label == "STREET_NAME" and text[s:e].lower() not in _NO_STREET),
    ]
    places = [(s, e) for s, e, label, _ in tokens if label not in NAMES]
    for start, end in [*_joined(text, places, _ADDRESS_GAP), *rules]:
        if any(s < end and start < e for s, e in streets) and re.search(r"\d", text[start:end]) and end - start > 5:
            spans.append(Span(*completed(text, *_whole_words(text, (start, end))), "address"))
    for pattern in (_ENGLISH_TITLED, _ENGLISH_CALLED):
        for match in pattern.finditer(text):
            if not set(match[1].split()) & word_set("no_english_names") and not match[1].isupper():
                spans.append(Span(*match.span(1), "name"))
    return spans


def _is_name(written: str, sure: float) -> bool:
    """Whether what the model takes for a name is believed: written small it must be a known given name, and sure."""
    words = written.split()
    if any(word in word_set("no_english_names") for word in words):
        return False
    return written[0].isupper() or (sure >= _SURE_IF_SMALL and any(word.title() in given_names() for word in words))


def _joined(text: str, pieces: Sequence[tuple[int, int]], gap: re.Pattern[str]) -> list[tuple[int, int]]:
    """Pieces with nothing but a gap between them, joined."""
    joined: list[tuple[int, int]] = []
    for start, end in pieces:
        if joined and (start <= joined[-1][1] or gap.fullmatch(text, joined[-1][1], start)):
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _whole_words(text: str, span: tuple[int, int]) -> tuple[int, int]:
    start, end = span
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    if text[max(0, end - 2) : end] in ("'s", "’s"):
        end -= 2
    return start, end
