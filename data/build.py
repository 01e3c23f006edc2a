"""From sources to a corpus: cleaned, checked, nothing twice, no leak of a frozen case, a held-out split, a token budget.

The split is by content hash, so a row never changes sides as data grows; rows of one group share a side. The budget is a
stratified slice: languages and tasks by their shares, intents in turn. Rows wait in a scratch database, so that there may be
more of them than memory holds; only what the budget takes is ever held.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from data.artifact import SCRATCH, ArtifactStore, Corpus, code_digest, file_digest, json_digest, write_json
from data.chat import Row, dialog_rows, intent_row
from data.intake import Intake, content_hash, refusal
from data.page import corpus_page
from data.rows import Found
from data.schema import Dialog, IntentCase, Utterance, write_jsonl
from data.shop import Shop
from data.sources import Example, Source
from data.staging import Dropped, Staging

PII = tuple(f"data.pii.{path.stem}" for path in sorted((Path(__file__).parent / "pii").glob("[a-z]*.py")))
AT_ONCE = 2_000  # rows
BIN = 50  # tokens, of the histograms of lengths
CODE = (
    "data.build",
    "data.chat",
    "data.cleaning",
    "data.firewall",
    "data.intake",
    "data.labels",
    "data.schema",
    "data.staging",
)
LANGUAGES = ("en", "zh")
Track = Callable[[Iterable[Found[Example]]], Iterable[Found[Example]]]


def build_corpus(
    store: ArtifactStore,
    shop: Shop,
    sources: Iterable[Source],
    *,
    section: Mapping[str, Any],
    count_tokens: Callable[[Row], int],
    tokenizer_digest: str,
    track: Track = iter,
) -> Corpus:
    """The corpus of some sources: `train.jsonl` (`Row`), `held_out.jsonl` (`IntentCase`), `dropped.jsonl` (what was left out,
    where it was and why), `statistics.json` and `corpus.html`.

    `section` is the recipe's data section as JSON; `count_tokens` gives a row's length, prompt and completion, in tokens of
    the base; `track` may watch the rows of a source as they are read.

    Raises:
        BadInput: a frozen case is among the rows; or some are malformed, have a label that the taxonomy lacks, or two
            labels, and the section does not say to drop them.
    """
    sources = tuple(sources)

    def make(folder: Path) -> dict[str, Any]:
        scratch = folder / SCRATCH / "rows.sqlite"
        scratch.parent.mkdir(exist_ok=True)
        scratch.unlink(missing_ok=True)
        with Staging(scratch) as staging:
            read = _read(staging, sources, shop, section, track)
            return _write(folder, staging, shop, section, count_tokens, read)

    return store.build(
        Corpus,
        make,
        inputs={"shop": shop.digest(), "sources": sources_digest(sources, shop), "tokenizer": tokenizer_digest},
        section=dict(section),
        code=code_digest(*CODE, *PII),
    )


def sources_digest(sources: Iterable[Source], shop: Shop) -> str:
    """The digest of what sources hold: of their file where they have one (the shop has its own digest), else of their
    rows, which takes a pass over them."""
    digests = []
    for source in sources:
        path = getattr(source, "path", None)
        if source.name == "shop":
            continue
        if path is not None and path.is_file():
            digests.append(file_digest(path))
            continue
        rows = hashlib.sha256()
        for found in source.rows(shop):
            rows.update(repr(found).encode("utf-8", "surrogatepass"))
        digests.append(rows.hexdigest())
    return json_digest(digests)


def _read(
    staging: Staging, sources: Iterable[Source], shop: Shop, section: Mapping[str, Any], track: Track
) -> dict[str, Any]:
    """Takes in what is good, then looks at all of it together. Returns how many rows there were, what was left out, and how
    many pieces of personal data were replaced."""
    intake, rows, duplicates = Intake(shop, section["validation"]), 0, 0
    for source in sources:
        people, waiting = source.name in section["redact_people"], iter(track(source.rows(shop)))
        while batch := list(islice(waiting, AT_ONCE)):
            good = intake.take(batch, people=people)
            rows += len(batch)
            duplicates += len(good) - staging.add(good)
    intake.refuse_leaks()
    contradictions = [
        Dropped("contradiction", labels[0][1], text, "is " + ", and ".join(f"{label} at {at}" for label, at in labels))
        for text, labels in staging.contradictions()
    ]
    if section["bad_rows"] == "refuse" and (problems := [*intake.bad, *contradictions]):
        raise refusal(problems)
    staging.drop(intake.bad)
    staging.drop_contradictions()
    staging.drop_near_duplicates(section["near_duplicates"])
    if section["per_intent"]:
        staging.keep_at_most(section["per_intent"])
    dropped = staging.dropped_counts()
    dropped |= {"duplicate": duplicates} if duplicates else {}
    return {"read": rows, "dropped": dropped, "pii_redacted": dict(intake.redacted)}


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
        tokens[f"{task}.{language}"] = sum(length for _, length in taken) * times
        lengths[task].update(length // BIN * BIN for _, length in taken)
        train += [row for row, _ in taken] * times
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


def _cases(bodies: Iterable[str]) -> Iterator[IntentCase]:
    for body in bodies:
        row = json.loads(body)
        yield IntentCase(
            id=f"held-out-{content_hash(row['text']):016x}",
            text=row["text"],
            intent=row["intent"],
            language=row["language"],
        )
