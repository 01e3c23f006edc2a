"""From a recipe's sources to a corpus, counted in tokens of the base; and the check of data before anything is trained.

Not covered: what a source yields (`data/sources.py`) and how it is sifted (`data/build.py`).
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from data.artifact import ArtifactStore, Base, Corpus, Sifted, folder_files, json_digest
from data.build import build_corpus
from data.chat import Row
from data.check import Finding, check
from data.lengths import Lengths
from data.pii import redact
from data.rows import SHOWN
from data.schema import IntentCase, read_jsonl
from data.shop import Shop
from data.sift import sift
from data.sources import Example, ShopSource, guessed
from pipelines.base_model import base_tokenizer, load_tokenizer
from pipelines.encode import encode
from pipelines.screen import counted, screen
from recipes.recipe import Recipe

PLACES = 3  # further places of a finding that the screen shows


def sift_sources(store: ArtifactStore, shop: Shop, recipe: Recipe) -> Sifted:
    """The rows of a recipe's sources, sifted.

    Raises:
        BadInput: a source is missing or malformed, or its rows contradict the taxonomy or repeat a frozen case.
    """
    section = recipe.data.model_dump(mode="json")
    return sift(store, shop, recipe.data.sources, section, lambda rows: counted("rows", rows))


def prepare(store: ArtifactStore, shop: Shop, recipe: Recipe, base: Base, sifted: Sifted) -> Corpus:
    """The corpus of a recipe."""

    @cache
    def tokenizer() -> Any:  # seconds to load, and not needed where the corpus exists
        return load_tokenizer(base.folder)

    def count_tokens(row: Row) -> int:
        return len(encode(tokenizer(), row))

    return build_corpus(
        store,
        shop,
        sifted,
        section=recipe.data.model_dump(mode="json"),
        count_tokens=count_tokens,
        tokenizer_digest=tokenizer_digest(base),
    )


def utterances(corpus: Corpus) -> list[IntentCase]:
    """The labelled utterances that a corpus trains on, each once."""
    rows = read_jsonl(corpus.folder / "train.jsonl", Row)
    labelled = {row.messages[-1].content: row for row in rows if row.intent is not None}
    return [IntentCase(text=text, intent=row.intent or "", language=row.language) for text, row in labelled.items()]


def tokenizer_digest(base: Base) -> str:
    """The digest of what decides how a text is cut: everything in the base but its weights."""
    return json_digest(
        {name: digest for name, digest in folder_files(base.folder).items() if "safetensors" not in name}
    )


def check_data(path: Path, shop: Shop, recipe: Recipe | None = None) -> dict[str, Any]:
    """Looks at a file in a form that a source knows, or at a whole shop, and says what training would keep of it and
    everything that is wrong with it; with a recipe also which rows are too long for it. Changes nothing.

    Raises:
        BadInput: there is no such file, or it has none of the known forms.
    """
    shop = Shop.open(path) if path.is_dir() else shop
    lengths = _lengths(recipe) if recipe else None
    checked = check((ShopSource(name="shop") if path.is_dir() else guessed(path)).rows(shop), shop, lengths)
    rows: list[Example] = [*checked.utterances.values(), *checked.dialogs.values()]
    bad = {place: str(finding.kind) for finding in checked.findings for place in finding.places}
    dropped = Counter(bad.values()) + Counter(duplicate=checked.duplicates)
    return {
        "rows": checked.rows,
        "kept": checked.rows - sum(dropped.values()),
        "dropped": dict(dropped),
        "languages": dict(Counter(row.language for row in rows)),
        "intents": {
            name: sum(row.intent == name for row in checked.utterances.values()) for name in shop.taxonomy.names
        },
        "leaks": checked.counts["leak"],
        "findings": {kind: _places(checked.findings, kind) for kind in checked.counts},
        "pii_redacted": sum(sum(redact(row, people=False)[1].values()) for row in rows),
        **({"tokens": lengths.summary()} if lengths else {}),
    }


def show_findings(body: dict[str, Any]) -> None:
    """Prints what `check_data` found: the figures, then each kind of finding with its first places."""
    out = screen()
    out.print_json(data={key: value for key, value in body.items() if key != "findings"})
    for kind, findings in body["findings"].items():
        out.print(f"\n[bold red]{kind}[/] ({sum(len(finding['places']) for finding in findings)})")
        for finding in findings[:SHOWN]:
            first, *more = finding["places"]
            also = f" ({len(more) + 1} rows, also {', '.join(more[:PLACES])}{', ...' if len(more) > PLACES else ''})"
            out.print(f"  {first}: {finding['what']}{also if more else ''}", markup=False, soft_wrap=True)
        if len(findings) > SHOWN:
            out.print(f"  ... and {len(findings) - SHOWN} more (all of them with --json)")


def corpus_summary(corpus: Corpus) -> dict[str, Any]:
    """The same figures for a corpus that was built."""
    facts = corpus.facts
    return {
        "rows": facts["read"],
        "kept": facts["rows"],
        **{name: facts[name] for name in ("held_out", "dropped", "languages", "intents", "tasks", "tokens")},
        "leaks": 0,  # a corpus with a leak is not built
        "pii_redacted": sum(facts["pii_redacted"].values()),
        "folder": str(corpus.folder),
    }


def _places(findings: Iterable[Finding], kind: str) -> list[dict[str, Any]]:
    return [{"what": finding.what, "places": list(finding.places)} for finding in findings if finding.kind == kind]


def _lengths(recipe: Recipe) -> Lengths:
    tokenizer = base_tokenizer(recipe.base)

    def count(row: Row) -> tuple[int, int]:
        encoded = encode(tokenizer, row)
        return len(encoded.prompt), len(encoded.completion)

    return Lengths(count, recipe.train.max_length, recipe.serve.answer_tokens)
