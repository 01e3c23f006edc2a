"""Labels held against the taxonomy and against each other. Not covered: whether a label is right for its text."""

import difflib
import re
from collections.abc import Iterator

from data.schema import Taxonomy, Utterance


def meant(label: str, taxonomy: Taxonomy) -> str:
    """The end of a message about a label that the taxonomy lacks: the valid one that its writer may have meant, if any is near.

    Case, separators and the Chinese titles of the intents are understood; else the spelling decides.
    """
    plain = _plain(label)
    for name, intent in taxonomy.intents.items():
        if plain in (_plain(name), _plain(intent.zh)):
            return f"; meant {name}?"
    near = difflib.get_close_matches(plain, names := {_plain(name): name for name in taxonomy.names}, n=1)
    return f"; meant {names[near[0]]}?" if near else ""


def foreign_label(label: str | None, taxonomy: Taxonomy) -> str:
    """What is wrong with a label, or nothing; the same words for every row that has it."""
    if label is None or label in taxonomy.intents:
        return ""
    if label.isdigit():
        return f"{label!r} is a number, not an intent; say which intents the numbers are (labels of the source)"
    return f"{label!r} is not in intents.yaml{meant(label, taxonomy)}"


def same_texts(utterances: dict[str, Utterance], key: dict[str, str]) -> tuple[Iterator[tuple[str, str]], int]:
    """The (place, problem) of texts that carry two labels, and the number of those that carry the same one again. `key` is
    each text as it is compared, by place."""
    first: dict[str, str] = {}
    contradictions, duplicates = [], 0
    for place, row in utterances.items():
        before = first.setdefault(key[place] or row.text, place)
        if before == place:
            continue
        if utterances[before].intent == row.intent:
            duplicates += 1
        else:
            other = utterances[before].intent
            contradictions.append((place, f"{row.text!r} is {row.intent}, and {other} at {before}"))
    return iter(contradictions), duplicates


def _plain(label: str) -> str:
    return re.sub(r"[\W_]+", "_", label.strip().casefold()).strip("_")
