"""From sifted rows to a corpus: both sides of the split, a token budget for the training side, a page to read.

The budget is a stratified slice: languages and tasks by their shares, intents in turn; only what it takes is ever held. The
split is by content hash, so a row never changes sides as data grows (`data/intake.py`).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from data.artifact import ArtifactStore, Corpus, Sifted, code_digest, write_json
from data.chat import Row, dialog_rows, intent_row
from data.intake import content_hash
from data.page import corpus_page
from data.schema import Dialog, IntentCase, Utterance, write_jsonl
from data.shop import Shop
from data.staging import Staging

BIN = 50  # tokens, of the histograms of lengths
LANGUAGES = ("en", "zh")
T = TypeVar("T")


def build_corpus(
    store: ArtifactStore,
    shop: Shop,
    sifted: Sifted,
    *,
    section: Mapping[str, Any],
    count_tokens: Callable[[Row], int],
    tokenizer_digest: str,
) -> Corpus:
    """The corpus of sifted rows: `train.jsonl` (`Row`), `held_out.jsonl` (`IntentCase`), `dropped.jsonl` (what was left out,
    where it was and why), `statistics.json` and `corpus.html`.

    `section` is the recipe's data section as JSON; `count_tokens` gives a row's length, prompt and completion, in tokens of
    the base.
    """

    def make(folder: Path) -> dict[str, Any]:
        with Staging(sifted.folder / Sifted.ROWS) as staging:
            return _write(folder, staging, shop, section, count_tokens, sifted.facts)

    return store.build(
        Corpus,
        make,
        inputs={"shop": shop.digest(), "sifted": sifted.folder.name, "tokenizer": tokenizer_digest},
        section=dict(section),
        code=code_digest("data.build", "data.chat", "data.intake", "data.page", "data.schema", "data.staging"),
    )


def _write(
    folder: Path,
    staging: Staging,
    shop: Shop,
    section: Mapping[str, Any],
    count_tokens: Callable[[Row], int],
    read: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes both sides, what was left out and the page, and counts what the training side holds."""
    train: list[Row] = []
    tokens: dict[str, int] = {}
    lengths: dict[str, Counter[int]] = defaultdict(Counter)
    for task, language, groups in _groups(staging, shop):
        share = section["shares"].get(task, 0) * section["languages"].get(language, 0)
        times = section["repeat"].get(task, 1)
        taken = _take(groups, section["max_tokens"] * share / times, count_tokens)
        lengths[task].update(length // BIN * BIN for _, length in taken)
        taken = _repeated(taken, times)
        tokens[f"{task}.{language}"] = sum(length for _, length in taken)
        train += [row for row, _ in taken]
    held_out = [case for language in LANGUAGES for case in _cases(staging.utterances(language, held_out=True))]
    dropped = list(staging.dropped())
    facts = {**read, "held_out": len(held_out), "tokens": tokens, **_counts(train)}
    statistics = facts | {"lengths": {task: dict(sorted(bins.items())) for task, bins in lengths.items()}}
    write_jsonl(folder / "train.jsonl", train)
    write_jsonl(folder / "held_out.jsonl", held_out)
    write_jsonl(folder / "dropped.jsonl", (one._asdict() for one in dropped))
    write_json(folder / "statistics.json", statistics)
    (folder / "corpus.html").write_text(corpus_page(statistics, train, dropped, section, BIN), encoding="utf-8")
    return facts


def _counts(train: list[Row]) -> dict[str, Any]:
    return {
        "rows": len(train),
        "tasks": dict(Counter(row.task for row in train)),
        "languages": dict(Counter(row.language for row in train)),
        "intents": dict(Counter(row.intent for row in train if row.intent)),
    }


def _groups(staging: Staging, shop: Shop) -> Iterator[tuple[str, str, Iterator[list[Row]]]]:
    """For each task and language the rows that belong together: one of an utterance, all of a dialog."""
    for language in LANGUAGES:
        bodies = map(Utterance.model_validate_json, staging.utterances(language, held_out=False))
        yield "intent", language, ([intent_row(one, shop.prompts, one.source)] for one in bodies)
    for language in LANGUAGES:
        dialogs = map(Dialog.model_validate_json, staging.dialogs(language))
        yield "dialog", language, (list(dialog_rows(one, shop.prompts, shop.tools)) for one in dialogs)


def _take(groups: Iterable[list[Row]], budget: float, count_tokens: Callable[[Row], int]) -> list[tuple[Row, int]]:
    """The rows of the first groups that fit into the budget, each with its length in tokens."""
    taken: list[tuple[Row, int]] = []
    used = 0
    for group in groups:
        lengths = [count_tokens(row) for row in group]
        used += sum(lengths)
        if used > budget:
            break
        taken += zip(group, lengths, strict=True)
    return taken


def _repeated(rows: list[T], times: float) -> list[T]:
    """The rows `times` times: a fraction stands for the first of them, which `_groups` yields in no order of meaning."""
    whole = int(times)
    return rows * whole + rows[: round(len(rows) * (times - whole))]


def _cases(bodies: Iterable[str]) -> Iterator[IntentCase]:
    for body in bodies:
        row = json.loads(body)
        yield IntentCase(
            id=f"held-out-{content_hash(row['text']):016x}",
            text=row["text"],
            intent=row["intent"],
            language=row["language"],
        )
