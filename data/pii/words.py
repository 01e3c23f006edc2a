"""The word lists of `words.yaml`. Not covered: surnames (`data/pii/surnames.py`) and Faker's lists of names."""

from functools import lru_cache
from pathlib import Path

import yaml


@lru_cache
def words(group: str) -> tuple[str, ...]:
    """The words of a group, in the order of the file."""
    return tuple(_groups()[group].split())


@lru_cache
def word_set(group: str) -> frozenset[str]:
    """The words of a group, to look up."""
    return frozenset(words(group))


@lru_cache(1)
def _groups() -> dict[str, str]:
    groups: dict[str, str] = yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))
    return groups
