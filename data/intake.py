"""What comes in: each row cleaned, its label looked up, its texts held against the frozen cases, personal data in it
replaced, its side of the split decided. Not covered: what rows are to each other (`data/staging.py`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

from pydantic import ValidationError

from data.cleaning import cleaned
from data.errors import BadInput
from data.firewall import Firewall, case_firewall, conversation_firewall, normalized, user_text
from data.labels import foreign_label
from data.pii import redact
from data.rows import SHOWN, Found, explained
from data.schema import Utterance
from data.shop import Shop
from data.sources import Example
from data.staging import Dropped, Staged


class Intake:
    """Takes batches of rows, sorts the bad ones out and remembers every text that repeats a frozen case.

    `validation` is the share of held-out utterances.
    """

    def __init__(self, shop: Shop, validation: float) -> None:
        self.bad: list[Dropped] = []
        self.redacted: Counter[str] = Counter()  # pieces of personal data by their kind
        self._leaks: list[str] = []
        self._shop, self._taxonomy, self._validation = shop, shop.taxonomy, validation

    @cached_property
    def _cases(self) -> Firewall:
        return case_firewall(self._shop)

    @cached_property
    def _conversations(self) -> Firewall:
        return conversation_firewall(self._shop)

    def take(self, batch: Iterable[Found[Example]], *, people: bool) -> list[Staged]:
        """The good rows of a batch, with surrogates for personal data; `people`: for names and addresses, too."""
        good = [(found.place, row) for found in batch if (row := self._good(found, people))]
        messages = [
            (place, text)
            for place, row in good
            for text in (
                [row.text] if isinstance(row, Utterance) else [m.content for m in row.messages if m.role == "user"]
            )
        ]
        if messages:
            self._compare(self._cases, messages)
        whole = [(place, user_text(row.messages)) for place, row in good if not isinstance(row, Utterance)]
        if whole:
            self._compare(self._conversations, whole)
        return [self._staged(place, row, people) for place, row in good]

    def refuse_leaks(self) -> None:
        """Raises `BadInput` if any text repeated a frozen case."""
        if self._leaks:
            shown = "\n".join(f"  {leak}" for leak in self._leaks[:SHOWN])
            more = f"\n  ... and {len(self._leaks) - SHOWN} more" if len(self._leaks) > SHOWN else ""
            raise BadInput(
                f"{len(self._leaks)} training rows repeat a frozen evaluation case; remove or rewrite them:\n{shown}{more}"
            )

    def _good(self, found: Found[Example], people: bool) -> Example | None:
        """The row cleaned, or None; what is kept of a bad one has surrogates, too: it is written and shown."""
        if found.row is None:
            self.bad.append(Dropped("malformed", found.place, "", found.problem))
            return None
        try:
            row = cleaned(found.row)
        except ValidationError as error:
            reason, what = "malformed", explained(error)
        else:
            reason, what = "unknown label", foreign_label(row.intent, self._taxonomy)
            if not what:
                return row
        self.bad.append(Dropped(reason, found.place, said(redact(found.row, people=people)[0]), what))
        return None

    def _compare(self, firewall: Firewall, texts: Sequence[tuple[str, str]]) -> None:
        for index, case, similarity in firewall.leaks([text for _, text in texts]):
            place, text = texts[index]
            self._leaks.append(f"{place}: {text!r} ~ frozen case {case!r} ({similarity:.2f})")

    def _staged(self, place: str, row: Example, people: bool) -> Staged:
        """The row as it is kept; what it is known by and its side are decided before personal data is replaced."""
        redacted, kinds = redact(row, people=people)
        self.redacted.update(kinds)
        kept = (place, said(redacted), redacted.model_dump_json(exclude_defaults=True))
        if isinstance(row, Utterance):
            held_out = is_held_out(row.group or row.text, self._validation)
            key, rank = content_hash(normalized(row.text) or row.text), content_hash(row.text)
            return Staged("utterance", key, row.intent, row.language, rank, held_out, *kept)
        held_out = row.group is not None and is_held_out(row.group, self._validation)
        key = content_hash(row.model_dump_json(include={"messages", "tools", "thinking"}))
        return Staged("dialog", key, row.intent or "", row.language, content_hash(row.id), held_out, *kept)


def is_held_out(text: str, share: float) -> bool:
    """Whether a text, or a group of rows by its name, belongs to the held-out side: decided by its content alone."""
    return content_hash(normalized(text) or text) % 10_000 < share * 10_000


def content_hash(text: str) -> int:
    """63 bits of a text's SHA-256: the same everywhere, and SQLite's integers hold it."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def said(row: Example) -> str:
    """What near-duplicates are told by: an utterance's text, everything that is said and called in a dialog."""
    if isinstance(row, Utterance):
        return row.text
    calls = (json.dumps(c.function.arguments, ensure_ascii=False) for m in row.messages for c in m.tool_calls)
    return "\n".join([*(message.content for message in row.messages), *calls])


def refusal(problems: Sequence[Dropped]) -> BadInput:
    """The error that names what is wrong: counts by reason, then the first rows with their places."""
    kinds = Counter(problem.reason for problem in problems)
    counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(kinds.items()))
    lines = [f"{one.place}: {one.text!r} {one.what}" if one.text else f"{one.place}: {one.what}" for one in problems]
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    what_to_do = "mend them (`kefu data check` names them all), or leave them out with data.bad_rows: drop"
    return BadInput(
        "\n".join([f"{len(lines)} rows cannot be trained on ({counts}); {what_to_do}", *lines[:SHOWN], *more])
    )
