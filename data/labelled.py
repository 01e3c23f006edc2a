"""Labelled texts out of the rows of a table, each row by itself: an utterance, a problem, or left out by its label.

Not covered: where the rows come from (`data/tables.py`, `data/hub.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from data.chat import language_of
from data.label_map import LabelMap, found_in
from data.rows import Found, nothing, parsed
from data.schema import Language, Taxonomy, Text, Utterance
from data.tables import COLUMNS, TableRow, cell, require_columns

T = TypeVar("T")


class Columns(LabelMap):
    """Which column holds the texts and which the labels, and what a label is called in the shop's taxonomy."""

    text: Text = "text"
    label: Text = "label"
    language: Language | None = None  # of all rows; by default each row's own, guessed

    def utterances(
        self, rows: Iterable[TableRow], where: str, source: str, taxonomy: Taxonomy
    ) -> Iterator[Found[Utterance]]:
        """The utterances of a table; rows whose label is mapped to no intent are left out.

        Raises:
            BadInput: a column is missing.
        """

        def utterance(row: Mapping[str, Any]) -> Utterance | None:
            text, intent = cell(row, self.text), self.intent(cell(row, self.label), taxonomy)
            if intent is None:
                return None
            return Utterance(text=text, intent=intent, language=self.language or language_of(text), source=source)

        return each_row(rows, (self.text, self.label), utterance, where)


def english(
    rows: Iterable[TableRow], label: str, intents: Mapping[str, str | None], where: str, source: str
) -> Iterator[Found[Utterance]]:
    """The utterances of an English data set whose labels are all known; those of a label without an intent are left out.

    Raises:
        BadInput: there is no column `text` or `label`.
    """

    def utterance(row: Mapping[str, Any]) -> Utterance | None:
        intent = found_in(intents, cell(row, label), source)
        text = cell(row, "text")
        return Utterance(text=text, intent=intent, language="en", source=source) if intent is not None else None

    return each_row(rows, ("text", label), utterance, where, f"expected the table of {source}")


def each_row(
    rows: Iterable[TableRow],
    needed: Sequence[str],
    parse: Callable[[Mapping[str, Any]], T | None],
    where: str,
    advice: str = COLUMNS,
) -> Iterator[Found[T]]:
    """What `parse` makes of each row, or the row's problem; rows of which it makes None are left out.

    Raises:
        BadInput: a needed column is missing.
    """
    read = kept = False
    for line, row, problem in rows:
        read = True
        place = f"{where}:{line}" if line else where
        if row is not None:
            require_columns(row, needed, where, advice)
            _, made, problem = parsed(place, parse, row)
            if made is not None:
                kept = True
                yield Found(place, made)
        if problem:
            kept = True
            yield Found(place, None, problem)
    if not read:
        yield nothing(where)
    elif not kept:
        yield Found(where, None, "every row is left out, as labels and others of the source say")
