"""What the labels of others are called in a shop's taxonomy: by the recipe's own map, by the same name, or by the ready map of
a known data set (`data/maps/NAME.yaml`). A label that no map answers for is refused, with the nearest intents.

A label may be mapped to null: it has no intent here. Its utterances are then left out; a dialog stays, without an intent. Not
covered: one foreign label that means several intents here.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from data.errors import BadInput
from data.schema import Strict, Taxonomy, read_yaml

_MAPS = Path(__file__).resolve().parent / "maps"
_SUGGESTED = 3


class LabelMap(Strict):
    """What a recipe says about foreign labels."""

    labels: dict[str, str | None] = Field(
        default_factory=dict
    )  # foreign label -> ours, or null; others stay as they are
    others: Literal["refuse", "unlabelled"] = "refuse"  # a label that neither a map nor the taxonomy knows

    def intent(self, label: str, taxonomy: Taxonomy) -> str | None:
        """The intent of one label; an unknown one stays as it is, for the build to refuse, or becomes none."""
        if label in self.labels:
            return self.labels[label]
        return None if self.others == "unlabelled" and label not in taxonomy.intents else label


class ReadyMap(Strict):
    """A data set's own labels: those with an intent of the default taxonomy (null: plainly none), and the rest."""

    intents: dict[str, str | None] = Field(default_factory=dict)
    unmapped: tuple[str, ...] = ()

    @classmethod
    @cache
    def of(cls, name: str) -> "ReadyMap":
        """The map in `data/maps/NAME.yaml`."""
        return read_yaml(_MAPS / f"{name}.yaml", cls)

    @property
    def names(self) -> tuple[str, ...]:
        """All labels of the data set."""
        return (*self.intents, *self.unmapped)


class ReadyLabels(LabelMap):
    """The labels of a data set that is known whole, so that everything wrong with them is said before the first row is read.
    A subclass is a source whose `name` is also the name of its map."""

    name: str

    @model_validator(mode="after")
    def _own_labels(self) -> "ReadyLabels":
        if foreign := _foreign(self, ReadyMap.of(self.name).names):
            raise ValueError(f"labels: {self.name} has no label {foreign}")
        return self

    def intents(self, taxonomy: Taxonomy) -> dict[str, str | None]:
        """The intent of every label of the data set, None where it has none here.

        Raises:
            BadInput: labels without an answer, all of them, with the nearest intents.
        """
        ready = ReadyMap.of(self.name)
        return settled(self, ready.intents, ready.unmapped, taxonomy, self.name)


def settled(
    given: LabelMap, ready: Mapping[str, str | None], unmapped: Sequence[str], taxonomy: Taxonomy, name: str
) -> dict[str, str | None]:
    """The intent of every label: of those with a `ready` answer, and of the `unmapped` ones.

    Raises:
        BadInput: the recipe maps a label that there is not, or to such an intent, or labels have no answer and must have one.
    """
    if foreign := _foreign(given, (*ready, *unmapped)):
        raise BadInput(f"{name} has no label {foreign}; mend labels of the source")
    intents: dict[str, str | None] = {}
    homeless: dict[str, str] = {}
    for label in (*ready, *unmapped):
        own = label in taxonomy.intents
        intent = given.labels[label] if label in given.labels else label if own else ready.get(label, label)
        if intent is not None and intent not in taxonomy.intents:
            if label in given.labels or given.others == "refuse":
                homeless[label] = intent
            intent = None
        intents[label] = intent
    if homeless:
        told = "\n".join(f"  {label}{_wanted(label, intent, taxonomy)}" for label, intent in homeless.items())
        raise BadInput(
            f"{name}: {len(homeless)} of {len(intents)} labels have no intent in intents.yaml:\n{told}\n"
            f"give the source `labels: {{{next(iter(homeless))}: ...}}` (null: no intent here), or `others: unlabelled`"
        )
    return intents


def found_in(intents: Mapping[str, str | None], label: object, name: str) -> str | None:
    """The intent of a row's label.

    Raises:
        ValueError: the data set has no such label.
    """
    if not isinstance(label, str) or label not in intents:
        raise ValueError(f"label {label!r} is none of {name}{_nearest(str(label), intents)}")
    return intents[label]


def _foreign(given: LabelMap, known: Sequence[str]) -> str:
    """Those labels of the recipe that the data set has not, in words; empty if there are none."""
    return ", ".join(f"{label!r}{_nearest(label, known)}" for label in given.labels if label not in known)


def _wanted(label: str, intent: str, taxonomy: Taxonomy) -> str:
    missing = f" -> {intent}, which intents.yaml lacks" if intent != label else ""
    return missing + _nearest(label, taxonomy.names)


def _nearest(label: str, names: Iterable[str]) -> str:
    """The end of a message: the names that are spelt nearly so, or else share a word."""
    names = list(names)
    near = difflib.get_close_matches(label, names, n=_SUGGESTED)
    words = _words(label)
    near += [name for name in names if name not in near and words & _words(name)]
    return f" (meant {' or '.join(near[:_SUGGESTED])}?)" if near else ""


def _words(label: str) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9]+", label.casefold()) if len(word) > 2}
