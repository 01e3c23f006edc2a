"""Rows on their way into a corpus: a database on disk, so that there may be more of them than memory holds.

Here a row is known by what it says: the same again is dropped, the same under two labels is found, near-duplicates under
one label are left out. Which row of several stays depends on their content alone, never on their order. Not covered: what a
row means (`data/build.py`).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Self
from urllib.parse import quote

from data.firewall import trigrams

Kind = Literal["utterance", "dialog"]
PERMUTATIONS, BANDS = 128, 32  # of MinHash: bands of 4 found each of 5,698 pairs that differ by a typo
AT_ONCE = 5_000  # rows

TABLE = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -200000;
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key INTEGER NOT NULL, label TEXT NOT NULL, language TEXT NOT NULL,
    rank INTEGER NOT NULL, held_out INTEGER NOT NULL, place TEXT NOT NULL, text TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (kind, key, label)
);
CREATE TABLE dropped (reason TEXT NOT NULL, place TEXT NOT NULL, text TEXT NOT NULL, what TEXT NOT NULL);
"""
ADD = """
INSERT INTO rows (kind, key, label, language, rank, held_out, place, text, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    language = excluded.language, rank = excluded.rank, held_out = excluded.held_out, place = excluded.place,
    text = excluded.text, body = excluded.body
WHERE excluded.body < body
"""


class Staged(NamedTuple):
    """One good row. `key` is a hash of what it says, `rank` decides its turn, `label` is its intent or empty; `text` is what
    near-duplicates are told by, `body` the row as JSON."""

    kind: Kind
    key: int
    label: str
    language: str
    rank: int
    held_out: bool
    place: str
    text: str
    body: str


class Dropped(NamedTuple):
    """One row that is left out, and why; `what` says what is wrong, or which row says the same."""

    reason: str
    place: str
    text: str
    what: str


class Staging:
    """The database, a new one or one that is only read. As a context manager it is closed in the end; a new one whose rows
    were refused is removed."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self._path, self._new = path, new
        mode = "mode=rwc" if new else "mode=ro&immutable=1"
        self._database = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None)
        if new:
            self._database.executescript(TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._database.close()
        if error and self._new:
            self._path.unlink()

    def add(self, rows: Iterable[Staged]) -> int:
        """Takes rows in and returns how many were new; of rows that say the same under one label one stays."""
        before = self._last()
        self._database.execute("BEGIN")
        self._database.executemany(ADD, rows)
        self._database.execute("COMMIT")
        return self._last() - before

    def drop(self, dropped: Iterable[Dropped]) -> None:
        """Remembers what was left out."""
        self._database.executemany("INSERT INTO dropped VALUES (?, ?, ?, ?)", dropped)

    def contradictions(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Each text of an utterance that has several labels, with these and their places."""
        found = self._database.execute(
            "SELECT key, label, place, text FROM rows WHERE kind = 'utterance' AND key IN (SELECT key FROM rows "
            "WHERE kind = 'utterance' GROUP BY key HAVING count(*) > 1) ORDER BY key, label"
        )
        texts: dict[int, tuple[str, list[tuple[str, str]]]] = {}
        for key, label, place, text in found:
            texts.setdefault(key, (text, []))[1].append((label, place))
        return list(texts.values())

    def drop_contradictions(self) -> None:
        """Leaves out every row of a text that has several labels: nobody knows which is right."""
        self.drop(
            Dropped("contradiction", place, text, f"labelled {' and '.join(label for label, _ in labels)}")
            for text, labels in self.contradictions()
            for _, place in labels
        )
        self._database.execute(
            "DELETE FROM rows WHERE kind = 'utterance' AND key IN (SELECT key FROM rows WHERE kind = 'utterance' "
            "GROUP BY key HAVING count(*) > 1)"
        )

    def drop_near_duplicates(self, similarity: float) -> None:
        """Leaves out rows whose text is about the same as that of an earlier row (by rank) of the same kind, language
        and label. `similarity` is the Jaccard similarity of character trigrams, estimated by MinHash; source: A. Broder,
        On the resemblance and containment of documents, 1997."""
        self._database.execute("CREATE INDEX IF NOT EXISTS turns ON rows (kind, language, label, rank, key)")
        groups = self._database.execute("SELECT DISTINCT kind, language, label FROM rows").fetchall()
        for group in groups:
            gone = list(self._near_duplicates(group, similarity))
            self._database.executemany("DELETE FROM rows WHERE id = ?", ((row,) for row, _ in gone))
            self.drop(dropped for _, dropped in gone)

    def _near_duplicates(self, group: tuple[str, str, str], similarity: float) -> Iterator[tuple[int, Dropped]]:
        from rensa import RMinHashDeduplicator

        index = RMinHashDeduplicator(similarity, PERMUTATIONS, use_lsh=True, num_bands=BANDS)
        rows = self._database.execute(
            "SELECT id, place, text FROM rows WHERE kind = ? AND language = ? AND label = ? ORDER BY rank, key", group
        )
        while batch := rows.fetchmany(AT_ONCE):
            letters = [trigrams(text) for _, _, text in batch]
            kept = index.add_pairs((place, shingles) for (_, place, _), shingles in zip(batch, letters, strict=True))
            for (row, place, text), shingles, keep in zip(batch, letters, kept, strict=True):
                if not keep:
                    like = next(iter(index.get_duplicate_sets([shingles])[0]), "a row before it")
                    yield row, Dropped("near-duplicate", place, text, f"about the same as {like}")

    def drop_held_out_dialogs(self) -> None:
        """Leaves out dialogs whose group is held out: there is nothing that they could be held out for."""
        gone = self._database.execute("SELECT place, text FROM rows WHERE kind = 'dialog' AND held_out").fetchall()
        self._database.execute("DELETE FROM rows WHERE kind = 'dialog' AND held_out")
        self.drop(Dropped("held-out group", place, text, "its group is on the other side") for place, text in gone)

    def keep_at_most(self, rows: int) -> None:
        """Leaves out utterances beyond this number for each language and label, the last by rank."""
        beyond = self._database.execute(
            "SELECT id, place, text FROM (SELECT *, row_number() OVER (PARTITION BY language, label ORDER BY rank, key) "
            "AS turn FROM rows WHERE kind = 'utterance') WHERE turn > ?",
            (rows,),
        ).fetchall()
        self._database.executemany("DELETE FROM rows WHERE id = ?", ((row,) for row, _, _ in beyond))
        self.drop(Dropped("over the limit", place, text, f"more than {rows}") for _, place, text in beyond)

    def utterances(self, language: str, *, held_out: bool) -> Iterator[str]:
        """The bodies of one side, labels in turn."""
        return self._bodies(
            "SELECT body FROM (SELECT body, rank, label, row_number() OVER (PARTITION BY label ORDER BY rank, key) AS turn "
            "FROM rows WHERE kind = 'utterance' AND language = ? AND held_out = ?) ORDER BY turn, label",
            (language, held_out),
        )

    def dialogs(self, language: str) -> Iterator[str]:
        """The bodies of the dialogs, by rank."""
        return self._bodies(
            "SELECT body FROM rows WHERE kind = 'dialog' AND language = ? ORDER BY rank, key", (language,)
        )

    def dropped(self) -> Iterator[Dropped]:
        """Everything that was left out, in the order in which it was."""
        return (Dropped(*row) for row in self._database.execute("SELECT * FROM dropped ORDER BY rowid"))

    def dropped_counts(self) -> dict[str, int]:
        """How many rows were left out for each reason."""
        return dict(self._database.execute("SELECT reason, count(*) FROM dropped GROUP BY reason ORDER BY reason"))

    def _bodies(self, query: str, given: tuple[object, ...]) -> Iterator[str]:
        return (body for (body,) in self._database.execute(query, given))

    def _last(self) -> int:
        """The id of the last row that came in, 0 before the first: as many as there are, while none is left out."""
        (last,) = self._database.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()
        return int(last)
