"""Rows as token ids: what the trainer sees, and what a corpus counts. Not covered: batching and padding.

Prompt and completion are tokenized apart, as in serving: there the prompt's ids are fixed before the model writes, so
no token may span the border.
"""

from dataclasses import dataclass
from typing import Any

from data.chat import END_OF_TURN, Row, render


@dataclass(frozen=True)
class Encoded:
    """The ids of one row; only those of the completion (end of turn included) are learned."""

    prompt: list[int]
    completion: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def encode(tokenizer: Any, row: Row) -> Encoded:
    """The row's ids: the rendered prompt, then the completion and the end-of-turn token."""
    prompt = render(tokenizer, row.messages, tools=row.tools, thinking=row.thinking)
    return Encoded(_ids(tokenizer, prompt), _ids(tokenizer, row.completion + END_OF_TURN))


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
