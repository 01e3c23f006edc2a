"""What a customer's question says, read by a list of concepts in both languages (`data/faq_words.yaml`).

A reading is what the verifier compares: concepts by kind, words that no concept explains, numbers. Questions in one
language often use the other's words, so both lists are read in every text. Not covered: grammar; who does what to whom
shows only where a concept names it.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from rapidfuzz.distance import OSA

import data
from data.schema import Strict, read_yaml
from serving.normalization import normalized

WORDS = Path(data.__file__).parent / "faq_words.yaml"
_LATIN = re.compile(r"[a-z][a-z0-9]*")
_HAN = re.compile(r"[\u3400-\u9fff]")
_A_NOT_A = re.compile(r"(.)[不没]\1")  # asks, does not deny
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_GAP = r"(?: \S+){0,4}? "
_LONG_ENOUGH = 5  # shorter words have too many neighbours to be corrected


class Concept(Strict):
    """The wordings of one concept."""

    en: tuple[str, ...] = ()
    zh: tuple[str, ...] = ()


class Words(Strict):
    """`faq_words.yaml`: concepts by kind, and words that say nothing."""

    topic: dict[str, Concept]
    ask: dict[str, Concept]
    particular: dict[str, Concept]
    modifier: dict[str, Concept]
    goods: dict[str, Concept]
    party: dict[str, Concept]
    filler: dict[str, Concept]
    silent: Concept


KINDS = ("topic", "ask", "particular", "modifier", "goods", "party")


@dataclass(frozen=True)
class Reading:
    """One question: its concepts as `kind.name`, its unexplained words (single characters in Chinese), its numbers."""

    concepts: frozenset[str]
    words: frozenset[str]
    numbers: frozenset[str]

    def of(self, kind: str) -> frozenset[str]:
        """The concepts of one kind."""
        return frozenset(name for name in self.concepts if name.startswith(kind + "."))


@lru_cache(maxsize=20_000)
def reading(question: str) -> Reading:
    """Reads one question."""
    latin = " ".join(_corrected(word) for word in _latin(question))
    line = normalized(question)
    han = _A_NOT_A.sub(r"\1", re.sub(r"\s", "", line)) if _HAN.search(line) else ""
    found: set[str] = set()
    seen_latin, seen_han = [False] * len(latin), [False] * len(han)
    for name, begins, pattern in _english():
        for match in pattern.finditer(latin) if begins in latin else ():
            found.add(name)
            for group in range(1, len(match.groups()) + 1):
                start, end = match.span(group)
                seen_latin[start:end] = [True] * (end - start)
    for name, pattern in _chinese() if han else ():
        for match in pattern.finditer(han):
            found.add(name)
            seen_han[match.start() : match.end()] = [True] * len(match.group())
    asked = next((name for name in _asks() if name in found), "ask.whether")
    concepts = {name for name in found if not name.startswith(("filler.", "ask."))} | {asked}
    left = _strange_words(latin, seen_latin) | _strange_marks(han, seen_han)
    return Reading(frozenset(concepts), frozenset(left), frozenset(_NUMBER.findall(line)))


def _latin(question: str) -> list[str]:
    text = question.casefold().replace("’", "'").replace("'", " ")
    return _LATIN.findall(re.sub(r"[^\x00-\x7f]", " ", text))


def _strange_words(latin: str, seen: list[bool]) -> set[str]:
    words = {m.group() for m in re.finditer(r"\S+", latin) if not all(seen[m.start() : m.end()])}
    return {_stem(word) for word in words - _silent_words() if len(word) > 1}


def _strange_marks(han: str, seen: list[bool]) -> set[str]:
    marks = {mark for mark, known in zip(han, seen, strict=True) if not known and _HAN.match(mark)}
    return marks - _silent_marks()


@cache
def _words() -> Words:
    return read_yaml(WORDS, Words)


@cache
def _asks() -> tuple[str, ...]:
    return tuple(f"ask.{name}" for name in _words().ask)


@cache
def _silent_words() -> frozenset[str]:
    return frozenset(_words().silent.en)


@cache
def _silent_marks() -> frozenset[str]:
    return frozenset("".join(_words().silent.zh))


def _concepts() -> list[tuple[str, Concept]]:
    words = _words()
    kinds = [*KINDS, "filler"]
    return [(f"{kind}.{name}", concept) for kind in kinds for name, concept in getattr(words, kind).items()]


@cache
def _english() -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """Each wording's expression, and the letters that it begins with: a text without them is not searched. The groups are
    what is said, without the gaps."""
    return tuple(
        (name, re.split(r"\*| \.\. ", text)[0], _wording(text)) for name, concept in _concepts() for text in concept.en
    )


@cache
def _chinese() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile("|".join(concept.zh))) for name, concept in _concepts() if concept.zh)


def _wording(text: str) -> re.Pattern[str]:
    parts = [re.escape(part).replace(r"\*", r"\S*").replace(r"\ ", " ") for part in text.split(" .. ")]
    return re.compile(r"(?<!\S)" + _GAP.join(f"({part})" for part in parts) + r"(?!\S)")


@cache
def _vocabulary() -> tuple[str, ...]:
    """Every English word that the list knows, by its beginning where it has a star."""
    words = {word.rstrip("*") for _, concept in _concepts() for text in concept.en for word in text.split()}
    return tuple(sorted((words | _silent_words()) - {".."}))


@lru_cache(maxsize=20_000)
def _corrected(word: str) -> str:
    """A misspelt word as the list spells it, by the nearest of its words that begin alike; else the word."""
    known = _vocabulary()
    if len(word) < _LONG_ENOUGH or any(word.startswith(k) for k in known if len(k) > _LONG_ENOUGH):
        return word
    if {word, _stem(word)} & set(known):
        return word
    limit = 1 if len(word) < 8 else 2
    alike = (k for k in known if len(k) >= _LONG_ENOUGH and k[0] == word[0])
    near = min(((OSA.distance(k, word), k) for k in alike), default=(limit + 1, word))
    return near[1] if near[0] <= limit else word


def _stem(word: str) -> str:
    """A word without its commonest endings; only so that two forms of one word count as one."""
    for ending, instead in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + instead
    return word
