"""The entries of one language and all that they are known by, laid out so that a question is compared with everything
at once: one matrix of vectors, one of concepts.

Not covered: what the numbers mean for a hit (`serving/faq_evidence.py`).
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.schema import FaqEntry, Language
from serving.faq_reading import Reading, reading
from serving.normalization import normalized

Floats: TypeAlias = NDArray[np.float32]
Role = Literal["listed", "paraphrase", "negative", "foreign", "answer"]
UNKNOWN = 4.0  # the weight of a concept that no entry has, about that of one that a single entry has
SHORTLIST = 24  # entries that are looked at closely


@dataclass(frozen=True)
class Anchor:
    """One text that an entry is known by. `foreign` is a question it lists in the other language."""

    text: str
    role: Role
    reading: Reading

    @property
    def positive(self) -> bool:
        """Whether it asks for the entry's answer in the entry's language."""
        return self.role in ("listed", "paraphrase")


@dataclass(frozen=True)
class Question:
    """A question as it is compared."""

    text: str
    reading: Reading
    vector: Floats

    @classmethod
    def of(cls, text: str, vector: Floats) -> "Question":
        """Reads a question whose vector is known."""
        return cls(text, reading(text), vector)


@dataclass(frozen=True)
class Near:
    """How near a question is to one entry's anchors: by vector, by concepts, by spelling; row for row."""

    entry: FaqEntry
    anchors: tuple[Anchor, ...]
    vector: tuple[float, ...]
    said: tuple[float, ...]
    spelt: tuple[float, ...]

    def best(self, of: Literal["vector", "said", "spelt"], *roles: Role) -> float | None:
        """The highest likeness to an anchor of these roles; None if there is none."""
        values = [value for anchor, value in zip(self.anchors, getattr(self, of), strict=True) if anchor.role in roles]
        return max(values, default=None)

    @property
    def score(self) -> float:
        """What candidates are ordered by."""
        vector, said, spelt = (self.best(of, "listed", "paraphrase") or 0.0 for of in ("vector", "said", "spelt"))
        return vector + 0.5 * said + 0.3 * spelt


class Library:
    """Entries of one language with their anchors and vectors."""

    def __init__(
        self,
        language: Language,
        entries: Sequence[FaqEntry],
        anchors: Sequence[Sequence[Anchor]],
        vectors: Sequence[Floats],
        center: Floats,
    ) -> None:
        """`anchors[i]` and the rows of `vectors[i]` belong to `entries[i]`; `center` is taken off every vector."""
        self.language, self.entries, self._anchors, self._center = language, list(entries), list(anchors), center
        self._raw = list(vectors)
        rows = [anchor for of in anchors for anchor in of]
        self._start = np.cumsum([0, *(len(of) for of in anchors)])
        self._vectors = _unit(np.concatenate(vectors) - center)
        self._weights = self._weigh()
        self._names = {name: i for i, name in enumerate(sorted(self._weights))}
        self._said = np.stack([self._concepts(anchor.reading) for anchor in rows])
        self._positive = np.array([anchor.positive for anchor in rows])

    def with_entry(self, entry: FaqEntry, vector: Floats) -> "Library":
        """This library and one more entry, known by its question alone."""
        anchor = Anchor(entry.question, "listed", reading(entry.question))
        more = [*self.entries, entry], [*self._anchors, [anchor]], [*self._raw, vector[np.newaxis]]
        return Library(self.language, *more, self._center)

    def centered(self, vector: Floats) -> Floats:
        """A vector as this library compares it."""
        return _unit(vector - self._center)

    def weigh(self, names: Collection[str]) -> float:
        """How much some concepts tell together: rare ones among the entries more."""
        return sum(self._weights.get(name, UNKNOWN) for name in sorted(names))

    def likeness(self, a: Reading, b: Reading) -> float:
        """The cosine of two readings' concepts, 0 to 1."""
        both = self.weigh(a.concepts & b.concepts)
        return both / math.sqrt(self.weigh(a.concepts) * self.weigh(b.concepts)) if both else 0.0

    def near(self, question: Question, without: Collection[tuple[int, int]] = ()) -> list[Near]:
        """The nearest entries, nearest first. `without` leaves out anchors by entry and place, for cross-validation."""
        vector = _products(self._vectors, self.centered(question.vector))
        said = _products(self._said, self._concepts(question.reading))
        seen = np.ones(len(vector), dtype=bool)
        for entry, place in without:
            seen[self._start[entry] + place] = False
        rough = np.where(seen & self._positive, vector + 0.5 * said, -np.inf)
        best = np.maximum.reduceat(rough, self._start[:-1])
        order = np.argsort(-best, kind="stable")[:SHORTLIST]
        grams = _grams(question.text)
        close = [self._near(int(i), vector, said, seen, grams) for i in order if np.isfinite(best[i])]
        return sorted(close, key=lambda near: (-near.score, near.entry.id))

    def _near(self, index: int, vector: Floats, said: Floats, seen: NDArray[np.bool_], grams: frozenset[str]) -> Near:
        rows = [row for row in range(self._start[index], self._start[index + 1]) if seen[row]]
        anchors = tuple(self._anchors[index][row - self._start[index]] for row in rows)
        spelt = tuple(_overlap(grams, _grams(anchor.text)) for anchor in anchors)
        values = tuple(float(vector[row]) for row in rows), tuple(float(said[row]) for row in rows)
        return Near(self.entries[index], anchors, *values, spelt)

    def _weigh(self) -> dict[str, float]:
        counts: Counter[str] = Counter()
        for anchors in self._anchors:
            told = [a.reading.concepts for a in anchors if a.role in ("listed", "foreign")]
            counts.update(frozenset().union(*told))
        n = len(self._anchors)
        return {name: max(math.log((n + 1) / (count + 0.5)), 0.05) for name, count in counts.items()}

    def _concepts(self, read: Reading) -> Floats:
        row = np.zeros(len(self._names), dtype=np.float32)
        total = self.weigh(read.concepts)
        for name in read.concepts & self._names.keys():
            row[self._names[name]] = math.sqrt(self._weights[name] / total)
        return row


def _products(rows: Floats, of: Floats) -> Floats:
    """Each row times `of`, in this thread: the threads of a BLAS would spin beside the engine for so small a product."""
    found: Floats = np.einsum("rd,d->r", rows, of)
    return found


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: Floats = (rows / np.maximum(norms, 1e-9)).astype(np.float32)
    return unit


@lru_cache(maxsize=20_000)
def _grams(text: str) -> frozenset[str]:
    """Pieces of a normalized text: three characters, two in Chinese."""
    line = normalized(text)
    size = 2 if any("\u3400" <= mark <= "\u9fff" for mark in line) else 3
    return frozenset(line[i : i + size] for i in range(max(1, len(line) - size + 1)))


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / math.sqrt(len(a) * len(b)) if a and b else 0.0
