"""Dialogs of any source into a file of another form, one by one.

Not covered: what the forms are (`data/export.py`); utterances, which no form of dialogs has a place for.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from data.errors import BadInput
from data.export import to_openai, to_sharegpt
from data.rows import SHOWN
from data.schema import Dialog
from data.shop import Shop
from data.sources import ShopSource, guessed


def export(path: Path, to: Path, form: Literal["openai", "sharegpt"], shop: Shop) -> dict[str, Any]:
    """Writes the dialogs of a file, or of a whole shop, and says how many there are; utterances are counted and left out.

    Raises:
        BadInput: there is no such file, or rows are bad; then nothing is written.
    """
    shop = Shop.open(path) if path.is_dir() else shop
    write = {"openai": to_openai, "sharegpt": to_sharegpt}[form]
    problems: list[str] = []
    dialogs = utterances = 0
    with _whole(to) as file:
        for place, row, problem in (ShopSource(name="shop") if path.is_dir() else guessed(path)).rows(shop):
            if isinstance(row, Dialog):
                file.write(json.dumps(write(row, shop.tools), ensure_ascii=False) + "\n")
                dialogs += 1
            elif row is not None:
                utterances += 1
            elif len(problems) <= SHOWN:
                problems.append(f"{place}: {problem}")
        if problems:
            more = "\n... and more" if len(problems) > SHOWN else ""
            raise BadInput("\n".join(problems[:SHOWN]) + more + f"\nmend these rows; kefu data check {path} shows all")
        if not dialogs:
            raise BadInput(f"{path}: {utterances} utterances and no dialog; only dialogs have these forms")
    return {"file": str(to), "form": form, "dialogs": dialogs, "utterances_left_out": utterances}


@contextmanager
def _whole(to: Path) -> Iterator[IO[str]]:
    """A file that is there when it is complete, or not at all."""
    part = to.with_name(f"{to.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(to)
    except OSError as error:
        raise BadInput(f"{to}: cannot be written ({error.strerror}); choose another place with --to") from error
    finally:
        part.unlink(missing_ok=True)
