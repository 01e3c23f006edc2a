"""`PolyAI/banking77`: one question to a bank and one of 77 intents.

A shop's taxonomy has none of these intents; a bank's may use the names as they are. Not covered: answers (there are none).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from data.hub import HubSet
from data.label_map import ReadyLabels
from data.labelled import english
from data.rows import Found
from data.schema import Text, Utterance
from data.shop import Shop
from data.tables import file_rows


class Banking77Source(ReadyLabels):
    """Banking77, from its CSV (`text,category`) or from the Hub."""

    name: Literal["banking77"]
    path: Path | None = None  # train.csv or test.csv; by default the Hub's set
    # the authors' own repository holds a script, which `datasets` no longer runs; this is its copy in Parquet
    dataset: Text = "legacy-datasets/banking77"
    split: str = "train"
    revision: str | None = None
    streaming: bool = False

    def rows(self, shop: Shop) -> Iterator[Found[Utterance]]:
        """The utterances."""
        intents = self.intents(shop.taxonomy)
        if self.path:
            return english(file_rows(self.path), "category", intents, str(self.path), self.name)
        hub = HubSet(dataset=self.dataset, split=self.split, revision=self.revision, streaming=self.streaming)
        return english(hub.records("label"), "label", intents, hub.where, self.name)
