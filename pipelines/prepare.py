"""From a recipe's sources to a corpus, counted in tokens of the base; and the check of data before anything is trained.

Not covered: what a source yields (`data/sources.py`) and how it is sifted (`data/build.py`).
"""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from data.artifact import ArtifactStore, Base, Corpus, folder_files, json_digest
from data.build import build_corpus, check_labels, find_leaks, normalized
from data.chat import Row
from data.schema import Taxonomy
from data.shop import Shop
from data.sources import Examples, ShopSource, guessed, read_sources
from pipelines.base_model import load_tokenizer
from pipelines.encode import encode
from recipes.recipe import DataRecipe, Recipe


def prepare(store: ArtifactStore, shop: Shop, recipe: Recipe, base: Base) -> Corpus:
    """The corpus of a recipe.

    Raises:
        BadInput: a source is missing or malformed, or its rows contradict the taxonomy or repeat a frozen case.
    """

    @cache
    def tokenizer() -> Any:  # seconds to load, and not needed where the corpus exists
        return load_tokenizer(base.folder)

    def count_tokens(row: Row) -> int:
        return len(encode(tokenizer(), row))

    return build_corpus(
        store,
        shop,
        read_sources(recipe.data.sources, shop),
        section=recipe.data.model_dump(mode="json"),
        count_tokens=count_tokens,
        tokenizer_digest=tokenizer_digest(base),
    )


def tokenizer_digest(base: Base) -> str:
    """The digest of what decides how a text is cut: everything in the base but its weights."""
    return json_digest(
        {name: digest for name, digest in folder_files(base.folder).items() if "safetensors" not in name}
    )


def check_data(path: Path, shop: Shop) -> dict[str, Any]:
    """Looks at a file in a form that a source knows, or at a whole shop, and says what training would keep of it. Changes
    nothing.

    Raises:
        BadInput: a file is missing or malformed, or labels contradict the taxonomy or each other.
    """
    shop = Shop.open(path) if path.is_dir() else shop
    source = ShopSource(name="shop") if path.is_dir() else guessed(path)
    examples = source.read(shop)
    check_labels(examples.utterances, shop.taxonomy)
    texts = {normalized(row.text): row.text for row in examples.utterances}
    leaking = {text for text, _, _ in find_leaks(list(texts.values()), [case.text for case in shop.intent_cases()])}
    rows = len(examples.utterances) + len(examples.dialogs)
    dropped = {"duplicate": len(examples.utterances) - len(texts), "leak": len(leaking)}
    languages = [row.language for row in examples.utterances] + [dialog.language for dialog in examples.dialogs]
    return {
        "rows": rows,
        "kept": rows - sum(dropped.values()),
        "dropped": {reason: count for reason, count in dropped.items() if count},
        "languages": dict(Counter(languages)),
        "intents": _by_intent(examples, shop.taxonomy),
        "leaks": len(leaking),
        "leaking": sorted(leaking)[:20],
        "pii_redacted": 0,
    }


def corpus_summary(corpus: Corpus, shop: Shop, recipe: DataRecipe) -> dict[str, Any]:
    """The same figures for a corpus that was built."""
    examples, facts = read_sources(recipe.sources, shop), corpus.facts
    rows = len(examples.utterances) + len(examples.dialogs)
    return {
        "rows": rows,
        "kept": facts["rows"],
        "held_out": facts["held_out"],
        "dropped": {"duplicate": facts["duplicates_dropped"]} if facts["duplicates_dropped"] else {},
        "languages": facts["languages"],
        "intents": facts["intents"],
        "tasks": facts["tasks"],
        "tokens": facts["tokens"],
        "leaks": 0,  # a corpus with a leak is not built
        "pii_redacted": 0,
        "folder": str(corpus.folder),
    }


def _by_intent(examples: Examples, taxonomy: Taxonomy) -> dict[str, int]:
    counts = Counter(row.intent for row in examples.utterances)
    return {name: counts[name] for name in taxonomy.names}
