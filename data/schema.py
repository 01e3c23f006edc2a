"""The one schema of dialogs, cases, intents and FAQs. Everything that enters Kefu becomes one of these, or is refused.

Not covered: reading foreign formats (`data/sources.py`) and rendering prompts (`data/chat.py`).
"""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError, model_validator

from data.errors import BadInput
from data.rows import all_good, explained, model_rows
from data.yamltext import yaml_value

Language = Literal["en", "zh"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Strict(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Function(Strict):
    """The name and the arguments of one call, arguments as an object, never as a string."""

    name: Text
    arguments: dict[str, Any]


class ToolCall(Strict):
    """One call of a tool by the assistant, in OpenAI's shape."""

    type: Literal["function"] = "function"
    id: str | None = None
    function: Function


class Message(Strict):
    """One turn in OpenAI's shape. `reasoning_content` is the thinking before the answer; `trained: false` excludes an
    assistant turn (a mistake that the customer corrects, say) from training."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    trained: bool = True

    @model_validator(mode="after")
    def _fits_its_role(self) -> "Message":
        if self.role != "assistant" and (self.tool_calls or self.reasoning_content is not None):
            raise ValueError(f"a {self.role} message cannot have tool_calls or reasoning_content")
        if not self.content.strip() and not self.tool_calls:
            raise ValueError(f"an empty {self.role} message")
        return self


class Dialog(Strict):
    """One conversation to learn from. `tools` are those on offer: a name of the shop's `tools.json`, or a whole schema of
    a tool that the shop does not have. Without a system message the shop's own prompt is used; `thinking` turns it on.
    Examples of one `group` (a customer, say) stay on one side of the split."""

    id: Text
    messages: tuple[Message, ...] = Field(min_length=2)
    tools: tuple[str | dict[str, Any], ...] = ()
    intent: str | None = None
    language: Language
    source: Text
    thinking: bool = False
    group: str | None = None

    @model_validator(mode="after")
    def _turns_in_order(self) -> "Dialog":
        check_turn_order(self.messages)
        return self


class Utterance(Strict):
    """One customer message and its intent: the rows that teach intent labelling. `group` as in `Dialog`."""

    text: Text
    intent: Text
    language: Language
    source: str = "shop"
    group: str | None = None


class IntentCase(Strict):
    """One frozen evaluation case. `style` is plain or names what makes it hard; `series` counts the times that the set was
    enlarged, so that a score on the cases of before can still be given."""

    id: str = ""
    text: Text
    intent: Text
    language: Language
    style: str = "plain"
    series: PositiveInt = 1


class ToolCase(Strict):
    """One frozen tool case: the conversation so far and the call that is due, or none (`expect: null`)."""

    id: Text
    messages: tuple[Message, ...]
    expect: Function | None
    language: Language
    style: str = "plain"


class FaqEntry(Strict):
    """One curated question with its approved answer; `questions` are further wordings that mean exactly the same."""

    id: Text
    language: Language
    question: Text
    answer: Text
    questions: tuple[Text, ...] = ()


class FaqCalibration(Strict):
    """How far one entry reaches, to set its threshold by: `paraphrases` get its answer as it stands; `hard_negatives` sound
    like its question and must not."""

    id: Text
    language: Language
    paraphrases: tuple[Text, ...] = Field(min_length=1)
    hard_negatives: tuple[Text, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _takes_one_side(self) -> "FaqCalibration":
        both = set(self.paraphrases) & set(self.hard_negatives)
        if both:
            raise ValueError(f"both a paraphrase and a hard negative: {', '.join(sorted(both))}")
        return self


class FaqPair(Strict):
    """One frozen pair of questions: whether the approved answer of `a`, sent as it stands, answers `b`. Without a language
    it is that of `b`. `style` says how a paraphrase is worded, or what makes the answers differ."""

    id: str = ""
    a: Text
    b: Text
    same_answer: bool
    language: Language | None = None
    style: str = "plain"


class Intent(Strict):
    """One intent of the taxonomy: its name is the label, `zh` its Chinese title, `means` what belongs to it."""

    zh: Text
    means: Text


class Taxonomy(Strict):
    """The intents and the rules that decide between neighbours (`data/intents.yaml`)."""

    intents: dict[str, Intent]
    tie_breaks: tuple[Text, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels in the order of the file."""
        return tuple(self.intents)


M = TypeVar("M", bound=BaseModel)


def check_turn_order(messages: tuple[Message, ...]) -> None:
    """Holds a conversation to its grammar: system first if at all, tool results only after calls, assistant last.

    Raises:
        ValueError: naming the turn that breaks it.
    """
    open_calls = 0
    for index, message in enumerate(messages):
        if message.role == "system" and index > 0:
            raise ValueError(f"turn {index}: a system message may only come first")
        if message.role == "tool":
            if open_calls == 0:
                raise ValueError(f"turn {index}: a tool result without a call before it")
            open_calls -= 1
            continue
        if open_calls:
            raise ValueError(f"turn {index}: {open_calls} tool call(s) without a result before the next turn")
        open_calls = len(message.tool_calls)
    if messages[-1].role != "assistant":
        raise ValueError("the last turn must be the assistant's")


def read_jsonl(path: Path, model: type[M]) -> list[M]:
    """Reads a JSON lines file of `model`.

    Raises:
        BadInput: the file is missing, empty or malformed; every bad line is named (the first twenty in full).
    """
    return all_good(model_rows(path, model))


def read_yaml(path: Path, model: type[M]) -> M:
    """Reads a YAML file as `model`.

    Raises:
        BadInput: the file is missing, is not YAML, or does not fit; all problems at once.
    """
    content = yaml_value(path, f"YAML with {', '.join(model.model_fields)}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"{path}: {explained(error)}") from error


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Writes models or plain objects as JSON lines."""
    dumped = (r.model_dump(mode="json", exclude_defaults=True) if isinstance(r, BaseModel) else r for r in rows)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in dumped)
