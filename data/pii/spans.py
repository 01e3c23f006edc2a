"""Kinds of personal data, and spans of a text that are of a kind."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["order", "tracking", "phone", "email", "id_card", "bank_card", "name", "address"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PEOPLE: frozenset[Kind] = frozenset({"name", "address"})


@dataclass(frozen=True, order=True)
class Span:
    """Characters `start` to `end` (exclusive) of a text, and what they are."""

    start: int
    end: int
    kind: Kind


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, without those that overlap an earlier or, from the same start, a longer one."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


def overlaps(span: tuple[int, int], spans: Iterable[Span]) -> bool:
    """Whether the characters of `span` touch any of `spans`."""
    return any(other.start < span[1] and span[0] < other.end for other in spans)
