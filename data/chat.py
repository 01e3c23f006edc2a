"""The one prompt builder: training, evaluation and serving get every message list and every rendered prompt from here.

Every model speaks Qwen3's ChatML: `<tool_call>` holds JSON calls, `<think>` holds reasoning, and a prompt with thinking off
ends in an empty `<think>` block. `render` applies the served template, so that what the trainer saw is what the engine sees.
Not covered: trimming a conversation to a window (`serving/memory.py`).
"""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from data.errors import BadInput
from data.schema import Dialog, Function, IntentCase, Language, Message, Strict, Utterance
from data.textfile import whole_text

END_OF_TURN = "<|im_end|>"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
SPECIAL_TOKENS = (THINK_OPEN, THINK_CLOSE, CALL_OPEN, CALL_CLOSE, "<tool_response>", "</tool_response>")
INTENT_MAX_TOKENS = 16
_HAN, _LETTER = re.compile("[\u4e00-\u9fff]"), re.compile("[A-Za-z]")

Task = Literal["intent", "answer", "tool_call", "thinking"]


class Tokenizer(Protocol):
    """What `render` needs of a Transformers tokenizer."""

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...


class Prompts(Strict):
    """The prompt files: one system prompt for each of the agent's languages, and one for intent labelling."""

    agent: dict[Language, str]
    intent: str

    @classmethod
    def read(cls, folder: Path) -> "Prompts":
        """Reads `agent.en.md`, `agent.zh.md` and `intent.md`.

        Raises:
            BadInput: a file is missing or empty.
        """
        texts = {name: _prompt(folder / f"{name}.md") for name in ("agent.en", "agent.zh", "intent")}
        return cls(agent={"en": texts["agent.en"], "zh": texts["agent.zh"]}, intent=texts["intent"])


class Row(Strict):
    """One trained turn: the prompt's messages, the tools on offer, and exactly what the model must write after them
    (without the end-of-turn token)."""

    task: Task
    messages: tuple[Message, ...]
    completion: str
    tools: tuple[dict[str, Any], ...] | None = None
    thinking: bool = False
    intent: str | None = None
    language: Language
    source: str


@cache
def template() -> str:
    """Qwen3's inference template, as TRL ships it; found without importing TRL."""
    spec = importlib.util.find_spec("trl")
    assert spec is not None and spec.origin is not None, "trl is a dependency of the main environment"
    return (Path(spec.origin).parent / "chat_templates" / "qwen3.jinja").read_text(encoding="utf-8")


def language_of(text: str) -> Language:
    """`zh` if the text holds more than a trace of Han characters, else `en`: code-mixed Chinese counts as Chinese."""
    han = len(_HAN.findall(text))
    return "zh" if han and han * 6 >= len(_LETTER.findall(text)) else "en"


def intent_messages(text: str, prompts: Prompts) -> tuple[Message, ...]:
    """The whole intent prompt: a fixed instruction and one customer message. Thinking is always off."""
    return (Message(role="system", content=prompts.intent), Message(role="user", content=text))


def parse_intent(text: str, names: Sequence[str]) -> str | None:
    """The label that the model wrote, or None if it is not exactly one identifier of the taxonomy (unparsable)."""
    label = text.strip()
    return label if label in names else None


def agent_messages(turns: Sequence[Message], language: Language, prompts: Prompts) -> tuple[Message, ...]:
    """The agent's conversation: the shop's system prompt in the customer's language, then the turns."""
    return (Message(role="system", content=prompts.agent[language]), *turns)


def completion(message: Message, thinking: bool) -> str:
    """What the model writes for an assistant turn, as the template would render it after the generation prompt."""
    parts = [message.content] if message.content else []
    parts += [call_text(call.function) for call in message.tool_calls]
    answer = "\n".join(parts)
    if not thinking:
        return answer
    return f"{THINK_OPEN}\n{(message.reasoning_content or '').strip()}\n{THINK_CLOSE}\n\n{answer}"


def call_text(call: Function) -> str:
    """One `<tool_call>` block."""
    body = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return f"{CALL_OPEN}\n{body}\n{CALL_CLOSE}"


def intent_row(utterance: Utterance | IntentCase, prompts: Prompts, source: str) -> Row:
    """The training row of one labelled utterance."""
    return Row(
        task="intent",
        messages=intent_messages(utterance.text, prompts),
        completion=utterance.intent,
        intent=utterance.intent,
        language=utterance.language,
        source=source,
    )


def dialog_rows(dialog: Dialog, prompts: Prompts, known: Mapping[str, dict[str, Any]]) -> Iterator[Row]:
    """One row for each trained assistant turn; earlier turns lose their thinking, as the template drops it when served.

    Raises:
        BadInput: the dialog names a tool that is not among `known`, the shop's tools by name.
    """
    unknown = [tool for tool in dialog.tools if isinstance(tool, str) and tool not in known]
    if unknown:
        raise BadInput(f"dialog {dialog.id}: unknown tool(s) {', '.join(unknown)}; the shop has {', '.join(known)}")
    tools = tuple(known[tool] if isinstance(tool, str) else tool for tool in dialog.tools) or None
    turns = dialog.messages
    if turns[0].role != "system":
        turns = agent_messages(turns, dialog.language, prompts)
    for index, message in enumerate(turns):
        if message.role != "assistant" or not message.trained:
            continue
        thinking = dialog.thinking and message.reasoning_content is not None
        yield Row(
            task="thinking" if thinking else "tool_call" if message.tool_calls else "answer",
            messages=tuple(turn.model_copy(update={"reasoning_content": None}) for turn in turns[:index]),
            completion=completion(message, thinking),
            tools=tools,
            thinking=thinking,
            language=dialog.language,
            source=dialog.source,
        )


def wire(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as the engine's chat API takes them: arguments as JSON strings, our own fields left out."""
    wired: list[dict[str, Any]] = []
    for message in messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            turn["tool_calls"] = [
                {
                    "id": call.id or f"call_{index}",
                    "type": "function",
                    "function": {
                        "name": call.function.name,
                        "arguments": json.dumps(call.function.arguments, ensure_ascii=False),
                    },
                }
                for index, call in enumerate(message.tool_calls)
            ]
        if message.role == "tool":
            turn["tool_call_id"] = message.tool_call_id or "call_0"
        wired.append(turn)
    return wired


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    thinking: bool = False,
) -> str:
    """The prompt text up to and with the generation prompt, by the tokenizer's own (served) template."""
    turns = [
        {
            "role": message.role,
            "content": message.content,
            "tool_calls": [{"function": call.function.model_dump()} for call in message.tool_calls] or None,
        }
        for message in messages
    ]
    text: str = tokenizer.apply_chat_template(
        turns,
        tools=[dict(tool) for tool in tools] if tools else None,
        chat_template=None,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=thinking,
    )
    return text


def _prompt(path: Path) -> str:
    text = whole_text(path, "a prompt in Markdown").strip()
    if not text:
        raise BadInput(f"{path}: the prompt is empty")
    return text
