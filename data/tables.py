"""Tables, row by row: CSV, TSV and Parquet files.

No table is held whole. Not covered: what the rows mean (`data/labelled.py`, `data/bitext.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import BadInput
from data.jsontext import kind_of, shown
from data.rows import Found
from data.separated import separated_rows
from data.textfile import foreign_form, require_file

TableRow = Found[Mapping[str, Any]]  # its place is the line, or the row's number; empty for the file as a whole
BATCH = 1024  # rows of a Parquet file in memory at once
COLUMNS = "set text and label of the source in the recipe, or rename them"  # what to do where a column is missing


def file_rows(path: Path, needed: Sequence[str] = (), advice: str = COLUMNS) -> Iterator[TableRow]:
    """The rows of a CSV (commas), TSV (tabs) or Parquet file; of Parquet only the needed columns, if any are named. A file
    that is no table is one problem.

    Raises:
        BadInput: the file is missing, or a Parquet file lacks a column.
    """
    require_file(path, "a CSV, TSV or Parquet table")
    return _parquet(path, needed, advice) if path.suffix == ".parquet" else separated_rows(path)


def require_columns(names: Iterable[str], needed: Sequence[str], where: str, advice: str = COLUMNS) -> None:
    """Refuses a table that lacks a column.

    Raises:
        BadInput: with the columns that it has, and what to do.
    """
    has = list(names)
    missing = [name for name in needed if name not in has]
    if not missing:
        return
    mark = next((mark for mark in (";", "\t", "|") if len(has) == 1 and mark in has[0]), None)
    if mark:
        advice = f"its columns seem to be separated by {mark!r}: save it with commas (.csv) or tabs (.tsv)"
    told = ", ".join(shown(name)[1:-1] for name in has[:20])
    raise BadInput(f"{where}: no column {' or '.join(missing)}; it has {told}: {advice}")


def cell(row: Mapping[str, Any], name: str) -> str:
    """A cell as text without blanks at its ends. A number is taken for the label or text it looks like.

    Raises:
        ValueError: it is neither.
    """
    value = row[name]
    if value is None or value != value:  # NaN is what pandas writes for nothing
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kind = "bytes" if isinstance(value, bytes) else kind_of(value)
        raise ValueError(f"{name}: expected a text, found {kind}; save the column as text")
    return str(value).strip()


def _parquet(path: Path, needed: Sequence[str], advice: str) -> Iterator[TableRow]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            require_columns(file.schema_arrow.names, needed, str(path), advice)
            for batch in file.iter_batches(BATCH, columns=list(needed) or None):
                for row in batch.to_pylist():
                    number += 1
                    yield Found(str(number), row)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        other = foreign_form(path).partition(";")[0]
        seen = f"read to row {number}, then: " if number else f"{other}; " if other and "Parquet" not in other else ""
        told = str(error).partition("\n")[0]
        yield Found("", None, f"not a Parquet file, or not a whole one: {seen}{told}; export it again")
