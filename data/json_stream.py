"""One value after another out of a JSON file that is a single document, however large; also inside `.gz` and `.zip`.

Not covered: JSON lines (`data/rows.py`).
"""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from data.errors import BadInput
from data.textfile import require_file

_SPACE = b" \t\r\n"


def items(path: Path, prefix: str) -> Iterator[Any]:
    """The values at `prefix`, such as `train.item` (each element of the list at `train`); none if there is no such place.

    Raises:
        BadInput: the file is missing or is not JSON, or its archive is broken.
    """
    import ijson

    with _reading(path) as file:
        yield from ijson.items(file, prefix, use_float=True)


def members(path: Path) -> Iterator[tuple[str, Any]]:
    """The keys and values of the object that the file holds.

    Raises:
        BadInput: the file is missing or is not a JSON object, or its archive is broken.
    """
    import ijson

    if not opens_with(path, b"{"):
        raise BadInput(f"{path}: not a JSON object; expected one with a dialog at each key")
    with _reading(path) as file:
        yield from ijson.kvitems(file, "", use_float=True)


def opens_with(path: Path, mark: bytes) -> bool:
    """Whether the document begins with this character.

    Raises:
        BadInput: the file is missing, or its archive is broken.
    """
    with _reading(path) as file:
        return file.read(256).lstrip(_SPACE)[:1] == mark


def outline(path: Path, events: int = 8) -> list[tuple[str, str, Any]]:
    """How the document begins: place, event and value of its first tokens.

    Raises:
        BadInput: the file is missing or is not JSON, or its archive is broken.
    """
    import ijson

    with _reading(path) as file:
        return list(islice(ijson.parse(file, use_float=True), events))


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    import ijson

    require_file(path, "JSON, also as .gz or .zip")
    try:
        with _opened(path) as file:
            yield file
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not JSON ({' '.join(str(error).split())}); is the file whole?") from error
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadInput(f"{path}: a broken archive ({error}); fetch it again") from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            yield cast(IO[bytes], file)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if name.endswith(".json")]
            if len(inside) != 1:
                raise BadInput(f"{path}: {len(inside)} JSON files inside; expected one")
            with archive.open(inside[0]) as file:
                yield file
    else:
        with path.open("rb") as file:
            yield file
