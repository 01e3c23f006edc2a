"""The corpus: no leak, no contradiction, a split by content, a budget kept."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.artifact import ArtifactStore, Corpus
from data.build import build_corpus, find_leaks, is_held_out
from data.chat import Row
from data.errors import BadInput
from data.schema import IntentCase, Utterance, read_jsonl
from data.shop import Shop
from data.sources import Examples, ShopSource, read_sources

SECTION: dict[str, Any] = {
    "max_tokens": 4000,
    "shares": {"intent": 0.5, "dialog": 0.5},
    "languages": {"en": 0.75, "zh": 0.25},
    "repeat": {},
    "validation": 0.1,
}


def words(row: Row) -> int:
    return sum(len(message.content.split()) for message in row.messages) + len(row.completion.split())


def build(store: ArtifactStore, examples: Examples, shop: Shop, **section: Any) -> Corpus:
    return build_corpus(store, shop, examples, section=SECTION | section, count_tokens=words, tokenizer_digest="words")


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


@pytest.fixture(scope="module")
def examples(shop: Shop) -> Examples:
    return read_sources([ShopSource(name="shop")], shop)


def test_the_default_corpus_has_what_the_recipes_need(shop: Shop, examples: Examples) -> None:
    for language, least in (("en", 80), ("zh", 40)):
        for intent in shop.taxonomy.names:
            assert sum(row.intent == intent and row.language == language for row in examples.utterances) >= least
    assert len(examples.dialogs) >= 120
    assert {entry.language for entry in shop.faq} == {"en", "zh"}
    assert len({(entry.id, entry.language) for entry in shop.faq}) == len(shop.faq) >= 160


def test_a_corpus_keeps_its_budget_and_its_sides(tmp_path: Path, shop: Shop, examples: Examples) -> None:
    corpus = build(ArtifactStore(tmp_path), examples, shop)
    rows, held_out = (
        read_jsonl(corpus.folder / "train.jsonl", Row),
        read_jsonl(corpus.folder / "held_out.jsonl", IntentCase),
    )
    assert sum(map(words, rows)) <= SECTION["max_tokens"]
    assert corpus.facts["tokens"]["intent.en"] > corpus.facts["tokens"]["intent.zh"] > 0
    trained = {row.messages[-1].content for row in rows}
    assert not trained & {case.text for case in held_out}
    counts = [n for intent, n in corpus.facts["intents"].items()]
    assert max(counts) - min(counts) <= 4  # intents in turn, for each language


def test_repeated_rows_count_every_time(tmp_path: Path, shop: Shop, examples: Examples) -> None:
    corpus = build(ArtifactStore(tmp_path), examples, shop, repeat={"dialog": 2})
    rows = read_jsonl(corpus.folder / "train.jsonl", Row)
    dialogs = [row.model_dump_json() for row in rows if row.intent is None]
    labels = [row.model_dump_json() for row in rows if row.intent is not None]

    assert len(dialogs) == 2 * len(set(dialogs)) > 0
    assert len(labels) == len(set(labels)) > 0
    assert sum(corpus.facts["tokens"].values()) == sum(map(words, rows)) <= SECTION["max_tokens"]


def test_the_order_of_the_sources_does_not_matter(tmp_path: Path, shop: Shop, examples: Examples) -> None:
    turned = Examples(examples.utterances[::-1], examples.dialogs[::-1])
    one, two = build(ArtifactStore(tmp_path / "1"), examples, shop), build(ArtifactStore(tmp_path / "2"), turned, shop)
    assert one.digest == two.digest


@given(st.lists(st.text(min_size=1), max_size=20, unique=True), st.floats(0.01, 0.5))
def test_the_split_is_stable_under_growth(texts: list[str], share: float) -> None:
    assert [is_held_out(text, share) for text in texts] == [is_held_out(text, share) for text in [*texts, "new"][:-1]]
    assert all(is_held_out(text, 0.6) for text in texts if is_held_out(text, share))


def edited(text: str) -> list[str]:
    return [text, text.upper(), f"  {text}!!", text.replace(" ", "  "), text[:9] + "x" + text[9:]]


def test_planted_leaks_are_refused_and_named(tmp_path: Path, shop: Shop, examples: Examples) -> None:
    case = max(shop.intent_cases(), key=lambda case: len(case.text) * (case.language == "en"))
    for variant in edited(case.text):
        leak = Utterance(text=variant, intent=case.intent, language="en")
        with pytest.raises(BadInput, match="repeat a frozen evaluation case"):
            build(ArtifactStore(tmp_path), Examples([*examples.utterances, leak], examples.dialogs), shop)
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_paraphrase_is_no_leak() -> None:
    assert not find_leaks(["Could you tell me when the parcel arrives?"], ["Where is my package?"])
    assert find_leaks(["Where is my package, please?"], ["where is my package please"])
    assert not find_leaks([], ["x"])


def test_labels_are_checked_all_at_once(tmp_path: Path, shop: Shop) -> None:
    rows = [
        Utterance(text="a", intent="order_statu", language="en"),
        Utterance(text="b", intent="return_item", language="en"),
        Utterance(text="B!", intent="refund_status", language="en"),
    ]
    with pytest.raises(BadInput) as error:
        build(ArtifactStore(tmp_path), Examples(rows, []), shop)
    assert "meant order_status?" in str(error.value)
    assert "refund_status and return_item" in str(error.value)


def test_a_shop_folder_must_be_whole(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing intents.yaml, faq.yaml, tools.json, prompts, train, cases"):
        Shop.open(tmp_path)
    default = Shop.default()
    for name in ("intents.yaml", "faq.yaml", "faq_calibration.jsonl", "tools.json"):
        shutil.copy(default.folder / name, tmp_path)
    shutil.copytree(default.folder / "prompts", tmp_path / "prompts")
    shutil.copytree(default.train, tmp_path / "train")
    shutil.copytree(default.cases, tmp_path / "cases")
    assert Shop.open(tmp_path).digest() == default.digest()
