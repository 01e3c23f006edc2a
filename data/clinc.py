"""`clinc_oos` (CLINC150): one utterance and one of 150 intents of an assistant, or `oos`, which is `out_of_scope` here.

Read from the Hub, or from the authors' JSON: an object with a list of `[text, intent]` for each split, the out-of-scope ones in
lists of their own. Not covered: the grouping of intents into ten domains.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from data.hub import HubSet
from data.json_stream import items
from data.label_map import ReadyLabels
from data.labelled import english
from data.rows import Found
from data.schema import Text, Utterance
from data.shop import Shop
from data.tables import TableRow


class ClincSource(ReadyLabels):
    """CLINC150, from the Hub or from its JSON file."""

    name: Literal["clinc_oos"]
    path: Path | None = None  # data_full.json or one of its variants; by default the Hub's set
    dataset: Text = "clinc/clinc_oos"
    config: Literal["plus", "small", "imbalanced"] = "plus"  # of the Hub's set
    split: Literal["train", "validation", "test"] = "train"
    revision: str | None = None
    streaming: bool = False

    def rows(self, shop: Shop) -> Iterator[Found[Utterance]]:
        """The utterances."""
        intents = self.intents(shop.taxonomy)
        if self.path:
            return english(self._pairs(self.path), "intent", intents, str(self.path), self.name)
        hub = HubSet(
            dataset=self.dataset,
            config=self.config,
            split=self.split,
            revision=self.revision,
            streaming=self.streaming,
        )
        return english(hub.records("intent"), "intent", intents, hub.where, self.name)

    def _pairs(self, path: Path) -> Iterator[TableRow]:
        split = "val" if self.split == "validation" else self.split
        pairs = chain(items(path, f"{split}.item"), items(path, f"oos_{split}.item"))
        return (Found(str(number), _columns(pair)) for number, pair in enumerate(pairs, 1))


def _columns(pair: Any) -> dict[str, Any]:
    text, intent = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
    return {"text": text, "intent": intent}
