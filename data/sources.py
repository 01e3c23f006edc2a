"""Where training examples come from: each source is one small adapter, chosen in the recipe by name and options.

Every adapter yields rows of the one schema (`data/schema.py`), each with its place, and goes on after a bad one. None holds
more than a row, a page or a batch of its file, so that a set may be larger than memory. Here are those of general forms; known
data sets have files of their own. Not covered: what a reader keeps of the rows (`data/build.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from data.abcd import AbcdSource
from data.banking77 import Banking77Source
from data.bitext import BitextSource
from data.clinc import ClincSource
from data.conversations import from_openai, from_sharegpt
from data.crosswoz import CrosswozSource
from data.errors import BadInput
from data.hub import HubSet
from data.json_stream import outline
from data.labelled import Columns
from data.multiwoz import MultiwozSource
from data.rows import Found, first_object, model_rows, object_rows
from data.schema import Dialog, Language, Strict, Utterance
from data.shop import Shop
from data.tables import file_rows
from data.traces import TracesSource

Example = Utterance | Dialog
_CLINC_SPLITS = [f"{kind}{split}" for kind in ("", "oos_") for split in ("train", "val", "test")]


class ShopSource(Strict):
    """The shop's own `train/` files; with `tools` without the dialogs that offer another of the shop's tools."""

    name: Literal["shop"]
    tools: tuple[str, ...] | None = None

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        """All of them, or those that are wanted; a bad row is told in any case."""
        for path in shop.training_files("utterances"):
            yield from model_rows(path, Utterance)
        for path in shop.training_files("dialogs"):
            yield from (found for found in model_rows(path, Dialog) if found.row is None or self._wanted(found.row))

    def _wanted(self, dialog: Dialog) -> bool:
        offered = {tool for tool in dialog.tools if isinstance(tool, str)}  # whole schemas are of other shops
        return self.tools is None or offered <= set(self.tools)


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
        rows = file_rows(self.path, (self.text, self.label))
        return self.utterances(rows, str(self.path), self.path.stem, shop.taxonomy)


class DatasetSource(HubSet, Columns):
    """A data set of the Hub, or a local folder of one, through the library `datasets`."""

    name: Literal["dataset"]

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        """The utterances."""
        short = self.dataset.rsplit("/", 1)[-1]
        return self.utterances(self.records(self.label), self.where, short, shop.taxonomy)


Source = Annotated[
    ShopSource
    | JsonlSource
    | OpenAISource
    | ShareGPTSource
    | TableSource
    | DatasetSource
    | BitextSource
    | Banking77Source
    | ClincSource
    | AbcdSource
    | MultiwozSource
    | CrosswozSource
    | TracesSource,
    Field(discriminator="name"),
]


def guessed(path: Path) -> Source:
    """The source that fits a file, by its name and its first row.

    Raises:
        BadInput: the file is missing or has none of the known forms.
    """
    if path.suffix in (".csv", ".tsv", ".parquet"):
        return guessed_table(path)
    if path.suffix in (".json", ".gz", ".zip") and (known := guessed_document(path)):
        return known
    keys = first_keys(path)
    if "conversations" in keys:
        return ShareGPTSource(name="sharegpt", path=path)
    if "messages" in keys and "id" not in keys:
        return OpenAISource(name="openai", path=path)
    return JsonlSource(name="jsonl", path=path)


def guessed_table(path: Path) -> Source:
    """The source that fits a table, by its columns; with columns of other names one that will say so."""
    try:
        columns = set(next(iter(file_rows(path))).row or ())
    except (BadInput, StopIteration):
        columns = set()
    if {"instruction", "intent", "response"} <= columns:
        return BitextSource(name="bitext", path=path)
    label = next((name for name in ("label", "intent", "category") if {"text", name} <= columns), "label")
    return TableSource(name="table", path=path, label=label)


def guessed_document(path: Path) -> Source | None:
    """The known data set that a JSON document is, if it is one."""
    try:
        begin = outline(path)
    except BadInput:
        return None
    keys = [value for _, event, value in begin if event == "map_key"]
    if "convo_id" in keys:
        return AbcdSource(name="abcd", path=path)
    if "sys-usr" in keys:
        return CrosswozSource(name="crosswoz", path=path)
    if keys and keys[0] in _CLINC_SPLITS and any(place.endswith(".item.item") for place, _, _ in begin):
        return ClincSource(name="clinc_oos", path=path)
    return None


def first_keys(path: Path) -> frozenset[str]:
    """The keys of the first good row of a JSON lines file; none if its first lines are all bad.

    Raises:
        BadInput: there is no such file, or it cannot be opened.
    """
    return frozenset(first_object(path))
