"""What a person sees while Kefu works: one line a stage, bars, tables. All of it goes to standard error, so that
standard output belongs to the answer. Not covered: what a command answers (`pipelines/answer.py`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@cache
def screen() -> Console:
    """The console for everything that is not the answer."""
    return Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with the time left; the block is given a function that takes how many are done."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=screen()) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)


def megabytes(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e6:,.0f} MB"
