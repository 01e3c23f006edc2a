"""The corpus: no leak, no contradiction, a split by content, a budget kept."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.artifact import ArtifactStore, Corpus
from data.build import build_corpus
from data.chat import Row
from data.errors import BadInput
from data.intake import is_held_out
from data.rows import Found, all_good
from data.schema import Dialog, IntentCase, Utterance, read_jsonl
from data.shop import Shop
from data.sift import sift
from data.sources import Example, ShopSource

SECTION: dict[str, Any] = {
    "max_tokens": 4000,
    "shares": {"intent": 0.5, "dialog": 0.5},
    "languages": {"en": 0.75, "zh": 0.25},
    "repeat": {},
    "validation": 0.1,
    "near_duplicates": 0.7,
    "per_intent": None,
    "bad_rows": "refuse",
    "redact_people": [],
}


class Given(ShopSource):
    """Rows that a test gives, as a source."""

    given: tuple[Utterance | Dialog, ...] = ()

    def rows(self, shop: Shop) -> Iterator[Found[Example]]:
        return (Found(f"given:{number}", row) for number, row in enumerate(self.given, 1))


def words(row: Row) -> int:
    return sum(len(message.content.split()) for message in row.messages) + len(row.completion.split())


def build(store: ArtifactStore, examples: Iterable[Example], shop: Shop, **section: Any) -> Corpus:
    section = SECTION | section
    sifted = sift(store, shop, [Given(name="shop", given=tuple(examples))], section)
    return build_corpus(store, shop, sifted, section=section, count_tokens=words, tokenizer_digest="words")


def dropped(corpus: Corpus) -> list[tuple[str, str]]:
    lines = (corpus.folder / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["reason"], row["place"]) for row in map(json.loads, lines)]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


@pytest.fixture(scope="module")
def examples(shop: Shop) -> list[Example]:
    """A sixth of the shop's own: every intent and every kind of dialog is among them."""
    return all_good(ShopSource(name="shop").rows(shop))[::6]


def test_the_default_corpus_has_what_the_recipes_need(shop: Shop) -> None:
    examples = all_good(ShopSource(name="shop").rows(shop))
    counts = Counter((row.language, row.intent) for row in examples if isinstance(row, Utterance))
    for language, least in (("en", 80), ("zh", 40)):
        assert all(counts[language, intent] >= least for intent in shop.taxonomy.names)
    assert sum(isinstance(row, Dialog) for row in examples) >= 120
    assert {entry.language for entry in shop.faq} == {"en", "zh"}
    assert len({(entry.id, entry.language) for entry in shop.faq}) == len(shop.faq) >= 160


def test_a_corpus_keeps_its_budget_and_its_sides(tmp_path: Path, shop: Shop, examples: list[Example]) -> None:
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


def test_repeated_rows_count_every_time(tmp_path: Path, shop: Shop, examples: list[Example]) -> None:
    corpus = build(ArtifactStore(tmp_path), examples, shop, repeat={"dialog": 2})
    rows = read_jsonl(corpus.folder / "train.jsonl", Row)
    dialogs = [row.model_dump_json() for row in rows if row.intent is None]
    labels = [row.model_dump_json() for row in rows if row.intent is not None]

    assert len(dialogs) == 2 * len(set(dialogs)) > 0
    assert len(labels) == len(set(labels)) > 0
    assert sum(corpus.facts["tokens"].values()) == sum(map(words, rows)) <= SECTION["max_tokens"]


def test_a_fraction_repeats_some_rows_of_every_label(tmp_path: Path, shop: Shop, examples: list[Example]) -> None:
    corpus = build(ArtifactStore(tmp_path), examples, shop, repeat={"intent": 1.5})
    rows = read_jsonl(corpus.folder / "train.jsonl", Row)
    times = Counter(row.model_dump_json() for row in rows if row.intent is not None)
    twice = Counter(Row.model_validate_json(row).intent for row, count in times.items() if count == 2)

    assert set(times.values()) == {1, 2}
    assert abs(times.total() - 1.5 * len(times)) <= 1  # for each language one row may be rounded
    assert set(twice) == {row.intent for row in rows if row.intent is not None}
    assert sum(corpus.facts["tokens"].values()) == sum(map(words, rows)) <= SECTION["max_tokens"]


def test_the_order_of_rows_does_not_matter(tmp_path: Path, shop: Shop, examples: list[Example]) -> None:
    rows = [*examples[::4], Utterance(text="Is it back in stock?", intent="stock_availability", language="en")]
    rows += [row.model_copy(update={"text": row.text.upper()}) for row in rows if isinstance(row, Utterance)]
    one, two = build(ArtifactStore(tmp_path / "1"), rows, shop), build(ArtifactStore(tmp_path / "2"), rows[::-1], shop)
    assert one.digest == two.digest
    assert one.facts["dropped"]["duplicate"] > 0


@given(st.lists(st.text(min_size=1), max_size=20, unique=True), st.floats(0.01, 0.5))
def test_the_split_is_stable_under_growth(texts: list[str], share: float) -> None:
    assert [is_held_out(text, share) for text in texts] == [is_held_out(text, share) for text in [*texts, "new"][:-1]]
    assert all(is_held_out(text, 0.6) for text in texts if is_held_out(text, share))


def test_planted_leaks_are_refused_and_named(tmp_path: Path, shop: Shop) -> None:
    case = max(shop.intent_cases(), key=lambda case: len(case.text) * (case.language == "en"))
    leaks = [case.text, case.text.upper(), f"  {case.text}!!", case.text[:9] + "x" + case.text[9:]]
    rows = [Utterance(text=text, intent=case.intent, language="en") for text in leaks]
    with pytest.raises(BadInput, match="4 training rows repeat a frozen evaluation case") as error:
        build(ArtifactStore(tmp_path), rows, shop, bad_rows="drop")  # a leak is refused whatever is dropped
    assert all(f"given:{number}: " in str(error.value) for number in range(1, 5))
    assert not list(tmp_path.rglob("manifest.json"))


BAD = (
    Utterance(text="a", intent="order_statu", language="en"),
    Utterance(text="b", intent="return_item", language="en"),
    Utterance(text="B!", intent="refund_status", language="en"),
    Utterance(text="\u200b", intent="refund_status", language="en"),
    Utterance(text="the parcel came without its lid", intent="damaged_or_wrong_item", language="en"),
)


def test_bad_rows_are_refused_all_at_once(tmp_path: Path, shop: Shop) -> None:
    with pytest.raises(BadInput) as error:
        build(ArtifactStore(tmp_path), BAD, shop)
    message = str(error.value)
    assert "3 rows cannot be trained on (contradiction: 1, malformed: 1, unknown label: 1)" in message
    assert "given:1: 'a' 'order_statu' is not in intents.yaml; meant order_status?" in message
    assert "refund_status at given:3, and return_item at given:2" in message
    assert "given:4" in message


def test_bad_rows_are_left_out_where_the_recipe_says_so(tmp_path: Path, shop: Shop) -> None:
    corpus = build(ArtifactStore(tmp_path), BAD, shop, bad_rows="drop", validation=0.0001)
    assert corpus.facts["dropped"] == {"contradiction": 2, "malformed": 1, "unknown label": 1}
    assert set(dropped(corpus)) == {
        ("unknown label", "given:1"),
        ("malformed", "given:4"),
        ("contradiction", "given:2"),
        ("contradiction", "given:3"),
    }
    assert (corpus.facts["read"], corpus.facts["rows"]) == (5, 1)


def test_near_duplicates_of_one_label_are_dropped(tmp_path: Path, shop: Shop) -> None:
    text = "when will the blue enamel teapot be available again in your shop"
    rows = [
        Utterance(text=text, intent="stock_availability", language="en"),
        Utterance(text=text.replace("enamel", "enamell"), intent="stock_availability", language="en"),
        Utterance(text=text.replace("when", "wen"), intent="product_inquiry", language="en"),
        Utterance(text="do you still carry the teapot in blue", intent="stock_availability", language="en"),
    ]
    corpus = build(ArtifactStore(tmp_path), rows, shop, validation=0.0001)
    assert [reason for reason, _ in dropped(corpus)] == ["near-duplicate"]
    assert corpus.facts["rows"] == 3


def test_an_intent_may_be_cut_down(tmp_path: Path, shop: Shop, examples: list[Example]) -> None:
    corpus = build(ArtifactStore(tmp_path), examples, shop, per_intent=3, validation=0.0001, max_tokens=10**6)
    counts = Counter((row.language, row.intent) for row in read_jsonl(corpus.folder / "train.jsonl", Row) if row.intent)
    assert set(counts.values()) == {3}
    assert corpus.facts["dropped"]["over the limit"] > 500


def test_personal_data_becomes_surrogates(tmp_path: Path, shop: Shop) -> None:
    rows = [
        Utterance(text=f"my phone is 1380013{n}, call me", intent="complaint", language="en") for n in range(8000, 8003)
    ]
    corpus = build(ArtifactStore(tmp_path), rows, shop, near_duplicates=1.0, validation=0.0001)
    texts = [row.messages[-1].content for row in read_jsonl(corpus.folder / "train.jsonl", Row)]
    assert corpus.facts["pii_redacted"] == {"phone": 3}
    assert len(texts) == 3 and not {row.text for row in rows} & set(texts)


def test_what_is_kept_of_a_bad_row_has_surrogates_too(tmp_path: Path, shop: Shop) -> None:
    rows = [*BAD[1:2], Utterance(text="call 13800138000 now", intent="nonsense", language="en")]
    corpus = build(ArtifactStore(tmp_path), rows, shop, bad_rows="drop", validation=0.0001)
    assert [reason for reason, _ in dropped(corpus)] == ["unknown label"]
    assert "13800138000" not in "".join(path.read_text(encoding="utf-8") for path in corpus.folder.iterdir())


def test_a_dialog_of_a_held_out_group_is_not_learned(tmp_path: Path, shop: Shop) -> None:
    turns = ({"role": "user", "content": "hm"}, {"role": "assistant", "content": "Yes?"})
    dialog = Dialog.model_validate(
        {"id": "d", "messages": turns, "language": "en", "source": "test", "group": "customer"}
    )
    corpus = build(ArtifactStore(tmp_path), [dialog, *BAD[1:2]], shop, validation=1.0)
    assert (corpus.facts["rows"], corpus.facts["dropped"]) == (0, {"held-out group": 1})


def test_a_group_stays_on_one_side(tmp_path: Path, shop: Shop) -> None:
    rows = [
        Utterance(text=f"{word} parcel {n}", intent="return_item", language="en", group=f"customer {n % 7}")
        for n, word in enumerate(["lamp", "sofa", "ring", "tent", "kettle", "scarf", "drill"] * 8)
    ]
    corpus = build(ArtifactStore(tmp_path), rows, shop, validation=0.5, near_duplicates=1.0, max_tokens=10**6)
    group = {row.text: row.group for row in rows}
    held_out = {group[case.text] for case in read_jsonl(corpus.folder / "held_out.jsonl", IntentCase)}
    trained = {group[row.messages[-1].content] for row in read_jsonl(corpus.folder / "train.jsonl", Row)}
    assert held_out and trained and not held_out & trained


@given(st.lists(st.sampled_from(BAD[1:3] + BAD[4:]), max_size=12))
def test_a_text_lies_on_one_side_whatever_comes_with_it(rows: list[Utterance]) -> None:
    sides = {row.text: is_held_out(row.text, 0.3) for row in rows}
    assert all(is_held_out(text.upper() + " !", 0.3) == side for text, side in sides.items())


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
