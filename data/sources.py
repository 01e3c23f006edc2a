"""Where training examples come from, each source behind one small adapter chosen in the recipe by name.

Not covered yet: ShareGPT, CSV and Parquet, Hub data sets, production traces.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from data.errors import BadInput
from data.schema import Dialog, Utterance, read_jsonl
from data.shop import Shop


@dataclass(frozen=True)
class Examples:
    """What a source yields: labelled utterances and whole dialogs."""

    utterances: list[Utterance]
    dialogs: list[Dialog]

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(self.utterances + other.utterances, self.dialogs + other.dialogs)


def from_shop(shop: Shop) -> Examples:
    """The shop's own `train/` files."""
    return Examples(shop.utterances(), shop.dialogs())


def from_jsonl(path: Path) -> Examples:
    """One JSON lines file of dialogs (rows with `messages`) or of utterances (rows with `text`), told by its first line.

    Raises:
        BadInput: the file is missing, empty or malformed; bad lines are named.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file (data.sources: jsonl); expected JSON lines of dialogs or utterances")
    with path.open(encoding="utf-8", errors="replace") as file:
        first = next((line for line in file if line.strip()), "")
    try:
        keys = json.loads(first or "{}").keys()
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{path}:1: not a JSON object; expected one dialog or utterance a line") from error
    if "messages" in keys:
        return Examples([], read_jsonl(path, Dialog))
    return Examples(read_jsonl(path, Utterance), [])
