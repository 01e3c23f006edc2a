"""What changed from one corpus to another: rows that came and went, texts that changed sides or labels, settings.

Not covered: what the change does to a model.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from data.artifact import Corpus

SHOWN = 5  # examples of each kind


class Rows(NamedTuple):
    """A corpus as it is compared: rows by what they are for and say, labels and sides of utterances by their text."""

    train: Counter[tuple[str, str]]
    labels: dict[str, str]
    held_out: frozenset[str]


def diff(before: Corpus, after: Corpus) -> dict[str, Any]:
    """What is different in `after`, as JSON. Repetitions of a row count as rows."""
    old, new = _rows(before), _rows(after)
    return {
        "same": before.digest == after.digest,
        "added": _by_group(new.train - old.train),
        "removed": _by_group(old.train - new.train),
        "held_out": {"added": len(new.held_out - old.held_out), "removed": len(old.held_out - new.held_out)},
        "moved": {
            "to training": sorted(old.held_out & new.labels.keys() - new.held_out),
            "to held out": sorted(new.held_out & old.labels.keys() - old.held_out),
        },
        "relabelled": {
            text: [old.labels[text], label]
            for text, label in sorted(new.labels.items())
            if old.labels.get(text, label) != label
        },
        "dropped": _changed(before.facts["dropped"], after.facts["dropped"]),
        "section": _changed(before.manifest["section"], after.manifest["section"]),
        "inputs": _changed(before.manifest["inputs"], after.manifest["inputs"]),
    }


def _rows(corpus: Corpus) -> Rows:
    train: Counter[tuple[str, str]] = Counter()
    labels: dict[str, str] = {}
    with (corpus.folder / "train.jsonl").open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            train[f"{row['task']} {row['language']}", line] += 1
            if row.get("intent"):
                labels[row["messages"][-1]["content"]] = row["intent"]
    with (corpus.folder / "held_out.jsonl").open(encoding="utf-8") as file:
        held_out = {row["text"]: row["intent"] for row in map(json.loads, file)}
    return Rows(train, labels | held_out, frozenset(held_out))


def _by_group(rows: Counter[tuple[str, str]]) -> dict[str, Any]:
    """For each task and language the number of rows and the last messages of some."""
    groups: dict[str, dict[str, Any]] = {}
    for (group, line), count in sorted(rows.items()):
        found = groups.setdefault(group, {"rows": 0, "examples": []})
        found["rows"] += count
        if len(found["examples"]) < SHOWN:
            found["examples"].append(json.loads(line)["messages"][-1]["content"])
    return groups


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        key: [before.get(key), after.get(key)] for key in sorted({*before, *after}) if before.get(key) != after.get(key)
    }
