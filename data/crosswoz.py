"""CrossWOZ: a tourist and an information desk in Beijing, in Chinese; sights, restaurants, hotels, metro and taxis.

Its desk turns carry the query that the desk made of its database and the acts of the answer. Where the answer informs,
recommends or finds nothing, the query becomes a tool call whose result has just what the answer then says. Or, with
`calls: false`, the dialogs are plain. Not covered: the tourist's goals, the databases, intents (the data set has none).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from data.json_stream import members
from data.rows import Found, nothing, parsed
from data.schema import Dialog, Strict
from data.shop import Shop
from data.transcript import Done, Transcript, as_json, schema

_NEARBY = ("周边景点", "周边餐馆", "周边酒店")
_DOMAINS = {  # the tool of each domain, what it is for, and the slots that a query may have
    "景点": ("search_attraction", "查询景点", ("名称", "门票", "游玩时间", "评分", *_NEARBY)),
    "餐馆": ("search_restaurant", "查询餐馆", ("名称", "推荐菜", "人均消费", "评分", *_NEARBY)),
    "酒店": ("search_hotel", "查询酒店", ("名称", "酒店类型", "酒店设施", "价格", "评分", *_NEARBY)),
    "地铁": ("search_metro", "查询地铁路线", ("出发地", "目的地")),
    "出租": ("call_taxi", "预约出租车", ("出发地", "目的地")),
}
TOOLS = tuple(
    schema(tool, title, {slot: {"type": "string"} for slot in slots}) for tool, title, slots in _DOMAINS.values()
)
_NOTHING: dict[str, list[str]] = {"结果": []}


class Turn(BaseModel):
    """One turn: what is said, its acts (intent, domain, slot, value), and the desk's last query of each domain."""

    role: Literal["usr", "sys"]
    content: str
    dialog_act: list[tuple[str, str, str, Any]] = Field(default_factory=list)
    sys_state: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Conversation(BaseModel):
    """One conversation as the file has it; what is not read is ignored."""

    messages: list[Turn] = Field(min_length=1)


class CrosswozSource(Strict):
    """One file of CrossWOZ: `train.json`, `val.json` or `test.json`, also as `.zip`."""

    name: Literal["crosswoz"]
    path: Path
    calls: bool = True

    def rows(self, shop: Shop) -> Iterator[Found[Dialog]]:
        """The dialogs, one by one."""
        empty = True
        for key, row in members(self.path):
            empty = False
            yield parsed(f"{self.path}:{key}", from_crosswoz, row, f"crosswoz-{key}", self.calls)
        if empty:
            yield nothing(self.path)


def from_crosswoz(row: Any, id: str, calls: bool = True) -> Dialog:
    """One conversation.

    Raises:
        ValueError: it has not CrossWOZ's form.
    """
    transcript = Transcript()
    for turn in Conversation.model_validate(row).messages:
        if turn.role == "usr":
            transcript.say("user", turn.content)
            continue
        if calls and (done := _looked_up(turn)):
            transcript.act(done)
        transcript.say("assistant", turn.content)
    return transcript.dialog(id, "crosswoz", "zh", TOOLS if calls else ())


def _looked_up(turn: Turn) -> list[Done]:
    """The calls that the desk's answer rests on, one for each domain of which it says something."""
    told: dict[str, dict[str, Any]] = {}
    for act, domain, slot, value in turn.dialog_act:
        if domain not in _DOMAINS:
            continue
        if act == "NoOffer":
            told.setdefault(domain, {})
        elif act in ("Inform", "Recommend") and value not in ("", "none", None):
            values = told.setdefault(domain, {}).setdefault(slot, [])
            values += [value] if value not in values else []
    done = []
    for domain, values in told.items():
        tool, _, slots = _DOMAINS[domain]
        if query := _query(turn.sys_state.get(domain, {}), slots):
            result = {slot: found[0] if len(found) == 1 else found for slot, found in values.items()}
            done.append(Done(tool, query, as_json(result or _NOTHING)))
    return done


def _query(state: Mapping[str, Any], slots: tuple[str, ...]) -> dict[str, str]:
    given = {slot: state.get(slot) for slot in slots}
    return {
        slot: " ".join(map(str, value)) if isinstance(value, list) else str(value)
        for slot, value in given.items()
        if value
    }
