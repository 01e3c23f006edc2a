"""Rows of a file, one at a time, each with its place: reading never stops at the first bad one.

What the rows are is decided by a `parse` function. Not covered: files that are missing (they raise at once); how long a line
and how deep a row may be (`data/textfile.py`, `data/jsontext.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from data.errors import BadInput
from data.jsontext import decoded, kind_of, shown
from data.textfile import lines

T = TypeVar("T")
R = TypeVar("R", covariant=True)
M = TypeVar("M", bound=BaseModel)
SHOWN = 20  # problems that an error message tells in full
OF_A_ROW = 5  # problems of one row that are told
_JSON_LINES = "JSON lines, one object a line"
_PLAIN = {  # pydantic's kinds of problems in words for whoever wrote the row; the others in pydantic's own
    "missing": "missing",
    "extra_forbidden": "an unknown key",
    "string_type": "expected a text",
    "string_too_short": "empty; expected a text",
    "dict_type": "expected an object",
    "tuple_type": "expected a list",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
}


class Found(NamedTuple, Generic[R]):
    """What was found at a place (FILE:LINE): a row, or a problem instead of one."""

    place: str
    row: R | None
    problem: str = ""


def json_rows(path: Path, parse: Callable[[str, int], T]) -> Iterator[Found[T]]:
    """The rows of a JSON lines file through `parse(line, number)`; whatever ValueError it raises is that row's problem. A
    file without rows, or in another form, has that problem itself.

    Raises:
        BadInput: there is no such file, or it cannot be opened.
    """
    empty = True
    for number, line, problem in lines(path, _JSON_LINES):
        if empty and (whole := _one_value(line)):
            yield Found(f"{path}:{number}", None, whole)
            return
        empty = False
        place = f"{path}:{number}" if number else str(path)
        yield Found(place, None, problem) if problem else parsed(place, parse, line, number)
    if empty:
        yield nothing(path)


def nothing(where: object) -> Found[Any]:
    """What is found where there is no row at all."""
    return Found(str(where), None, "is empty; expected at least one row")


def parsed(place: str, parse: Callable[..., T], *given: Any) -> Found[T]:
    """The row that `parse` makes of what is given, or what it found wrong."""
    try:
        return Found(place, parse(*given))
    except ValidationError as error:
        return Found(place, None, explained(error))
    except (ValueError, RecursionError) as error:
        return Found(place, None, str(error))


def model_rows(path: Path, model: type[M]) -> Iterator[Found[M]]:
    """The rows of a JSON lines file of `model`."""
    return json_rows(path, lambda line, _: model.model_validate(_object(line)))


def object_rows(path: Path, parse: Callable[[Mapping[str, Any], str], T]) -> Iterator[Found[T]]:
    """The rows of a JSON lines file of objects through `parse(row, id)`; the id is made of the file's name and the line."""
    return json_rows(path, lambda line, number: parse(_object(line), f"{path.stem}-{number}"))


def first_object(path: Path, within: int = 100) -> Mapping[str, Any]:
    """The first row of a JSON lines file that is an object, among its first lines; empty if none is.

    Raises:
        BadInput: there is no such file, or it cannot be opened.
    """
    for number, line, problem in lines(path, _JSON_LINES):
        if number > within:
            break
        if not problem and (row := parsed("", _object, line).row):
            return row
    return {}


def all_good(found: Iterable[Found[T]]) -> list[T]:
    """The rows, if every one of them is good.

    Raises:
        BadInput: some are bad; all of them are named, the first twenty in full.
    """
    rows: list[T] = []
    problems: list[str] = []
    for place, row, problem in found:
        if row is None:
            problems.append(f"{place}: {problem}")
        else:
            rows.append(row)
    if problems:
        more = f"\n... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise BadInput("\n".join(problems[:SHOWN]) + more)
    return rows


def explained(error: ValidationError) -> str:
    """What pydantic found, in one line: place, problem, and what was there."""
    problems = error.errors(include_url=False)
    told = [_told(problem) for problem in problems[:OF_A_ROW]]
    if len(problems) > OF_A_ROW:
        told.append(f"... and {len(problems) - OF_A_ROW} more")
    return "; ".join(told)


def _told(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "value"
    said = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    what = _PLAIN.get(problem["type"], said)
    if problem["type"] not in ("missing", "extra_forbidden", "value_error"):
        what += f", found {shown(problem['input'])}"
    return f"{where if where.isprintable() else shown(where)}: {what}"


def _object(line: str) -> Mapping[str, Any]:
    row = decoded(line)
    if not isinstance(row, dict):
        advice = ": write each of its objects on a line of its own (jq -c '.[]' FILE)" if isinstance(row, list) else ""
        raise ValueError(f"not a JSON object but {kind_of(row)}{advice}")
    return row


def _one_value(line: str) -> str:
    """What is wrong with a file that begins so, if it is one JSON value over many lines."""
    start = line.strip()
    if start == "[" or (start.startswith("[{") and not start.endswith("]")):
        return "one JSON array over several lines, not one object a line; write one object a line: jq -c '.[]' FILE"
    if start == "{":
        return "one JSON object over several lines, not one a line; write it on one line: jq -c . FILE"
    return ""
