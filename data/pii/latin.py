"""Names and addresses in Latin script: from Rampart's tokens, completed by rules.

Rules add the name after "Mrs" or "this is", the unit before a street, the country after a town. Not covered: names written
small that are in no list of given names.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from data.pii.addresses import completed, find_by_rule
from data.pii.pseudonyms import given_names
from data.pii.spans import Span
from data.pii.taggers import NAMES, classified
from data.pii.words import word_set

Token = tuple[int, int, str, float]  # start, end, label and probability, as data/pii/taggers.py gives them

_TITLED = re.compile(r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Madam|Sir)\b\.? ((?:[A-Z][\w'’-]+)(?: [A-Z][\w'’-]+){0,2})")
_CALLED = re.compile(
    r"(?:\b(?:[Tt]his is|[Mm]y name(?:'s| is)|[Nn]ame:|[Ii]t's|I'm|I am|[Rr]egards,?|[Cc]heers,?"
    r"|[Tt]hanks,|[Yy]ours,|[Dd]ear|[Rr]ecipient(?: is|:| to)?"
    r"|[Ss]igned for by|[Aa]sk for|[Aa]ttn:?|[Cc]/o|to the name|in the name of|under|[Hh]ello|[Hh]i|[Hh]ey)\s+)"
    r"((?:[A-Z][\w'’-]+)(?: [A-Z][\w'’-]+){0,2})"
)
_HERE = re.compile(r"((?:[A-Z][\w'’-]+)(?: [A-Z][\w'’-]+){0,2})(?= here\b)")
_CALLED_SMALL = re.compile(
    r"\b(?:its|it's|i'?m|i am|this is|name is|name'?s|tell|ask|cheers|thanks|regards|hi|hey|hello)\s+([a-z]{3,})\b",
    re.IGNORECASE,
)
_NAME_GAP = re.compile(r"\s(?:(?:de|del|da|di|dos|du|van|von|der|den|la|le|el|al|bin) ){0,2}|\s?[A-Z]\.\s?|['’-]|\.\s")
_ADDRESS_GAP = re.compile(r"[\s,;/#|-]{0,4}|\.,\s?|(?:(?<=[A-Z][a-z])|(?<=[A-Z][a-z]{2})|(?<=[A-Z][a-z]{3}))\.\s")
_NO_STREET = frozenset({"order", "ordr", "pls", "plz", "please"})
_SURE, _SURE_IF_SMALL, _SURE_IF_WORD, _SURE_PLACE = 0.3, 0.6, 0.9, 0.5


def in_latin(text: str) -> list[Span]:
    """The names and addresses in a text in Latin script."""
    tokens = classified(text)
    return [*_names(text, tokens), *_addresses(text, tokens)]


def _names(text: str, tokens: Sequence[Token]) -> Iterator[Span]:
    """What the model takes for names, word by word, and what stands after "Mrs" or "this is"."""
    sure: dict[tuple[int, int], float] = defaultdict(float)
    for start, end, label, probability in tokens:
        if label in NAMES:
            word = _whole_words(text, (start, end))
            sure[word] = max(sure[word], probability)
    believed = sorted(word for word, probability in sure.items() if _is_name(text[slice(*word)], probability))
    yield from (Span(start, end, "name") for start, end in _joined(text, believed, _NAME_GAP))
    for pattern in (_TITLED, _CALLED, _HERE):
        for match in pattern.finditer(text):
            if not set(match[1].split()) & word_set("no_english_names") and not match[1].isupper():
                yield Span(*match.span(1), "name")
    for match in _CALLED_SMALL.finditer(text):
        if match[1].title() in given_names() and match[1] not in word_set("ambiguous_small"):
            yield Span(*match.span(1), "name")


def _is_name(word: str, sure: float) -> bool:
    """Whether what the model takes for a name is believed: written small it must be sure, and a known given name."""
    if word in word_set("no_english_names"):
        return False
    if word[0].isupper():  # "Lucky you" is hardly a name
        return sure >= (_SURE_IF_WORD if word.lower() in word_set("ambiguous_small") else _SURE)
    return sure >= _SURE_IF_SMALL and word.title() in given_names() and word not in word_set("ambiguous_small")


def _addresses(text: str, tokens: Sequence[Token]) -> Iterator[Span]:
    """Runs of the model's places with a street among them, and what the rules find."""
    rules = [(s.start, s.end) for s in find_by_rule(text)]
    sure = [(s, e, label) for s, e, label, probability in tokens if label not in NAMES and probability >= _SURE_PLACE]
    streets = [
        *rules,
        *((s, e) for s, e, label in sure if label == "STREET_NAME" and text[s:e].lower() not in _NO_STREET),
    ]
    for start, end in [*_joined(text, [(s, e) for s, e, _ in sure], _ADDRESS_GAP), *rules]:
        if any(s < end and start < e for s, e in streets) and re.search(r"\d", text[start:end]) and end - start > 5:
            yield Span(*completed(text, *_whole_words(text, (start, end))), "address")


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
