"""The page of a corpus: what it holds, what was left out and why, some rows to read. One file, nothing loaded from elsewhere.

Not covered: what changed since another corpus (`data/diff.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.chat import Row
from data.staging import Dropped

TEMPLATES = Path(__file__).resolve().parent / "templates"
SHOWN = 8  # examples of each reason, and of each task


class Line(NamedTuple):
    """One bar: so many rows, or tokens."""

    name: str
    number: int


def corpus_page(
    statistics: Mapping[str, Any],
    rows: Iterable[Row],
    dropped: Sequence[Dropped],
    section: Mapping[str, Any],
    width: int,
) -> str:
    """The page as HTML. `statistics` are the corpus's, `dropped` is what it left out, `width` that of a bin of lengths."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined,
    )
    sample: dict[str, list[Row]] = {}
    for row in rows:
        of_task = sample.setdefault(f"{row.task} {row.language}", [])
        if len(of_task) < SHOWN:
            of_task.append(row)
    reasons = dict.fromkeys(one.reason for one in dropped)
    return environment.get_template("corpus.html.jinja").render(
        statistics,
        section=section,
        left_out=_lines(statistics["dropped"]),
        examples={reason: [one for one in dropped if one.reason == reason][:SHOWN] for reason in reasons},
        budget=_lines(statistics["tokens"]),
        balance=_lines(statistics["intents"]),
        histograms={
            task: [Line(f"{start} to {start + width - 1}", count) for start, count in bins.items()]
            for task, bins in statistics["lengths"].items()
            if bins
        },
        sample=[row for of_task in sample.values() for row in of_task],
    )


def _lines(counts: Mapping[str, int]) -> list[Line]:
    """Most first."""
    return [Line(*pair) for pair in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
