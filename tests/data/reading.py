"""All rows of some sources at once: what a build takes one by one."""

from collections.abc import Iterable
from dataclasses import dataclass

from data.rows import all_good
from data.schema import Dialog, Utterance
from data.shop import Shop
from data.sources import Example, Source


@dataclass(frozen=True)
class Examples:
    """What sources yielded: labelled utterances and whole dialogs."""

    utterances: list[Utterance]
    dialogs: list[Dialog]

    @classmethod
    def of(cls, rows: Iterable[Example]) -> "Examples":
        """Sorts rows by their kind."""
        kept = list(rows)
        return cls([x for x in kept if isinstance(x, Utterance)], [x for x in kept if isinstance(x, Dialog)])


def read_sources(sources: Iterable[Source], shop: Shop) -> Examples:
    """All examples of some sources, in their order.

    Raises:
        BadInput: a source is missing or empty, or has bad rows; they are named.
    """
    return Examples.of(row for source in sources for row in all_good(source.rows(shop)))
