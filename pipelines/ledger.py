"""The ledger: who served when. JSON lines below `$KEFU_HOME`, appended and synced, never rewritten.

A move (promotion, rollback) is written as an intent before anything happens, and as done after the aliases have moved.
An intent is the decision: what it names is the champion, even while MLflow has not heard of it. Not covered: several
homes that promote against one MLflow server.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError

from data.artifact import home
from data.errors import BadInput
from data.schema import Strict


class Mark(Strict):
    """A registered version and the digest of its release."""

    version: str
    digest: str
    name: str = ""
    mechanics: bool = False


class Entry(Strict):
    """One line. `seen`: a serving machine has fetched and verified a champion that was promoted elsewhere."""

    move: str  # joins an intent and its end
    step: Literal["intent", "done", "seen"]
    action: Literal["promote", "rollback", "seen"]
    at: str
    champion: Mark
    previous: Mark | None = None


@dataclass(frozen=True)
class Standing:
    """What the lines add up to: the champions, the serving one last; and the move that was not finished."""

    champions: tuple[Mark, ...]
    unfinished: Entry | None
    moved: bool  # whether this home has ever promoted or rolled back

    @property
    def champion(self) -> Mark | None:
        return self.champions[-1] if self.champions else None

    @property
    def previous(self) -> Mark | None:
        return self.champions[-2] if len(self.champions) > 1 else None

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """Adds the lines up: a promotion puts a champion on top, a rollback takes one off."""
        champions: list[Mark] = []
        unfinished: Entry | None = None
        moved = False
        for entry in entries:
            if entry.step == "done":
                unfinished = None
            elif entry.step == "intent":
                if not moved and entry.previous is not None:  # what stood before this home's first own move
                    champions = [entry.previous]
                moved, unfinished = True, entry
                if entry.action == "promote":
                    champions.append(entry.champion)
                else:
                    champions = champions[:-1] if champions[-2:-1] == [entry.champion] else [entry.champion]
            elif not moved:
                champions = [entry.champion]
        return cls(tuple(champions), unfinished, moved)


@dataclass(frozen=True)
class Ledger:
    """The file."""

    path: Path

    @classmethod
    def default(cls) -> Self:
        return cls(home() / "ledger.jsonl")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time moves anything."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def entries(self) -> list[Entry]:
        """Every line. What follows the last newline was torn by a crash, was never an entry, and is passed over.

        Raises:
            BadInput: a line cannot be read.
        """
        if not self.path.exists():
            return []
        *lines, _torn = self.path.read_text(encoding="utf-8").split("\n")
        entries = []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(Entry.model_validate_json(line))
            except ValidationError as error:
                raise BadInput(
                    f"{self.path}:{number}: not a ledger entry; the ledger is never edited by hand"
                ) from error
        return entries

    def standing(self) -> Standing:
        """What stands now."""
        return Standing.of(self.entries())

    def append(self, entry: Entry) -> None:
        """Adds a line and waits until it is on the disk."""
        text = entry.model_dump_json(exclude_defaults=True) + "\n"
        with self.path.open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)  # what follows the last newline was never an entry
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


def now() -> str:
    """The time as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def dump(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """The entries as plain JSON."""
    return [json.loads(entry.model_dump_json(exclude_none=True)) for entry in entries]


def last_move_seconds(entries: Sequence[Entry]) -> float | None:
    """How long the newest finished move took, from its intent to its end."""
    ended = next((entry for entry in reversed(entries) if entry.step == "done"), None)
    began = next((e for e in entries if ended and e.move == ended.move and e.step == "intent"), None)
    if ended is None or began is None:
        return None
    return (datetime.fromisoformat(ended.at) - datetime.fromisoformat(began.at)).total_seconds()
