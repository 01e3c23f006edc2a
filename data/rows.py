"""Rows of a file, one at a time, each with its place: reading never stops at the first bad one.

What the rows are is decided by a `parse` function. Not covered: files that are missing (they raise at once).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from data.errors import BadInput

T = TypeVar("T")
R = TypeVar("R", covariant=True)
M = TypeVar("M", bound=BaseModel)
SHOWN = 20  # problems that an error message tells in full


class Found(NamedTuple, Generic[R]):
    """What was found at a place (FILE:LINE): a row, or a problem instead of one."""

    place: str
    row: R | None
    problem: str = ""


def json_rows(path: Path, parse: Callable[[str, int], T]) -> Iterator[Found[T]]:
    """The rows of a JSON lines file through `parse(line, number)`; whatever ValueError it raises is that row's problem. A
    file without rows has that problem itself.

    Raises:
        BadInput: there is no such file.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected JSON lines")
    empty = True
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                empty = False
                yield parsed(f"{path}:{number}", parse, line, number)
    if empty:
        yield nothing(path)


def nothing(where: object) -> Found[Any]:
    """What is found where there is no row at all."""
    return Found(str(where), None, "is empty; expected at least one row")


def parsed(place: str, parse: Callable[..., T], *given: Any) -> Found[T]:
    """The row that `parse` makes of what is given (bytes are decoded first), or what it found wrong."""
    try:
        texts = (one.decode("utf-8") if isinstance(one, bytes) else one for one in given)
        return Found(place, parse(*texts))
    except ValidationError as error:
        return Found(place, None, explained(error))
    except UnicodeDecodeError as error:
        return Found(place, None, f"not UTF-8 (byte {error.start} of the line); save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        return Found(place, None, str(error))


def model_rows(path: Path, model: type[M]) -> Iterator[Found[M]]:
    """The rows of a JSON lines file of `model`."""
    return json_rows(path, lambda line, _: model.model_validate_json(line))


def object_rows(path: Path, parse: Callable[[Mapping[str, Any], str], T]) -> Iterator[Found[T]]:
    """The rows of a JSON lines file of objects through `parse(row, id)`; the id is made of the file's name and the line."""

    def from_line(line: str, number: int) -> T:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError(f"expected a JSON object, found {type(row).__name__}")
        return parse(row, f"{path.stem}-{number}")

    return json_rows(path, from_line)


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
    """What pydantic found, in one line: place and problem."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'value'}: {problem['msg']}" for problem in error.errors()
    )
