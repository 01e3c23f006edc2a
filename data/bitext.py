"""`bitext/Bitext-customer-support-llm-chatbot-training-dataset`: 27 intents of customer service, each utterance with an answer.

A row gives an utterance and a dialog of two turns. Its placeholders become a customer's values; an answer with placeholders
that only the shop could fill is left out, unless the recipe fills them, for a model would learn to write the braces or to
make a telephone number up. Not covered: the column `flags` (how an utterance was varied).
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from data import placeholders
from data.hub import HubSet
from data.label_map import ReadyLabels, found_in
from data.labelled import each_row
from data.rows import Found
from data.schema import Dialog, Message, Text, Utterance
from data.shop import Shop
from data.tables import cell, file_rows

_EXPECTED = "expected Bitext's table"
_COLUMNS = ("instruction", "intent", "response")


class BitextSource(ReadyLabels):
    """Bitext's customer service data, from its CSV or from the Hub."""

    name: Literal["bitext"]
    path: Path | None = None  # a CSV or Parquet file; by default the Hub's set
    dataset: Text = "bitext/Bitext-customer-support-llm-chatbot-training-dataset"
    split: str = "train"
    revision: str | None = None
    streaming: bool = False
    take: tuple[Literal["utterances", "dialogs"], ...] = Field(("utterances", "dialogs"), min_length=1)
    # what the shop says where an answer has a placeholder, such as {Customer Support Hours: 9 to 18}
    placeholders: dict[str, str] = Field(default_factory=dict)

    def rows(self, shop: Shop) -> Iterator[Found[Utterance | Dialog]]:
        """The utterances and dialogs, in turn; how many answers are left out, and for which placeholders, is logged."""
        hub = HubSet(dataset=self.dataset, split=self.split, revision=self.revision, streaming=self.streaming)
        where = str(self.path) if self.path else hub.where
        intents = self.intents(shop.taxonomy)
        unfilled: Counter[str] = Counter()

        def examples(row: Mapping[str, Any]) -> list[Utterance | Dialog]:
            return self._examples(row, intents, unfilled)

        table = file_rows(self.path, _COLUMNS, _EXPECTED) if self.path else hub.records()
        for found in each_row(table, _COLUMNS, examples, where, _EXPECTED):
            if found.row is None:
                yield Found(found.place, None, found.problem)
            for example in found.row or ():
                if isinstance(example, Utterance):
                    yield Found(found.place, example)
                else:
                    yield Found(f"{found.place}:response", example.model_copy(update={"id": _id(found.place)}))
        _tell(where, unfilled)

    def _examples(
        self, row: Mapping[str, Any], intents: Mapping[str, str | None], unfilled: Counter[str]
    ) -> list[Utterance | Dialog]:
        intent = found_in(intents, cell(row, "intent"), self.name)
        said, answer = cell(row, "instruction"), cell(row, "response")
        values = placeholders.spoken(said) | self.placeholders
        question, reply = placeholders.filled(said, values), placeholders.filled(answer, values)
        examples: list[Utterance | Dialog] = []
        if missing := placeholders.names(question):
            unfilled.update(missing)
            return examples
        if "utterances" in self.take and intent is not None:
            examples.append(Utterance(text=question, intent=intent, language="en", source=self.name))
        if "dialogs" in self.take:
            if missing := placeholders.names(reply):
                unfilled.update(missing)
                return examples
            turns = (Message(role="user", content=question), Message(role="assistant", content=reply))
            examples.append(Dialog(id=self.name, messages=turns, intent=intent, language="en", source=self.name))
        return examples


def _id(place: str) -> str:
    return f"bitext-{place.rsplit(':', 1)[-1]}"


def _tell(where: str, unfilled: Counter[str]) -> None:
    if unfilled:
        most = ", ".join(f"{name} ({count})" for name, count in unfilled.most_common(5))
        logging.getLogger(__name__).warning(
            "%s: texts were left out for placeholders that only the shop can fill, in the source's `placeholders`: %s%s",
            where,
            most,
            f" and {len(unfilled) - 5} more" if len(unfilled) > 5 else "",
        )
