"""How often each entry answered, and what almost matched: the next questions to write.

Kept in memory, bounded, gone with the process; personal data is replaced before anything is kept. Not covered: figures
over time (`serving/telemetry.py`).
"""

import threading
import unicodedata
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

from data.pii import find
from data.schema import FaqEntry

KEPT = 200  # near misses
LENGTH = 200  # characters of each


@dataclass
class NearMiss:
    """A question that almost matched, as often as it came."""

    question: str
    id: str
    language: str
    probability: float
    because: tuple[str, ...]
    count: int = 1


class Tally:
    """Hits by entry and kind, and near misses."""

    def __init__(self) -> None:
        self._hits: Counter[tuple[str, str, str]] = Counter()
        self._near: OrderedDict[tuple[str, str], NearMiss] = OrderedDict()
        self._lock = threading.Lock()

    def hit(self, entry: FaqEntry, kind: str) -> None:
        """Counts an answer."""
        with self._lock:
            self._hits[entry.id, entry.language, kind] += 1

    def near_miss(self, question: str, entry: FaqEntry, probability: float, because: tuple[str, ...]) -> None:
        """Keeps a question that was nearly answered, without what is personal; the oldest ones go."""
        shown = redacted(question)
        with self._lock:
            known = self._near.pop((shown, entry.id), None)
            count = known.count + 1 if known else 1
            miss = NearMiss(shown, entry.id, entry.language, round(probability, 3), because, count)
            self._near[shown, entry.id] = miss
            if len(self._near) > KEPT:
                self._near.popitem(last=False)

    def hits(self, entry: FaqEntry) -> dict[str, int]:
        """How often an entry answered, by kind."""
        with self._lock:
            return {kind: self._hits[entry.id, entry.language, kind] for kind in ("exact", "semantic")}

    def near_misses(self) -> list[dict[str, Any]]:
        """The near misses, most frequent first."""
        with self._lock:
            found = [vars(miss).copy() for miss in self._near.values()]
        return sorted(found, key=lambda miss: (-miss["count"], -miss["probability"]))


def redacted(question: str) -> str:
    """A question as it may be kept: personal data and every run of digits replaced, cut to a length."""
    text = unicodedata.normalize("NFKC", question)
    for span in reversed(find(text)):
        text = f"{text[: span.start]}[{span.kind}]{text[span.end :]}"
    return "".join("#" if mark.isdigit() else mark for mark in text)[:LENGTH]
