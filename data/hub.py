"""Data sets of the Hub, or local folders of the same form, through the library `datasets`.

The library keeps a set in its cache on disk and maps it, so that none is in memory whole; with `streaming` it keeps nothing.
Not covered: sets that are still a script (the library no longer runs them), private sets' tokens (`HF_TOKEN`).
"""

from collections.abc import Iterator
from typing import Any

from data.errors import BadInput, EnvironmentLacks
from data.rows import Found
from data.schema import Strict, Text
from data.tables import TableRow


class HubSet(Strict):
    """Where a data set lies."""

    dataset: Text  # such as clinc/clinc_oos, or a folder
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    streaming: bool = False  # read over the network row by row, for a set larger than the disk

    @property
    def where(self) -> str:
        """The place that messages name."""
        return f"{self.dataset}[{self.split}]"

    def records(self, label: str | None = None) -> Iterator[TableRow]:
        """Its rows, numbered from 1; a column of labels that are kept as numbers is given its names back.

        Raises:
            BadInput: no such data set, configuration or split.
            EnvironmentLacks: the Hub cannot be reached and the set is not in its cache.
        """
        found = self._loaded()
        names = getattr((found.features or {}).get(label), "names", None)
        for number, row in enumerate(found, 1):
            yield Found(str(number), _named(dict(row), label, names) if label and names else row)

    def _loaded(self) -> Any:
        import datasets

        datasets.disable_progress_bars()
        try:
            return datasets.load_dataset(
                self.dataset, self.config, split=self.split, revision=self.revision, streaming=self.streaming
            )
        except ConnectionError as error:
            raise EnvironmentLacks(
                f"data set {self.dataset}: the Hub cannot be reached ({error}); download it to a folder and name that"
            ) from error
        except (FileNotFoundError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise BadInput(f"data set {self.dataset} ({self.split}): {error}") from error
        except RuntimeError as error:
            if "script" not in str(error):
                raise
            raise BadInput(
                f"data set {self.dataset}: {error}; set revision: refs/convert/parquet, or name a copy in Parquet"
            ) from error


def _named(row: dict[str, Any], label: str, names: list[str]) -> dict[str, Any]:
    number = row.get(label)
    return row | {label: names[number]} if isinstance(number, int) and 0 <= number < len(names) else row
