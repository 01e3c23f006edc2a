"""The leak firewall: no frozen evaluation case, nor a near-duplicate of one, reaches training.

Three looks at each pair of texts that share enough letters: the same letters in a row (a few changed words stay above the
line, a paraphrase far below), few edits (typos in short texts), the same words in another order. Not covered: paraphrases;
a case that the model is meant to generalize to may well say the same in other words.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from data.schema import Message
from data.shop import Shop

TRIGRAMS = 0.6  # Jaccard similarity of character trigrams: one typo or another number stays above it
EDITS = 0.85  # Levenshtein similarity of the letters
WORDS = 0.85  # Jaccard similarity of the words with their counts
CANDIDATE = 0.2  # Jaccard similarity of trigrams below which nobody looks closer
NO_LETTERS = re.compile(r"[\W_]+")
WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


class Leak(NamedTuple):
    """A text, by its place among those given, the frozen case that it repeats, and how similar they are, 0 to 1."""

    place: int
    case: str
    similarity: float


class Firewall:
    """Frozen texts, ready to be compared with any number of others."""

    def __init__(self, cases: Iterable[str]) -> None:
        self.cases = tuple(dict.fromkeys(cases))

    @cached_property
    def _frozen(self) -> Any:
        """Which trigrams each case has, as a sparse matrix [cases, trigrams]; made at the first look."""
        return self._vectorizer.transform(self.cases)

    @cached_property
    def _letters(self) -> list[str]:
        return [normalized(case) for case in self.cases]

    @cached_property
    def _words(self) -> list[Counter[str]]:
        return [_words(case) for case in self.cases]

    @cached_property
    def _vectorizer(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(analyzer=trigrams, n_features=2**20, binary=True, norm=None, dtype="float32")

    def leaks(self, texts: Sequence[str]) -> list[Leak]:
        """Each of the texts that repeats a frozen one, with the nearest such case."""
        if not texts or not self.cases:
            return []
        rows = self._vectorizer.transform(texts)
        shared = (rows @ self._frozen.T).tocoo()
        sizes = rows.getnnz(axis=1)[shared.row] + self._frozen.getnnz(axis=1)[shared.col]
        jaccard = shared.data / (sizes - shared.data)
        near = jaccard >= CANDIDATE
        found: dict[int, Leak] = {}
        for index, case, trigrams in zip(shared.row[near], shared.col[near], jaccard[near], strict=True):
            similarity = self._similarity(texts[index], int(case), float(trigrams))
            if similarity and (index not in found or similarity > found[index].similarity):
                found[index] = Leak(int(index), self.cases[case], similarity)
        return list(found.values())

    def _similarity(self, text: str, case: int, trigrams: float) -> float:
        """The similarity by the first look that says the same, 0 if none does."""
        from rapidfuzz.distance import Levenshtein

        if trigrams >= TRIGRAMS:
            return trigrams
        edits = Levenshtein.normalized_similarity(normalized(text), self._letters[case], score_cutoff=EDITS)
        if edits >= EDITS:
            return float(edits)
        mine, theirs = _words(text), self._words[case]
        words = (mine & theirs).total() / (mine | theirs).total()
        return words if words >= WORDS else 0.0


def case_firewall(shop: Shop) -> Firewall:
    """Against what customers ask in the shop's frozen cases, one message each: intent cases and pairs of FAQ questions."""
    return Firewall([case.text for case in shop.intent_cases()] + [pair.b for pair in shop.faq_pairs()])


def conversation_firewall(shop: Shop) -> Firewall:
    """Against the shop's frozen tool cases. Their earlier turns are often single words; what they test is the whole
    conversation, so whole conversations are compared (`user_text`)."""
    return Firewall(user_text(case.messages) for case in shop.tool_cases())


def user_text(messages: Iterable[Message]) -> str:
    """Everything that the customer says in a conversation."""
    return "\n".join(message.content for message in messages if message.role == "user")


@lru_cache(maxsize=2**14)
def normalized(text: str) -> str:
    """The text as duplicates are compared: NFKC, lower case, letters and digits only."""
    return NO_LETTERS.sub("", unicodedata.normalize("NFKC", text).casefold())


def trigrams(text: str) -> list[str]:
    """The character trigrams of the normalized text, its ends marked."""
    plain = f"^{normalized(text)}$"
    return [plain[i : i + 3] for i in range(max(1, len(plain) - 2))]


def _words(text: str) -> Counter[str]:
    """Words, and Han characters one by one, with their counts."""
    return Counter(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
