"""Text files that others wrote: told apart from what is no text, read a line at a time or whole, within limits.

A line may have `LINE_LIMIT` characters, a file that is read whole `WHOLE_LIMIT` bytes; so the memory that a bad file takes is
bounded. Line ends may be LF, CRLF or a lone CR, and a byte order mark of UTF-8 is passed over. Not covered: what lines mean.
"""

import errno
import os
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple, TextIO

from data.errors import BadInput

LINE_LIMIT = 2**20  # characters; the longest dialog of the default shop has 6,000
SKIP_LIMIT = 2**28  # characters of one line that are passed over in search of the next, before reading stops
WHOLE_LIMIT = 2**22  # bytes
HEAD = 2**16  # bytes that are looked at first
# How files that are no text begin, what they are and what to do with them
_MARKS = {
    b"PK\x03\x04": ("a ZIP archive (or an Excel workbook)", "unpack it, or save the sheet as CSV"),
    b"\x1f\x8b": ("compressed with gzip", "gunzip it"),
    b"BZh": ("compressed with bzip2", "bunzip2 it"),
    b"\xfd7zXZ": ("compressed with xz", "unxz it"),
    b"\x28\xb5\x2f\xfd": ("compressed with Zstandard", "unzstd it"),
    b"%PDF": ("a PDF", "export its text"),
    b"PAR1": ("a Parquet file", "name it .parquet"),
    b"ARROW1": ("an Arrow file", "save it as Parquet"),
    b"SQLite format 3": ("an SQLite database", "export a table as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Office document", "save it as CSV"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "git lfs pull"),
    b"<!DOCTYPE": ("a web page", "download the file itself"),
    b"<html": ("a web page", "download the file itself"),
    b"\xff\xfe\x00\x00": ("UTF-32, not UTF-8", "iconv -f UTF-32 -t UTF-8"),
    b"\xff\xfe": ("UTF-16, not UTF-8", "iconv -f UTF-16 -t UTF-8, or save it as UTF-8"),
    b"\xfe\xff": ("UTF-16, not UTF-8", "iconv -f UTF-16 -t UTF-8, or save it as UTF-8"),
}


class Line(NamedTuple):
    """A line without its end, or what is wrong with it."""

    number: int
    text: str
    problem: str = ""


def require_file(path: Path, expected: str) -> None:
    """Refuses what cannot be read as a file: nothing there, a folder, a pipe, a device, or a file closed to this user.

    Raises:
        BadInput: saying which.
    """
    try:
        kind = path.stat().st_mode
        if stat.S_ISREG(kind):
            path.open("rb").close()
            return
    except OSError as error:
        if error.errno == errno.ENOENT and path.is_symlink():
            raise BadInput(
                f"{path}: a link to {os.readlink(path)}, which does not exist; expected {expected}"
            ) from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise BadInput(f"{path}: no such file; expected {expected}") from error
        raise BadInput(f"{path}: cannot be read ({error.strerror}); expected {expected}") from error
    if stat.S_ISDIR(kind):
        raise BadInput(f"{path}: a folder; expected {expected}")
    what = "a pipe" if stat.S_ISFIFO(kind) else "a device or socket"
    raise BadInput(f"{path}: {what}, which may never end; expected {expected}: save it to a file first")


def foreign_form(path: Path) -> str:
    """What a file is that is no text, and what to do; empty if it may be text."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    for mark, (what, advice) in _MARKS.items():
        if head.startswith(mark):
            return f"is {what}; {advice}"
    if (zeros := head.count(0)) == 0:
        return ""
    if zeros * 3 > len(head) and any(head[1::2]) != any(head[::2]):  # every second byte is zero: Latin letters
        return "is UTF-16, not UTF-8; iconv -f UTF-16LE (or UTF-16BE) -t UTF-8, or save it as UTF-8"
    return f"holds NUL bytes (the first at {head.index(0)}): it is no text, or a damaged one; export it again"


def lines(path: Path, expected: str, blank: bool = False) -> Iterator[Line]:
    """The lines of a text file, blank ones too if `blank`. What is wrong with the file as a whole is one problem in line 0.

    Raises:
        BadInput: there is no such file, or it cannot be opened.
    """
    require_file(path, expected)
    try:
        if problem := foreign_form(path):
            yield Line(0, "", f"{problem}; expected {expected}")
            return
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
            yield from (line for line in _lines(file, path) if blank or line.problem or line.text.strip())
    except OSError as error:
        yield Line(0, "", f"cannot be read to its end ({error.strerror}); copy it again")


def whole_text(path: Path, expected: str) -> str:
    """The text of a small file.

    Raises:
        BadInput: it cannot be read, is no text in UTF-8, or is too large.
    """
    require_file(path, expected)
    if (size := path.stat().st_size) > WHOLE_LIMIT:
        raise BadInput(f"{path}: {size:,} bytes; expected {expected} of at most {WHOLE_LIMIT:,}")
    try:
        if problem := foreign_form(path):
            raise BadInput(f"{path}: {problem}; expected {expected}")
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read to its end ({error.strerror}); copy it again") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: {not_utf8(raw)}; expected {expected}") from error


def not_utf8(raw: bytes) -> str:
    """The message about bytes that are not UTF-8, with the encoding that they seem to have and how they read in it."""
    from charset_normalizer import from_bytes

    best = from_bytes(raw, cp_isolation=["gb18030", "big5", "shift_jis", "cp1252"], threshold=0.5).best()
    if best is None:
        return "not UTF-8, nor another encoding that is known here; save the file as UTF-8"
    name = best.encoding.upper().replace("_", "-")
    return f"not UTF-8 but, as it seems, {name}; iconv -f {name} -t UTF-8, or save the file as UTF-8"


def _is_decoded(text: str) -> bool:
    """Whether a line had no byte that is not UTF-8."""
    try:
        text.isascii() or text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _lines(file: TextIO, path: Path) -> Iterator[Line]:
    damage = ""
    for number in count(1):
        line = file.readline(LINE_LIMIT + 1)
        if not line:
            return
        if len(line) > LINE_LIMIT and not line.endswith("\n"):
            over = f"longer than {LINE_LIMIT:,} characters; expected one row a line: is it one whole file without line ends?"
            if not _skipped(file):
                yield Line(number, "", f"{over} (reading stopped here)")
                return
            yield Line(number, "", over)
        elif not _is_decoded(line):
            # one message for the whole file, so that its bad lines are told together
            damage = damage or not_utf8(_sample(path, line))
            yield Line(number, "", damage)
        else:
            yield Line(number, line.rstrip("\n"))


def _skipped(file: TextIO) -> bool:
    """Goes to the next line; whether it came within the limit."""
    for _ in range(SKIP_LIMIT // LINE_LIMIT):
        line = file.readline(LINE_LIMIT)
        if not line or line.endswith("\n"):
            return True
    return False


def _sample(path: Path, line: str) -> bytes:
    """The head of a file that is damaged there already, else the bad line alone: one foreign line in a good file."""
    with path.open("rb") as file:
        head = file.read(HEAD).rpartition(b"\n")[0]
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return head
    return line.encode("utf-8", "surrogateescape")
