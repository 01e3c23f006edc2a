"""`kefu faq check`: pairs of questions asked of the FAQ cache, and what it answers right and wrong.

`a` of a pair is added as an entry without calibration, beside the real ones; one that a real entry lists is that entry
already. `b` is asked as the first message of a conversation. Vectors are made all at once before, so that the time of
matching is told apart from the embedder's. Not covered: answers of the model after a miss.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape

from data.chat import language_of
from data.schema import FaqEntry, FaqPair
from evals.statistics import upper_bound
from pipelines.screen import screen
from serving.embedder import Embedder
from serving.faq_cache import FaqCache, Lookup, Matcher
from serving.faq_guards import Setting, bypass
from serving.faq_verifier import FALSE_HITS, HIT_RATE, Figures, Verifier, libraries, texts_of

ADDED = "asked"  # the id of an entry that a pair adds
_TIMED = 50  # texts that the embedder is given one by one to see what a customer waits for it


class _Ahead:
    """An embedder whose vectors of some texts were made before."""

    def __init__(self, embedder: Embedder, texts: Sequence[str]) -> None:
        self.name, self.embedder = embedder.name, embedder
        self.known = dict(zip(texts, embedder.embed(texts), strict=True)) if texts else {}

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.known[text] for text in texts])

    def seconds(self) -> list[float]:
        """What the embedder takes for a question, one at a time."""
        spent = []
        for text in list(self.known)[:_TIMED]:
            started = time.perf_counter()
            self.embedder.embed([text])
            spent.append(time.perf_counter() - started)
        return spent


def matcher_of(
    entries: Sequence[FaqEntry], verifier: Verifier, vectors: Mapping[str, NDArray[np.float32]], embedder: Embedder
) -> Matcher:
    """The matcher of some entries; texts without a vector are embedded."""
    calibration = verifier.fitted.calibration
    texts = texts_of(entries, calibration)
    missing = [text for text in texts if text not in vectors]
    known = dict(vectors)
    if missing:
        known |= dict(zip(missing, embedder.embed(missing), strict=True))
    return Matcher(libraries(entries, calibration, known), verifier, embedder)


@dataclass
class FaqCheck:
    """What came of the pairs. `elsewhere`: hits on another entry than `a`, which are neither true nor false ones."""

    pairs: list[FaqPair] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    styles: dict[str, Counter[str]] = field(default_factory=dict)
    languages: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[tuple[FaqPair, Lookup]] = field(default_factory=list)
    total: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # of each question that was matched, without the embedder
    ahead: _Ahead | None = None

    @classmethod
    def of(cls, pairs: Sequence[FaqPair], entries: Sequence[FaqEntry], matcher: Matcher | None) -> "FaqCheck":
        """Asks every pair.

        Raises:
            EnvironmentLacks: the embedder does not answer.
        """
        check = cls()
        if matcher is not None:
            check.ahead = _Ahead(matcher.embedder, _matched(pairs, FaqCache(entries)))
            matcher = Matcher(matcher.libraries, matcher.verifier, check.ahead)
        plain = FaqCache(entries, matcher)
        by_question: dict[tuple[str, str], list[FaqPair]] = {}
        for pair in pairs:
            by_question.setdefault((pair.a, pair.language or language_of(pair.b)), []).append(pair)
        for (question, language), of in by_question.items():
            listed = plain.exact(question)
            if listed is not None and listed.entry is not None and listed.entry.language == language:
                cache, target = plain, listed.entry.id
            else:
                added = FaqEntry.model_validate(
                    {"id": ADDED, "language": language, "question": question, "answer": "-"}
                )
                cache, target = _with(entries, added, matcher), ADDED
            for pair in of:
                check._ask(cache, pair, target)
        return check

    @property
    def figures(self) -> Figures:
        """The counts that are held against the bars."""
        same = sum(pair.same_answer for pair in self.pairs)
        others = len(self.pairs) - same
        return Figures(
            pairs=len(self.pairs),
            same=same,
            true_hits=self.total["true"],
            false_hits=self.total["false"],
            hit_rate=round(self.total["true"] / same, 4) if same else 0.0,
            false_hit_upper_95=round(upper_bound(self.total["false"], others), 6),
        )

    def body(self) -> dict[str, Any]:
        """What the command prints."""
        return {
            **self.figures.model_dump(),
            "passed": self.figures.passed,
            "elsewhere": self.total["elsewhere"],
            "wrong_entry": self.total["wrong_entry"],
            "kinds": dict(self.kinds),
            "styles": {name: dict(found) for name, found in sorted(self.styles.items())},
            "languages": {name: dict(found) for name, found in sorted(self.languages.items())},
            "milliseconds": {
                "match": _milliseconds(self.seconds),
                "embed": _milliseconds(self.ahead.seconds() if self.ahead else ()),
            },
        }

    def _ask(self, cache: FaqCache, pair: FaqPair, target: str) -> None:
        started = time.perf_counter()
        found = cache.lookup(pair.b)
        if cache.matcher is not None and found.kind in ("semantic", "miss"):
            self.seconds.append(time.perf_counter() - started)
        self.pairs.append(pair)
        outcome = _outcome(pair, found, target)
        self.total[outcome] += 1
        self.kinds[found.kind] += 1
        self.styles.setdefault(pair.style, Counter())[outcome] += 1
        self.languages.setdefault(pair.language or language_of(pair.b), Counter())[outcome] += 1
        if outcome in ("false", "wrong_entry"):
            self.wrong.append((pair, found))


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(seconds, p)) * 1000, 2) for p in (50, 95)} if seconds else {}


def _outcome(pair: FaqPair, found: Lookup, target: str) -> str:
    if found.entry is None:
        return "miss" if pair.same_answer else "refused"
    if found.entry.id == target:
        return "true" if pair.same_answer else "false"
    return "wrong_entry" if pair.same_answer else "elsewhere"


def _matched(pairs: Sequence[FaqPair], exact: FaqCache) -> list[str]:
    """The texts that need a vector, each once."""
    asked = [pair.b for pair in pairs if bypass(pair.b, Setting()) is None]
    return [text for text in dict.fromkeys([*asked, *(pair.a for pair in pairs)]) if exact.exact(text) is None]


def _with(entries: Sequence[FaqEntry], added: FaqEntry, matcher: Matcher | None) -> FaqCache:
    more = (*entries, added)
    return FaqCache(more, matcher.with_entry(added) if matcher else None)


def show(body: Mapping[str, Any], check: FaqCheck) -> None:
    """The figures for people, and every wrong answer."""
    out = screen()
    color = "green" if body["passed"] else "bold red"
    out.print(
        f"[{color}]{'passed' if body['passed'] else 'missed'}[/]  {body['true_hits']} of {body['same']} answered "
        f"({body['hit_rate']:.1%}, bar {HIT_RATE:.0%}); {body['false_hits']} of {body['pairs'] - body['same']} wrongly "
        f"(at most {body['false_hit_upper_95']:.2%} with 95 % confidence, bar {FALSE_HITS:.1%})"
    )
    for pair, found in check.wrong:
        name = found.entry.id if found.entry else ""
        out.print(
            escape(f"  {name}: {pair.b}  (asked for: {pair.a}; {found.kind} {found.probability:.3f})"), soft_wrap=True
        )
