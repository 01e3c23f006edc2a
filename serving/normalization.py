"""A question without what does not change its meaning. Not covered: spelling, word order, meaning."""

import re
import unicodedata

from data.chat import language_of

_BETWEEN_DIGITS = re.compile(r"(?<=\d)[.,:/-](?=\d)")  # 1.5 is not 15
_KEPT = "\ue000"  # stands for such a mark meanwhile; a private-use character that nobody types


def normalized(question: str) -> str:
    """A question without what does not change its meaning: width, case, punctuation, white space."""
    text = unicodedata.normalize("NFKC", question).casefold()
    text = _BETWEEN_DIGITS.sub(_KEPT, text.replace("'", "").replace("’", ""))
    words = "".join(" " if unicodedata.category(mark).startswith("P") else mark for mark in text).split()
    separator = "" if language_of(question) == "zh" else " "
    return separator.join(words).replace(_KEPT, ".")
