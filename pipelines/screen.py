"""What a person sees while Kefu works: one line a stage, bars, tables. All of it goes to standard error, so that
standard output belongs to the answer. Not covered: what a command answers (`pipelines/answer.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

MOVED_EVERY = 500  # rows
T = TypeVar("T")


@cache
def screen() -> Console:
    """The console for everything that is not the answer."""
    return Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(label: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar with the time left; the block is given `move(done, **changes)`, which also changes `description` or `total`."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=screen()) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done, **changes: progress.update(task, completed=done, **changes)


def counted(label: str, rows: Iterable[T]) -> Iterator[T]:
    """The rows as they come, their number on a bar."""
    with progress_bar(label) as move:
        for number, row in enumerate(rows, 1):
            yield row
            if number % MOVED_EVERY == 0:
                move(number)


def megabytes(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e6:,.0f} MB"
