"""Lengths of training rows in tokens of a recipe's base, and those that do not fit.

Not covered: how tokens are counted (a base's tokenizer is the caller's), characters.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median, quantiles

from data.chat import Row, dialog_rows, intent_row
from data.schema import Dialog, Utterance
from data.shop import Shop


@dataclass
class Lengths:
    """Measures rows: `count` gives the tokens of a row's prompt and of its completion; `max_length` is how many both may have
    in training, `answer_tokens` how many an answer may have when it is served."""

    count: Callable[[Row], tuple[int, int]]
    max_length: int
    answer_tokens: int
    seen: list[int] = field(default_factory=list)

    def problems(self, example: Utterance | Dialog, shop: Shop) -> Iterator[str]:
        """What is too long in an utterance or a dialog."""
        if isinstance(example, Utterance):
            yield from self._of(intent_row(example, shop.prompts, example.source), "")
            return
        offset = 0 if example.messages[0].role == "system" else 1
        for row in dialog_rows(example, shop.prompts, shop.tools):
            yield from self._of(row, f"turn {len(row.messages) - offset}: ")

    def summary(self) -> dict[str, int | float]:
        """Median, 95th percentile and longest of what was measured, and the limit."""
        if not self.seen:
            return {"rows": 0, "limit": self.max_length}
        p95 = quantiles(self.seen, n=20, method="inclusive")[-1] if len(self.seen) > 1 else self.seen[0]
        figures = {"median": median(self.seen), "p95": round(p95, 1), "longest": max(self.seen)}
        return {"rows": len(self.seen), **figures, "limit": self.max_length}

    def _of(self, row: Row, where: str) -> Iterator[str]:
        prompt, completion = self.count(row)
        self.seen.append(prompt + completion)
        if prompt + completion > self.max_length:
            told = f"{prompt + completion:,} tokens, {prompt:,} of them the prompt; training leaves out more than"
            yield f"{where}{told} {self.max_length:,} (train.max_length)"
        if completion > self.answer_tokens:
            yield f"{where}an answer of {completion:,} tokens; served ones have {self.answer_tokens:,} (serve.answer_tokens)"
