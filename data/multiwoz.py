"""MultiWOZ 2.2: a tourist and an information desk in Cambridge; hotels, restaurants, trains, taxis and more.

Its files name what the tourist wants (an intent of a service, with slots) and which values the desk's answer gives. Where the
answer gives any, the desk must have looked them up: that becomes a call of the intent with the slots so far, whose result has
just these values. Or, with `calls: false`, the dialogs are plain. Not covered: `dialog_acts.json`, the databases.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from data.errors import BadInput
from data.json_stream import items
from data.label_map import LabelMap, settled
from data.rows import Found, explained, nothing, parsed
from data.schema import Dialog
from data.shop import Shop
from data.transcript import Done, Transcript, as_json, schema

Tools = Mapping[str, Mapping[str, dict[str, Any]]]  # of each service, by intent
_ANY = "dontcare"  # a value that constrains nothing


class Slot(BaseModel):
    """A slot of a service."""

    name: str
    description: str = ""
    is_categorical: bool = False
    possible_values: list[str] = Field(default_factory=list)


class Intent(BaseModel):
    """What can be wanted from a service, and the slots that say more closely what."""

    name: str
    description: str = ""
    required_slots: list[str] = Field(default_factory=list)
    optional_slots: dict[str, str] = Field(default_factory=dict)


class Service(BaseModel):
    """One entry of `schema.json`."""

    service_name: str
    slots: list[Slot]
    intents: list[Intent]

    def tools(self) -> dict[str, dict[str, Any]]:
        """The tool of each intent."""
        slots = {slot.name: slot for slot in self.slots}
        return {
            intent.name: schema(
                intent.name,
                intent.description,
                {_short(n): _property(slots[n]) for n in (*intent.required_slots, *intent.optional_slots)},
            )
            for intent in self.intents
        }


class State(BaseModel):
    """What the tourist wants from one service so far."""

    active_intent: str
    slot_values: dict[str, list[str]]


class Span(BaseModel):
    """A value that a turn gives: its wording, or what it was copied from."""

    slot: str
    value: Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class Frame(BaseModel):
    """What a turn says about one service."""

    service: str
    state: State | None = None
    slots: list[Span] = Field(default_factory=list)


class Turn(BaseModel):
    """One turn."""

    speaker: Literal["USER", "SYSTEM"]
    utterance: str
    frames: list[Frame] = Field(default_factory=list)


class Conversation(BaseModel):
    """One conversation as the files have it; what is not read is ignored."""

    dialogue_id: str
    services: list[str]
    turns: list[Turn] = Field(min_length=1)


class MultiwozSource(LabelMap):
    """The folder `MultiWOZ_2.2`: `schema.json`, and a folder of `dialogues_*.json` for each split."""

    name: Literal["multiwoz"]
    path: Path
    split: Literal["train", "dev", "test"] = "train"
    calls: bool = True
    others: Literal["refuse", "unlabelled"] = "unlabelled"  # no shop has these intents

    def rows(self, shop: Shop) -> Iterator[Found[Dialog]]:
        """The dialogs, one by one."""
        files = sorted((self.path / self.split).glob("dialogues_*.json"))
        if not files:
            raise BadInput(f"{self.path / self.split}: no dialogues_*.json; expected the folder MultiWOZ_2.2")
        tools = _tools(self.path / "schema.json")
        known = [intent for service in tools.values() for intent in service]
        intents = settled(self, {}, known, shop.taxonomy, self.name)
        return (found for file in files for found in self._file(file, tools, intents))

    def _file(self, path: Path, tools: Tools, intents: Mapping[str, str | None]) -> Iterator[Found[Dialog]]:
        number = 0
        for number, row in enumerate(items(path, "item"), 1):
            yield parsed(f"{path}:{number}", from_multiwoz, row, tools if self.calls else {}, intents)
        if not number:
            yield nothing(path)


def from_multiwoz(row: Any, tools: Tools, intents: Mapping[str, str | None]) -> Dialog:
    """One conversation; with no tools a plain one. Its intent is that of the first wish that has one.

    Raises:
        ValueError: it has not MultiWOZ 2.2's form.
    """
    found = Conversation.model_validate(row)
    transcript = Transcript()
    wishes: dict[str, State] = {}
    intent = None
    for turn in found.turns:
        if turn.speaker == "USER":
            transcript.say("user", turn.utterance)
            now = {f.service: f.state for f in turn.frames if f.state and f.state.active_intent != "NONE"}
            wishes |= now
            intent = intent or next((name for s in now.values() if (name := intents.get(s.active_intent))), None)
            continue
        if done := [one for frame in turn.frames if (one := _looked_up(frame, wishes, tools))]:
            transcript.act(done)
        transcript.say("assistant", turn.utterance)
    offered = [tool for service in found.services for tool in tools.get(service, {}).values()]
    return transcript.dialog(f"multiwoz-{found.dialogue_id}", "multiwoz", "en", offered, intent)


def _looked_up(frame: Frame, wishes: Mapping[str, State], tools: Tools) -> Done | None:
    """The call that the desk's answer about a service rests on, if it gives values."""
    wish = wishes.get(frame.service)
    tool = tools.get(frame.service, {}).get(wish.active_intent) if wish else None
    if not frame.slots or wish is None or tool is None:
        return None
    takes = tool["function"]["parameters"]["properties"]
    given = {_short(slot): values[0] for slot, values in wish.slot_values.items() if values and values[0] != _ANY}
    result: dict[str, list[str]] = {}
    for span in frame.slots:
        values = result.setdefault(_short(span.slot), [])
        values += [value for value in span.value if value not in values]
    told = {slot: values[0] if len(values) == 1 else values for slot, values in result.items()}
    return Done(wish.active_intent, {k: v for k, v in given.items() if k in takes}, as_json(told))


def _tools(path: Path) -> Tools:
    try:
        services = TypeAdapter(list[Service]).validate_json(path.read_bytes())
        return {service.service_name: service.tools() for service in services}
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); expected MultiWOZ 2.2's schema") from error
    except ValidationError as error:
        raise BadInput(f"{path}: not MultiWOZ 2.2's schema: {explained(error)}") from error
    except KeyError as error:
        raise BadInput(f"{path}: an intent has slot {error}, which its service lacks") from error


def _property(slot: Slot) -> dict[str, Any]:
    closed = {"enum": slot.possible_values} if slot.is_categorical and slot.possible_values else {}
    return {"type": "string", "description": slot.description, **closed}


def _short(slot: str) -> str:
    """`hotel-area` within the service hotel."""
    return slot.split("-", 1)[-1]
