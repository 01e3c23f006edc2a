"""From sources to a corpus: checked labels, no duplicates, no leak of a frozen case, a held-out split, a token budget.

The split is by content hash, so a row never changes sides as data grows. The budget is a stratified slice: languages and
tasks by their shares, intents in turn. Not covered yet: PII, near-duplicates among the training rows themselves, streaming.
"""

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, TypeVar

from data.artifact import ArtifactStore, Corpus, code_digest, write_json
from data.chat import Row, dialog_rows, intent_row
from data.errors import BadInput
from data.labels import meant
from data.schema import Dialog, IntentCase, Message, Taxonomy, Utterance, write_jsonl
from data.shop import Shop
from data.sources import Examples

LEAK_SIMILARITY = (
    0.6  # Jaccard of character trigrams: one typo or another number stays above it, a paraphrase far below
)
T = TypeVar("T")


def build_corpus(
    store: ArtifactStore,
    shop: Shop,
    examples: Examples,
    *,
    section: dict[str, Any],
    count_tokens: Callable[[Row], int],
    tokenizer_digest: str,
) -> Corpus:
    """The corpus of these examples: `train.jsonl` (`Row`), `held_out.jsonl` (`IntentCase`) and `statistics.json`.

    `section` is the recipe's data section as JSON; `count_tokens` gives a row's length, prompt and completion, in tokens of
    the base.

    Raises:
        BadInput: a label outside the taxonomy, one text with two labels, or a frozen case among the training rows.
    """
    examples_digest = hashlib.sha256(
        "\n".join(row.model_dump_json() for row in chain(examples.utterances, examples.dialogs)).encode()
    ).hexdigest()
    return store.build(
        Corpus,
        lambda folder: _fill(folder, shop, examples, section, count_tokens),
        inputs={"shop": shop.digest(), "examples": examples_digest, "tokenizer": tokenizer_digest},
        section=section,
        code=code_digest("data.build", "data.chat", "data.schema"),
    )


def normalized(text: str) -> str:
    """The text as duplicates are compared: NFKC, lower case, letters and digits only."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def check_labels(utterances: Sequence[Utterance], taxonomy: Taxonomy) -> None:
    """Refuses labels outside the taxonomy (with the nearest valid one) and texts that carry two labels."""
    problems = []
    for label, count in Counter(row.intent for row in utterances if row.intent not in taxonomy.intents).items():
        problems.append(f"{count} rows labelled {label!r}, which intents.yaml lacks{meant(label, taxonomy)}")
    labels: dict[str, set[str]] = defaultdict(set)
    for row in utterances:
        labels[normalized(row.text)].add(row.intent)
    texts = {normalized(row.text): row.text for row in utterances}
    problems += [f"{texts[k]!r} is labelled {' and '.join(sorted(v))}" for k, v in labels.items() if len(v) > 1]
    if problems:
        raise BadInput("the training labels contradict the taxonomy or each other:\n" + "\n".join(problems))


def find_leaks(texts: Sequence[str], cases: Sequence[str]) -> list[tuple[str, str, float]]:
    """Each (training text, frozen case, similarity) that are the same or nearly so: Jaccard similarity of the character
    trigrams of the normalized texts, at least `LEAK_SIMILARITY`."""
    from sklearn.feature_extraction.text import CountVectorizer

    if not texts or not cases:
        return []
    vectorizer = CountVectorizer(analyzer=_trigrams, binary=True, dtype="int32")
    frozen = vectorizer.fit_transform(cases)
    rows = vectorizer.transform(texts)
    sizes = [len(set(_trigrams(text))) for text in texts]
    frozen_sizes = frozen.sum(axis=1).A1 if hasattr(frozen.sum(axis=1), "A1") else frozen.sum(axis=1)
    shared = (rows @ frozen.T).tocoo()
    leaks = []
    for row, case, common in zip(shared.row, shared.col, shared.data, strict=True):
        similarity = float(common) / (sizes[row] + float(frozen_sizes[case]) - float(common))
        if similarity >= LEAK_SIMILARITY:
            leaks.append((texts[row], cases[case], similarity))
    return leaks


def is_held_out(text: str, share: float) -> bool:
    """Whether a text belongs to the held-out side: decided by its content alone."""
    return _hash(normalized(text)) % 10_000 < share * 10_000


def _fill(
    folder: Path, shop: Shop, examples: Examples, section: dict[str, Any], count_tokens: Callable[[Row], int]
) -> dict[str, Any]:
    check_labels(examples.utterances, shop.taxonomy)
    _refuse_leaks(shop, examples)
    utterances = list({normalized(row.text): row for row in examples.utterances}.values())
    held_out = [row for row in utterances if is_held_out(row.text, section["validation"])]
    kept = [row for row in utterances if not is_held_out(row.text, section["validation"])]
    train: list[Row] = []
    tokens: Counter[str] = Counter()
    for task, language, rows in chain(_intent_groups(kept, shop), _dialog_groups(examples.dialogs, shop)):
        share = section["shares"].get(task, 0) * section["languages"].get(language, 0)
        times = section["repeat"].get(task, 1)
        taken, used = _take(rows, section["max_tokens"] * share / times, count_tokens)
        train += taken * times
        tokens[f"{task}.{language}"] = used * times
    cases = [
        IntentCase(id=f"held-out-{index:04d}", text=row.text, intent=row.intent, language=row.language)
        for index, row in enumerate(sorted(held_out, key=lambda row: _hash(row.text)))
    ]
    write_jsonl(folder / "train.jsonl", train)
    write_jsonl(folder / "held_out.jsonl", cases)
    statistics = {
        "rows": len(train),
        "held_out": len(cases),
        "duplicates_dropped": len(examples.utterances) - len(utterances),
        "tokens": dict(tokens),
        "tasks": dict(Counter(row.task for row in train)),
        "languages": dict(Counter(row.language for row in train)),
        "intents": dict(Counter(row.intent for row in train if row.intent)),
    }
    write_json(folder / "statistics.json", statistics)
    return statistics


def _refuse_leaks(shop: Shop, examples: Examples) -> None:
    texts = [row.text for row in examples.utterances]
    texts += [turn.content for dialog in examples.dialogs for turn in dialog.messages if turn.role == "user"]
    # a tool case's earlier turns are often single words; what it tests is its whole conversation
    leaks = find_leaks(texts, [case.text for case in shop.intent_cases()])
    whole = [user_text(dialog.messages) for dialog in examples.dialogs]
    leaks += find_leaks(whole, [user_text(case.messages) for case in shop.tool_cases()])
    if leaks:
        shown = "\n".join(f"  {text!r} ~ frozen case {case!r} ({similarity:.2f})" for text, case, similarity in leaks)
        raise BadInput(f"{len(leaks)} training rows repeat a frozen evaluation case; remove or rewrite them:\n{shown}")


def user_text(messages: Iterable[Message]) -> str:
    """Everything that the customer says in a conversation."""
    return "\n".join(message.content for message in messages if message.role == "user")


def _intent_groups(utterances: list[Utterance], shop: Shop) -> Iterator[tuple[str, str, list[list[Row]]]]:
    """For each language the intent rows, the intents in turn."""
    for language in ("en", "zh"):
        by_intent: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(utterances, key=lambda row: _hash(row.text)):
            if row.language == language:
                by_intent[row.intent].append(intent_row(row, shop.prompts, row.source))
        yield "intent", language, [[row] for row in _in_turn(by_intent.values())]


def _dialog_groups(dialogs: list[Dialog], shop: Shop) -> Iterator[tuple[str, str, list[list[Row]]]]:
    """For each language the dialogs, each with all its rows, in the order of their hashes."""
    for language in ("en", "zh"):
        chosen = sorted((d for d in dialogs if d.language == language), key=lambda dialog: _hash(dialog.id))
        yield "dialog", language, [list(dialog_rows(dialog, shop.prompts, shop.tools)) for dialog in chosen]


def _take(groups: list[list[Row]], budget: float, count_tokens: Callable[[Row], int]) -> tuple[list[Row], int]:
    """The first groups that fit into the budget, and the tokens they take."""
    taken: list[Row] = []
    used = 0
    for group in groups:
        tokens = sum(count_tokens(row) for row in group)
        if used + tokens > budget:
            break
        taken += group
        used += tokens
    return taken, used


def _in_turn(lists: Iterable[list[T]]) -> list[T]:
    return [item for tier in zip_longest(*lists) for item in tier if item is not None]


def _trigrams(text: str) -> list[str]:
    plain = f"^{normalized(text)}$"
    return [plain[i : i + 3] for i in range(max(1, len(plain) - 2))]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
