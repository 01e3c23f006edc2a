"""Answers that were given already, a line each, so that an interrupted evaluation goes on where it stopped.

Whoever keeps a journal keeps it for one model, one set of prompts and one way of asking: a line knows its case alone. Not
covered: answers of another version of Kefu, which are passed over, and two processes that write into one file.
"""

import json
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from data.artifact import json_digest

A = TypeVar("A", bound=BaseModel)


class Journal(Generic[A]):
    """The answers in a file, which is made, with its folder, when the first one comes."""

    def __init__(self, path: Path, model: type[A]) -> None:
        self._path = path
        self._known: dict[str, A] = {}
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                kept = json.loads(line)
                self._known[kept["case"]] = model.model_validate(kept["answer"])
            except (ValueError, KeyError, TypeError):
                continue  # cut off when the run was, or of another version

    def __len__(self) -> int:
        """How many answers were there already."""
        return len(self._known)

    def find(self, case: BaseModel) -> A | None:
        """What was answered to a case."""
        return self._known.get(_key(case))

    def add(self, case: BaseModel, answer: A) -> None:
        """Keeps the answer to a case."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"case": _key(case), "answer": answer.model_dump(mode="json")}) + "\n")

    def forget(self) -> None:
        """Removes the file, once everything has been answered."""
        self._path.unlink(missing_ok=True)


def _key(case: BaseModel) -> str:
    return json_digest(case.model_dump())
