"""Labelled texts in tables: CSV, TSV and Parquet files, and data sets of the Hub through the library `datasets`.

Not covered: tables with answers (they would be dialogs), sets larger than memory.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from data.chat import language_of
from data.errors import BadInput, EnvironmentLacks
from data.rows import Found, nothing, parsed
from data.schema import Language, Strict, Text, Utterance


class Columns(Strict):
    """Which column holds the texts and which the labels, and what a label is called in the shop's taxonomy."""

    text: Text = "text"
    label: Text = "label"
    labels: dict[str, str] = Field(default_factory=dict)  # foreign label -> ours; others stay as they are
    language: Language | None = None  # of all rows; by default each row's own, guessed


def table_rows(path: Path, columns: Columns) -> Iterator[Found[Utterance]]:
    """The utterances of a CSV (commas), TSV (tabs) or Parquet file.

    Raises:
        BadInput: the file is missing, is no such table, or lacks a column.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a CSV, TSV or Parquet table")
    rows = _parquet(path) if path.suffix == ".parquet" else _separated(path)
    return _utterances(rows, columns, str(path), path.stem)


def dataset_rows(
    name: str, config: str | None, split: str, revision: str | None, columns: Columns
) -> Iterator[Found[Utterance]]:
    """The utterances of a data set, from the Hub or a local folder.

    Raises:
        BadInput: no such data set, configuration, split or column.
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
    except (FileNotFoundError, ValueError) as error:
        raise BadInput(f"data set {name} ({split}): {error}") from error
    names = getattr(found.features.get(columns.label), "names", None)  # labels kept as numbers of a list
    rows = ((number, _named(dict(row), columns.label, names)) for number, row in enumerate(found, 1))
    return _utterances(rows, columns, f"{name}[{split}]", name.rsplit("/", 1)[-1])


def _utterances(
    rows: Iterable[tuple[int, Mapping[str, Any]]], columns: Columns, where: str, source: str
) -> Iterator[Found[Utterance]]:
    def utterance(row: Mapping[str, Any]) -> Utterance:
        text, label = (str("" if row[name] is None else row[name]) for name in (columns.text, columns.label))
        language = columns.language or language_of(text)
        return Utterance(text=text, intent=columns.labels.get(label, label), language=language, source=source)

    number = 0
    for number, row in rows:
        if missing := [name for name in (columns.text, columns.label) if name not in row]:
            has = ", ".join(str(key) for key in row)
            raise BadInput(f"{where}: no column {' or '.join(missing)}; it has {has}: set text and label of the source")
        yield parsed(f"{where}:{number}", utterance, row)
    if not number:
        yield nothing(where)


def _named(row: dict[str, Any], label: str, names: list[str] | None) -> dict[str, Any]:
    return row | {label: names[row[label]]} if names and isinstance(row.get(label), int) else row


def _separated(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            for row in reader:
                yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    except csv.Error as error:
        raise BadInput(f"{path}:{reader.line_num}: not a table: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise BadInput(f"{path}: not a Parquet file: {error}") from error
