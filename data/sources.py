"""Where training examples come from: each source is one small adapter, chosen in the recipe by name and options.

Every adapter yields rows of the one schema (`data/schema.py`), each with its place, and goes on after a bad one. Not covered
yet: action logs (ABCD), dialog-state corpora (MultiWOZ, CrossWOZ), production traces, sets larger than memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from data.conversations import from_openai, from_sharegpt
from data.rows import Found, all_good, first_object, model_rows, object_rows
from data.schema import Dialog, Language, Strict, Text, Utterance
from data.shop import Shop
from data.tables import Columns, dataset_rows, table_rows

Example = Utterance | Dialog


@dataclass(frozen=True)
class Examples:
    """What sources yielded: labelled utterances and whole dialogs."""

    utterances: list[Utterance]
    dialogs: list[Dialog]

    @classmethod
    def of(cls, rows: Iterable[Example]) -> "Examples":
        """Sorts rows by their kind."""
        kept = list(rows)
        return cls([x for x in kept if isinstance(x, Utterance)], [x for x in kept if isinstance(x, Dialog)])


class ShopSource(Strict):
    """The shop's own `train/` files."""

    name: Literal["shop"]

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        """All of them."""
        for path in shop.training_files("utterances"):
            yield from model_rows(path, Utterance)
        for path in shop.training_files("dialogs"):
            yield from model_rows(path, Dialog)


class JsonlSource(Strict):
    """JSON lines of this project's own dialogs (rows with `messages`) or utterances (rows with `text`)."""

    name: Literal["jsonl"]
    path: Path

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        """One kind or the other, told by the first row."""
        if "messages" in first_keys(self.path):
            return model_rows(self.path, Dialog)
        return model_rows(self.path, Utterance)


class OpenAISource(Strict):
    """JSON lines in the form of OpenAI's fine-tuning files: `messages` and `tools`; `weight: 0` marks a turn not to learn."""

    name: Literal["openai"]
    path: Path
    language: Language | None = None  # of all rows; by default each row's own, guessed

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        """The dialogs."""
        return object_rows(self.path, lambda row, id: from_openai(row, id, self.path.stem, self.language))


class ShareGPTSource(Strict):
    """JSON lines in ShareGPT's form: `conversations` of `from` and `value`, function calls and observations included."""

    name: Literal["sharegpt"]
    path: Path
    language: Language | None = None

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        """The dialogs."""
        return object_rows(self.path, lambda row, id: from_sharegpt(row, id, self.path.stem, self.language))


class TableSource(Columns):
    """A CSV, TSV or Parquet file with a column of texts and one of labels."""

    name: Literal["table"]
    path: Path

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        """The utterances."""
        return table_rows(self.path, self)


class DatasetSource(Columns):
    """A data set of the Hub, or a local folder of one, through the library `datasets`."""

    name: Literal["dataset"]
    dataset: Text  # such as PolyAI/banking77, or a folder
    config: str | None = None
    split: str = "train"
    revision: str | None = None

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        """The utterances."""
        return dataset_rows(self.dataset, self.config, self.split, self.revision, self)


Source = Annotated[
    ShopSource | JsonlSource | OpenAISource | ShareGPTSource | TableSource | DatasetSource, Field(discriminator="name")
]


def read_sources(sources: Iterable[Source], shop: Shop) -> Examples:
    """All examples of some sources, in their order.

    Raises:
        BadInput: a source is missing or empty, or has bad rows; they are named.
    """
    return Examples.of(row for source in sources for row in all_good(source.rows(shop)))


def guessed(path: Path) -> Source:
    """The source that fits a file, by its name and its first row.

    Raises:
        BadInput: there is no such file, or it cannot be opened.
    """
    if path.suffix in (".csv", ".tsv", ".parquet"):
        return TableSource(name="table", path=path)
    keys = first_keys(path)
    if "conversations" in keys:
        return ShareGPTSource(name="sharegpt", path=path)
    if "messages" in keys and "id" not in keys:
        return OpenAISource(name="openai", path=path)
    return JsonlSource(name="jsonl", path=path)


def first_keys(path: Path) -> frozenset[str]:
    """The keys of the first good row of a JSON lines file; none if its first lines are all bad.

    Raises:
        BadInput: there is no such file, or it cannot be opened.
    """
    return frozenset(first_object(path))
