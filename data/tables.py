"""Labelled texts in tables: CSV, TSV and Parquet files, and data sets of the Hub through the library `datasets`.

Not covered: tables with answers (they would be dialogs), sets larger than memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from data.chat import language_of
from data.errors import BadInput, EnvironmentLacks
from data.jsontext import kind_of, shown
from data.rows import Found, nothing, parsed
from data.schema import Language, Strict, Text, Utterance
from data.separated import separated_rows
from data.textfile import foreign_form, require_file

BATCH = 1024  # rows of a Parquet file in memory at once


class Columns(Strict):
    """Which column holds the texts and which the labels, and what a label is called in the shop's taxonomy."""

    text: Text = "text"
    label: Text = "label"
    labels: dict[str, str] = Field(default_factory=dict)  # foreign label -> ours; others stay as they are
    language: Language | None = None  # of all rows; by default each row's own, guessed


def table_rows(path: Path, columns: Columns) -> Iterator[Found[Utterance]]:
    """The utterances of a CSV (commas), TSV (tabs) or Parquet file; a file that is none is one problem.

    Raises:
        BadInput: the file is missing, or lacks a column.
    """
    require_file(path, "a CSV, TSV or Parquet table")
    rows = _parquet(path, columns) if path.suffix == ".parquet" else separated_rows(path)
    return _utterances(rows, columns, str(path), path.stem)


def dataset_rows(
    name: str, config: str | None, split: str, revision: str | None, columns: Columns
) -> Iterator[Found[Utterance]]:
    """The utterances of a data set, from the Hub or a local folder.

    Raises:
        BadInput: no such data set, configuration, split or column, or its files are broken.
        EnvironmentLacks: the Hub cannot be reached and the set is not in its cache.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(name, config, split=split, revision=revision)
    except ConnectionError as error:
        raise EnvironmentLacks(
            f"data set {name}: the Hub cannot be reached ({error}); download it to a folder and name that"
        ) from error
    except (FileNotFoundError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise BadInput(f"data set {name} ({split}): {error}") from error
    names = getattr(found.features.get(columns.label), "names", None)  # labels kept as numbers of a list
    rows = (Found(str(number), _named(dict(row), columns.label, names)) for number, row in enumerate(found, 1))
    return _utterances(rows, columns, f"{name}[{split}]", name.rsplit("/", 1)[-1])


def _utterances(
    rows: Iterable[Found[Mapping[str, Any]]], columns: Columns, where: str, source: str
) -> Iterator[Found[Utterance]]:
    """What the rows (their places are line numbers, or nothing for the file as a whole) say, as the one schema."""

    def utterance(row: Mapping[str, Any]) -> Utterance:
        text, label = (_cell(row, name) for name in (columns.text, columns.label))
        language = columns.language or language_of(text)
        return Utterance(text=text, intent=columns.labels.get(label, label), language=language, source=source)

    empty = True
    for line, row, problem in rows:
        empty = False
        place = f"{where}:{line}" if line else where
        if row is None:
            yield Found(place, None, problem)
            continue
        _require_columns(row, columns, where)
        yield parsed(place, utterance, row)
    if empty:
        yield nothing(where)


def _require_columns(names: Iterable[str], columns: Columns, where: str) -> None:
    has = list(names)
    missing = [name for name in (columns.text, columns.label) if name not in has]
    if not missing:
        return
    mark = next((mark for mark in (";", "\t", "|") if len(has) == 1 and mark in has[0]), None)
    advice = (
        f"its columns seem to be separated by {mark!r}: save it with commas (.csv) or tabs (.tsv)"
        if mark
        else "set text and label of the source in the recipe, or rename them"
    )
    told = ", ".join(shown(name)[1:-1] for name in has[:20])
    raise BadInput(f"{where}: no column {' or '.join(missing)}; it has {told}: {advice}")


def _cell(row: Mapping[str, Any], name: str) -> str:
    """A cell as text without blanks at its ends. A number is taken for the label or text it looks like."""
    value = row[name]
    if value is None or value != value:  # NaN is what pandas writes for nothing
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kind = "bytes" if isinstance(value, bytes) else kind_of(value)
        raise ValueError(f"{name}: expected a text, found {kind}; save the column as text")
    return str(value).strip()


def _named(row: dict[str, Any], label: str, names: list[str] | None) -> dict[str, Any]:
    return row | {label: names[row[label]]} if names and isinstance(row.get(label), int) else row


def _parquet(path: Path, columns: Columns) -> Iterator[Found[Mapping[str, Any]]]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            _require_columns(file.schema_arrow.names, columns, str(path))
            for batch in file.iter_batches(BATCH, columns=[columns.text, columns.label]):
                for row in batch.to_pylist():
                    number += 1
                    yield Found(str(number), row)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        other = foreign_form(path).partition(";")[0]
        seen = f"read to row {number}, then: " if number else f"{other}; " if other and "Parquet" not in other else ""
        told = str(error).partition("\n")[0]
        yield Found("", None, f"not a Parquet file, or not a whole one: {seen}{told}; export it again")
