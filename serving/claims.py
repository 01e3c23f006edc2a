"""Holds back what a model must not say: sentences that claim that something was done.

The server words the outcomes of writes; a model that says "I have updated your address" has at best guessed. What is said
to have been done by the agent never passes. What is said to be so ("your order is cancelled") passes where a tool said so
in this very turn, or where it was done in this conversation and the sentence names the order.
Detection is by patterns in two languages, on whole sentences. Not covered: claims spread over several sentences, promises
("I will ..."), other languages, claims about a team's own tools that are worded as none of the eight is.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.schema import Language
from serving import wording
from serving.claim_patterns import CLAIMS, Kind

# What a write lets be said, and of which order.
_OF_TOOL: dict[str, tuple[Kind, ...]] = {
    "update_delivery_address": ("address",),
    "cancel_order": ("cancel", "refund"),
    "create_return": ("return",),
    "request_invoice": ("invoice",),
    "transfer_to_human": ("human",),
}

_CONDITION = re.compile(
    r"\b(?:if|once|when|after|before|until|unless|whether|would|could|can)\b"
    r"|如果|若|一旦|等.{0,12}后|之后|以后|是否|可以|能否|需要",
    re.IGNORECASE,
)
# A line break or a sentence's end; a full stop only before white space, so that 3.5 and "No.5" stay whole.
_END = re.compile(r"(?<=[。！？!?；;\n])|(?<=\.)(?=\s)")
_DATE = re.compile(r"\d{4}\s*[-/年]\s*\d{1,2}\s*[-/月]\s*\d{1,2}|¥\s*[\d.,]+|[\d.,]+\s*(?:元|yuan)")
_NUMBER = re.compile(r"[A-Za-z0-9]*\d{4,}")


@dataclass(frozen=True)
class Known:
    """What may be said because it is so: kinds of outcome, each with its orders. `seen` was read in this turn, `done` was
    done in this conversation; a hand-over is of no order."""

    seen: Mapping[str, frozenset[str]] = field(default_factory=dict)
    done: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, reads: Collection[Mapping[str, Any]], writes: Collection[tuple[str, Mapping[str, Any]]] = ()
    ) -> "Known":
        """From what reads of this turn gave and from the writes that were done, tool and arguments."""
        seen: dict[str, set[str]] = {}
        for found in reads:
            order = str(found.get("order_id", ""))
            if found.get("status") == "cancelled":
                seen.setdefault("cancel", set()).add(order)
            if found.get("refunds"):
                seen.setdefault("refund", set()).add(order)
        done: dict[str, set[str]] = {}
        for tool, arguments in writes:
            for kind in _OF_TOOL.get(tool, ()):
                done.setdefault(kind, set()).add(str(arguments.get("order_id", "")))
        return cls(_frozen(seen), _frozen(done))

    def bears_out(self, kind: Kind, sentence: str) -> bool:
        """Whether a sentence may say this kind of outcome: all orders that it names are known to have it."""
        named = set(_NUMBER.findall(_DATE.sub(" ", sentence)))
        seen, done = self.seen.get(kind, frozenset()), self.done.get(kind, frozenset())
        if not named:
            return bool(seen) or "" in done
        return named <= seen | done


@dataclass(frozen=True)
class Checked:
    """A model's text as it may leave, sentence by sentence, and how many sentences were held back."""

    sentences: tuple[str, ...]
    withheld: int

    @property
    def text(self) -> str:
        return "".join(self.sentences)


def sentences(text: str) -> list[str]:
    """Splits a text into sentences with their punctuation and white space; joined, they are the text again."""
    return [part for part in _END.split(text) if part]


def claims_write(sentence: str, known: Known | None = None) -> bool:
    """Whether a sentence says that something was done that is not known to be. A condition ("once it has been changed, ...")
    does not."""
    known = known or Known()
    return any(kind == "any" or not known.bears_out(kind, sentence) for kind in _claims(sentence))


def checked(text: str, language: Language, known: Known | None = None) -> Checked:
    """The text without claims of writes; the server's own words stand where the first one stood."""
    kept: list[str] = []
    held = 0
    for sentence in sentences(text):
        if not claims_write(sentence, known):
            kept.append(sentence)
            continue
        if not held:
            kept.append(_spaced(wording.withheld(language), kept, language))
        held += 1
    return Checked(tuple(kept), held)


def _claims(sentence: str) -> Iterator[Kind]:
    """The kinds of outcome that a sentence claims."""
    at = 0
    for clause in re.split("[,，。]", sentence):
        for kind, pattern in CLAIMS:
            for claim in pattern.finditer(clause):
                # "if you ask for one, a colleague will call": a promise hangs on any condition before it
                start = 0 if kind == "human" else at
                if not _CONDITION.search(sentence, start, at + claim.start()):
                    yield kind
        at += len(clause) + 1


def _frozen(orders: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {kind: frozenset(numbers) for kind, numbers in orders.items()}


def _spaced(words: str, before: list[str], language: Language) -> str:
    joins = not before or before[-1].endswith(("\n", " ")) or language == "zh"
    return words if joins else f" {words}"
