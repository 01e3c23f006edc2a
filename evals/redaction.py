"""How much personal data `data.pii` finds in texts with marked spans, and how much of what it finds is none.

A marked span is found if spans of its kind cover all its letters and digits; a found span is right if at least half of it lies
in marks of its kind. `python -m evals.redaction` lists every miss. Not covered: what surrogates are put there.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from data.pii.spans import KINDS, PEOPLE, Kind, Span
from data.schema import Strict, read_jsonl

MARKED = Path(__file__).resolve().parent / "pii"


class MarkedSpan(Strict):
    """One span that must be found."""

    kind: Kind
    start: int
    end: int


class MarkedText(Strict):
    """A text and the personal data in it, by hand."""

    text: str
    spans: tuple[MarkedSpan, ...]


@dataclass
class Score:
    """Counts of one kind, and the texts in question."""

    marked: int = 0
    found: int = 0
    reported: int = 0
    right: int = 0
    misses: list[tuple[str, str]] = field(default_factory=list)
    false: list[tuple[str, str]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.marked if self.marked else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.reported if self.reported else 1.0


def marked_texts(language: str) -> list[MarkedText]:
    """The marked set of a language.

    Raises:
        BadInput: the file is missing or malformed.
    """
    return read_jsonl(MARKED / f"marked.{language}.jsonl", MarkedText)


def measure(rows: Iterable[MarkedText], find: Callable[[str], list[Span]]) -> dict[Kind, Score]:
    """The score of a finder by kind."""
    scores: dict[Kind, Score] = defaultdict(Score)
    for row in rows:
        found = find(row.text)
        for mark in row.spans:
            score = scores[mark.kind]
            score.marked += 1
            covered = _places(found, mark.kind)
            if all(i in covered for i in range(mark.start, mark.end) if row.text[i].isalnum()):
                score.found += 1
            else:
                score.misses.append((row.text[mark.start : mark.end], row.text))
        for span in found:
            score = scores[span.kind]
            score.reported += 1
            if 2 * len(_places(row.spans, span.kind) & set(range(span.start, span.end))) >= span.end - span.start:
                score.right += 1
            else:
                score.false.append((row.text[span.start : span.end], row.text))
    return scores


def summed(scores: dict[Kind, Score], people: bool) -> Score:
    """The kinds of one level as one: structured, or names and addresses."""
    total = Score()
    for kind, score in scores.items():
        if (kind in PEOPLE) == people:
            counts = Counter(marked=score.marked, found=score.found, reported=score.reported, right=score.right)
            total = Score(*(getattr(total, name) + counts[name] for name in ("marked", "found", "reported", "right")))
    return total


def _places(spans: Iterable[Span | MarkedSpan], kind: Kind) -> set[int]:
    return {i for span in spans if span.kind == kind for i in range(span.start, span.end)}


def main() -> None:
    """Prints recall and precision by language and kind, then every miss and every false find."""
    from data.pii import find

    for language in ("en", "zh"):
        scores = measure(marked_texts(language), lambda text: find(text, people=True))
        levels = [("structured", summed(scores, people=False)), ("names and addresses", summed(scores, people=True))]
        for name, score in [*levels, *((kind, scores[kind]) for kind in KINDS)]:
            print(
                f"{language} {name:20} recall {score.recall:7.2%} ({score.found}/{score.marked})"
                f"  precision {score.precision:7.2%} ({score.right}/{score.reported})"
            )
        for what in ("misses", "false"):
            for kind in KINDS:
                for value, text in getattr(scores[kind], what):
                    print(f"  {language} {what}: {kind} {value!r} in {text!r}")


if __name__ == "__main__":
    main()
