"""Tables as text, CSV and TSV: their rows as mappings, each with the line where it begins; a bad row does not end the table.

Not covered: which columns a table must have (`data/tables.py`), other separators than commas and tabs.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.jsontext import shown
from data.rows import Found
from data.textfile import Line, lines

CELL_LIMIT = 2**17  # characters; the csv module's own limit, and far more than anybody writes to a shop


class _Lines:
    """The lines of a file as the csv module wants them, ends and all; what is wrong with a line is kept aside."""

    def __init__(self, path: Path) -> None:
        self.begins = 0  # the line where the row at hand begins
        self.number = 0
        self.problems: list[Line] = []
        self._lines = lines(path, "a table, comma- or tab-separated text", blank=True)

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number = line.number
            if line.problem:
                self.problems.append(line)
            else:
                self.begins = self.begins or line.number
                yield line.text + "\n"


def separated_rows(path: Path) -> Iterator[Found[Mapping[str, Any]]]:
    """The rows by the names of the header, their places the lines where they begin. Blank lines are passed over.

    Raises:
        BadInput: there is no such file, or it cannot be opened.
    """
    source = _Lines(path)
    reader = csv.reader(source, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
    header: list[str] = []
    while True:
        source.begins = 0
        try:
            cells = next(reader, None)
            found = _row(header, cells, source.begins)
        except csv.Error as error:
            cells, found = [], Found(str(source.begins), None, _broken(error, source.number))
        yield from (Found(str(n) if n else "", None, problem) for n, _, problem in source.problems)
        source.problems.clear()
        if cells is None:
            return
        if cells and not header:
            header = [cell.strip() for cell in cells]
            if problem := _header_problem(header):
                yield Found(str(source.begins), None, problem)
                return
        elif found:
            yield found


def _header_problem(header: list[str]) -> str:
    twice = [name for name, times in Counter(header).items() if times > 1]
    if not twice:
        return ""
    return f"the header has {', '.join(map(shown, twice))} more than once; give each column a name of its own"


def _row(header: list[str], cells: list[str] | None, begins: int) -> Found[Mapping[str, Any]] | None:
    if not cells or not header:
        return None
    if len(cells) == len(header):
        return Found(str(begins), dict(zip(header, cells, strict=True)))
    advice = "put a text that holds a separator in double quotes" if len(cells) > len(header) else "fill it up"
    return Found(str(begins), None, f"{len(cells)} cells where the header has {len(header)}; {advice}")


def _broken(error: csv.Error, ended: int) -> str:
    said, to = str(error), f"(to line {ended})"
    if "field larger" in said:
        return f"not a table: a cell of more than {CELL_LIMIT:,} characters {to}: a quote that is never closed, or no table"
    if "unexpected end of data" in said:
        return f"not a table: a quote that opens here is never closed {to}; double the quotes within a text"
    return f"not a table: {said}; double the quotes within a text"
