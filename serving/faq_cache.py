"""Curated answers to frequent questions, found by exact match after normalization, in the language of the question.

Only what a person approved is ever served; what a model said is not cached. Not covered: paraphrases that are not
listed.
"""

import re
import unicodedata
from collections.abc import Iterable

from data.chat import language_of
from data.errors import BadInput
from data.schema import FaqEntry, Language

_BETWEEN_DIGITS = re.compile(r"(?<=\d)[.,:/-](?=\d)")  # 1.5 is not 15
_KEPT = "\ue000"  # stands for such a mark meanwhile; a private-use character that nobody types


class FaqCache:
    """The entries of one release. An entry's key is (id, language)."""

    def __init__(self, entries: Iterable[FaqEntry]) -> None:
        """Indexes the entries.

        Raises:
            BadInput: two entries of a language answer the same question.
        """
        self._index: dict[tuple[Language, str], FaqEntry] = {}
        for entry in entries:
            for question in (entry.question, *entry.questions):
                other = self._index.setdefault((entry.language, normalized(question)), entry)
                if other.id != entry.id:
                    raise BadInput(f"faq.yaml: {other.id} and {entry.id} both answer {question!r} ({entry.language})")

    def lookup(self, question: str) -> FaqEntry | None:
        """The entry that answers exactly this question, in the question's language, or None."""
        return self._index.get((language_of(question), normalized(question)))


def normalized(question: str) -> str:
    """A question without what does not change its meaning: width, case, punctuation, white space."""
    text = unicodedata.normalize("NFKC", question).casefold()
    text = _BETWEEN_DIGITS.sub(_KEPT, text.replace("'", "").replace("’", ""))
    words = "".join(" " if unicodedata.category(mark).startswith("P") else mark for mark in text).split()
    separator = "" if language_of(question) == "zh" else " "
    return separator.join(words).replace(_KEPT, ".")
