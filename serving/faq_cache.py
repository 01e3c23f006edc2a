"""Curated answers to frequent questions, in the language of the question.

Three steps: the very question after normalization; what must not be answered by likeness at all; then the nearest
entries by vector and words, judged by a verifier that reads both questions. Only what a person approved is ever served.
Without a verifier that passed its check, the first step is the only one. Not covered: fitting (`pipelines/faq_fit.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from data.chat import language_of
from data.errors import BadInput, EnvironmentLacks
from data.schema import FaqEntry, Language
from serving.embedder import Embedder
from serving.faq_evidence import evidence
from serving.faq_guards import Setting, bypass
from serving.faq_library import Library, Question
from serving.faq_verifier import Verdict, Verifier
from serving.normalization import normalized

Kind = Literal["exact", "semantic", "miss", "bypass"]
CANDIDATES = 6  # judged; where they stop, the right entry is among them for 98 of 100 paraphrases
NEAR_MISS = 0.5  # the probability from which a question that is no hit is worth a look
_FIRST = Setting()


@dataclass(frozen=True)
class Lookup:
    """What a look-up found: the entry that answers, if any, and how; of a near miss the verdict."""

    kind: Kind
    entry: FaqEntry | None = None
    probability: float = 0.0
    reason: str = ""  # of a bypass
    near: Verdict | None = None

    def public(self) -> dict[str, str] | None:
        """`kefu.cache` of an answer; None unless an entry answered."""
        if self.entry is None:
            return None
        told = {"kind": self.kind, "id": self.entry.id}
        return told if self.kind == "exact" else {**told, "probability": f"{self.probability:.3f}"}


class Matcher:
    """Answers by likeness: entries by language, the verifier, and an embedder that its vectors came from."""

    def __init__(self, libraries: dict[Language, Library], verifier: Verifier, embedder: Embedder) -> None:
        self.libraries, self.verifier, self.embedder = libraries, verifier, embedder

    def with_entry(self, entry: FaqEntry) -> "Matcher":
        """This matcher and one more entry, known by its question alone: the threshold for all applies to it."""
        library = self.libraries.get(entry.language)
        if library is None:
            return self
        more = library.with_entry(entry, self.embedder.embed([entry.question])[0])
        return Matcher({**self.libraries, entry.language: more}, self.verifier, self.embedder)

    def match(self, question: str, language: Language) -> Verdict | None:
        """The verdict on the most probable entry; None if there are none in this language.

        Raises:
            EnvironmentLacks: the embedder does not answer.
        """
        library = self.libraries.get(language)
        if library is None:
            return None
        asked = Question.of(question, self.embedder.embed([question])[0])
        verdicts = self.verifier.judge(evidence(library, asked, library.near(asked), CANDIDATES))
        return next((verdict for verdict in verdicts if verdict.hit), verdicts[0] if verdicts else None)


class FaqCache:
    """The entries of one release. An entry's key is (id, language)."""

    def __init__(self, entries: Iterable[FaqEntry], matcher: Matcher | None = None) -> None:
        """Indexes the entries. Without a `matcher` only the very questions hit.

        Raises:
            BadInput: two entries of a language answer the same question.
        """
        self.entries, self.matcher = tuple(entries), matcher
        self._index: dict[tuple[Language, str], FaqEntry] = {}
        for entry in self.entries:
            for question in (entry.question, *entry.questions):
                other = self._index.setdefault((entry.language, normalized(question)), entry)
                if other.id != entry.id:
                    raise BadInput(f"faq.yaml: {other.id} and {entry.id} both answer {question!r} ({entry.language})")

    def exact(self, question: str) -> Lookup | None:
        """The entry that lists this very question, in the question's language, or None."""
        entry = self._index.get((language_of(question), normalized(question)))
        return Lookup("exact", entry, 1.0) if entry else None

    def lookup(self, question: str, setting: Setting = _FIRST) -> Lookup:
        """What answers a question that stands in a conversation; an embedder that is away makes it a miss."""
        found = self.exact(question)
        if found is not None or self.matcher is None:
            return found or Lookup("miss")
        reason = bypass(question, setting)
        if reason is not None:
            return Lookup("bypass", reason=reason)
        try:
            verdict = self.matcher.match(question, language_of(question))
        except EnvironmentLacks:
            return Lookup("miss", reason="embedder")
        if verdict is None:
            return Lookup("miss")
        if verdict.hit:
            return Lookup("semantic", verdict.entry, verdict.probability)
        return Lookup("miss", near=verdict if verdict.probability >= NEAR_MISS else None)
