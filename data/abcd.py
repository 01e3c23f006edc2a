"""ABCD, the Action-Based Conversations Dataset: agents of a clothes shop follow its guidelines by pressing buttons.

Each press becomes a tool call with the slots that its values fill, and the line that the system then showed becomes the result.
The written text is the original's, not the delexicalized one. Not covered: the candidates for ranking, the guidelines.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from data.json_stream import items, opens_with
from data.label_map import ReadyLabels, found_in
from data.rows import Found, nothing, parsed
from data.schema import Dialog, Strict, Text, read_yaml
from data.shop import Shop
from data.transcript import Done, Transcript, schema

_ONTOLOGY = Path(__file__).resolve().parent / "maps" / "abcd_actions.yaml"
_REST = "details"  # values that fill none of an action's slots


class Action(Strict):
    """One button: what it does and the slots that it takes."""

    means: Text
    slots: tuple[str, ...] = ()


class Ontology(Strict):
    """The buttons by name, and the values of those slots that have a closed list."""

    actions: dict[str, Action]
    values: dict[str, tuple[str, ...]]

    @classmethod
    @cache
    def read(cls) -> "Ontology":
        """The data set's own, as `data/maps/abcd_actions.yaml` keeps it."""
        return read_yaml(_ONTOLOGY, cls)

    @cached_property
    def tools(self) -> dict[str, dict[str, Any]]:
        """The tool of each action."""
        text = {"type": "string"}
        return {
            name: schema(_tool(name), action.means, {slot: text for slot in (*action.slots, _REST)})
            for name, action in self.actions.items()
        }


class Turn(BaseModel):
    """What the data set says about a turn: intent, next step, action, its values, the place of the next utterance."""

    targets: tuple[str, str | None, str | None, list[str | int | float], int]


class Conversation(BaseModel):
    """One conversation as the file has it; what is not read is ignored."""

    convo_id: int | str
    scenario: dict[str, Any] = Field(default_factory=dict)
    original: list[tuple[Literal["customer", "agent", "action"], str]] = Field(min_length=1)
    delexed: list[Turn]

    @model_validator(mode="after")
    def _side_by_side(self) -> "Conversation":
        if len(self.original) != len(self.delexed):
            raise ValueError(f"original has {len(self.original)} turns, delexed {len(self.delexed)}")
        return self


class AbcdSource(ReadyLabels):
    """ABCD's file, whole (`abcd_v1.1.json`, also as `.gz`) or a list of its conversations."""

    name: Literal["abcd"]
    path: Path
    split: Literal["train", "dev", "test"] = "train"
    tools: Literal["all", "used"] = "all"  # on offer: ABCD's thirty (some 2,000 tokens), or those that the dialog uses

    def rows(self, shop: Shop) -> Iterator[Found[Dialog]]:
        """The dialogs, one by one."""
        intents = self.intents(shop.taxonomy)
        whole = opens_with(self.path, b"{")
        where = f"{self.path}:{self.split}" if whole else str(self.path)
        number = 0
        for number, row in enumerate(items(self.path, f"{self.split}.item" if whole else "item"), 1):
            yield parsed(f"{where}:{number}", from_abcd, row, intents, self.tools)
        if not number:
            yield nothing(where)


def from_abcd(row: Any, intents: Mapping[str, str | None], tools: Literal["all", "used"] = "all") -> Dialog:
    """One conversation.

    Raises:
        ValueError: it has not ABCD's form, or a label or an action that ABCD has not.
    """
    found, ontology = Conversation.model_validate(row), Ontology.read()
    facts = _facts(found.scenario)
    transcript = Transcript()
    used = set()
    for index, ((speaker, text), turn) in enumerate(zip(found.original, found.delexed, strict=True)):
        if speaker == "action":
            _, _, action, values, _ = turn.targets
            if action not in ontology.actions:
                raise ValueError(f"turn {index}: action {action!r} is not in ABCD's ontology")
            used.add(action)
            heard = [said for _, said in found.original[:index]]
            given = [_as_written(str(value), heard) for value in values]
            transcript.act([Done(_tool(action), arguments(action, given, facts), text)])
        else:
            transcript.say("user" if speaker == "customer" else "assistant", text)
    offered = [tool for action, tool in ontology.tools.items() if tools == "all" or action in used]
    intent = found_in(intents, found.delexed[0].targets[0], "abcd")
    return transcript.dialog(f"abcd-{found.convo_id}", "abcd", "en", offered, intent)


def arguments(action: str, values: Iterable[str], facts: Mapping[str, str]) -> dict[str, str]:
    """The slots of an action that its values fill. The data names no slot: it is the one for which the scenario has this
    value, or whose closed list has it; the only one of an action with one slot; else the value joins `details`."""
    ontology = Ontology.read()
    slots = ontology.actions[action].slots
    filled: dict[str, str] = {}
    for value in values:
        free = [slot for slot in slots if slot not in filled]
        fits = [slot for slot in free if _plain(value) == facts.get(slot) or _plain(value) in _values(ontology, slot)]
        slot = fits[0] if fits else free[0] if len(slots) == 1 and free else _REST
        filled[slot] = f"{filled[slot]}; {value}" if slot in filled else value
    return filled


def _as_written(value: str, heard: Sequence[str]) -> str:
    """A value as it was last written in the conversation, for the targets have lost their capitals."""
    pattern = re.compile(re.escape(value), re.IGNORECASE)
    return next((match[0] for text in reversed(heard) if (match := pattern.search(text))), value)


def _facts(scenario: Mapping[str, Any]) -> dict[str, str]:
    parts = [part for part in (scenario.get("personal"), scenario.get("order")) if isinstance(part, Mapping)]
    return {key: _plain(value) for part in parts for key, value in part.items() if isinstance(value, str)}


def _values(ontology: Ontology, slot: str) -> set[str]:
    return {_plain(value) for value in ontology.values.get(slot, ())}


def _plain(value: str) -> str:
    return re.sub(r"[\s_]+", " ", value).strip().casefold()


def _tool(action: str) -> str:
    return action.replace("-", "_")
