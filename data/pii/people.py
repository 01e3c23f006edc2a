"""Names and addresses in a text: what needs a model of the language (`data/pii/taggers.py`).

Not covered: other scripts than Chinese and Latin.
"""

import re
from collections.abc import Sequence

from data.pii.chinese_addresses import chinese_addresses
from data.pii.chinese_names import chinese_names
from data.pii.latin import in_latin
from data.pii.spans import Span, merged, overlaps
from data.pii.taggers import tagged

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_COMMA = re.compile(r",\s?")
_LATIN = re.compile(r"[A-Za-z]{2}")
_LATIN_NAME = re.compile(r"\b[A-Z][a-z]+")


def find_people(text: str) -> list[Span]:
    """The names and addresses in a text, in order.

    Raises:
        EnvironmentLacks: the recognizers are not installed.
    """
    spans: list[Span] = []
    chinese = bool(_CHINESE.search(text))
    if chinese:
        words = tagged(text)
        spans += [*chinese_addresses(text, words), *chinese_names(text, words)]
    if _LATIN_NAME.search(text) if chinese else _LATIN.search(text):
        spans += [span for span in in_latin(text) if not chinese or not _CHINESE.search(text, span.start, span.end)]
    return _united(text, spans)


def _united(text: str, spans: Sequence[Span]) -> list[Span]:
    """Addresses that touch become one; a name within an address is part of it."""
    addresses: list[Span] = []
    for span in sorted(span for span in spans if span.kind == "address"):
        if addresses and (span.start <= addresses[-1].end or _COMMA.fullmatch(text, addresses[-1].end, span.start)):
            addresses[-1] = Span(addresses[-1].start, max(span.end, addresses[-1].end), "address")
        else:
            addresses.append(span)
    names = merged(span for span in spans if span.kind == "name" and not overlaps((span.start, span.end), addresses))
    return merged([*addresses, *names])
