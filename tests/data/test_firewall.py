"""The leak firewall: planted leaks in eight disguises, and honest rows."""

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.firewall import Firewall, case_firewall, normalized, trigrams, user_text
from data.rows import all_good
from data.schema import Utterance
from data.shop import Shop
from data.sources import ShopSource

LETTERS = "abcdefghijklmnopqrstuvwxyz的了是我有"


def typo(text: str, rng: random.Random) -> str:
    """One letter too many, too few, another one, or two turned."""
    at = rng.randrange(len(text))
    before, letter, after = text[:at], text[at], text[at + 1 :]
    return rng.choice(
        [before + after, before + rng.choice(LETTERS) + letter + after, before + rng.choice(LETTERS) + after]
        + ([before + after[0] + letter + after[1:]] if after else [])
    )


def reordered(text: str, rng: random.Random) -> str:
    """Two neighbouring words turned, or the clauses of a Chinese text."""
    if re.search("[\u4e00-\u9fff]", text):
        clauses = [part for part in re.split("[，。！？,]", text) if part]
        clauses = clauses if len(clauses) > 1 else [text[: len(text) // 2], text[len(text) // 2 :]]
        rng.shuffle(clauses)
        return "，".join(clauses)
    words = text.split()
    at = rng.randrange(max(1, len(words) - 1))
    return " ".join([*words[:at], *words[at : at + 2][::-1], *words[at + 2 :]])


def full_width(text: str, _: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop.default()


@pytest.mark.parametrize(
    ("disguise", "least"),
    [
        (lambda text, _: text, 1.0),
        (lambda text, _: text.upper(), 1.0),
        (lambda text, _: f"  {text.replace(' ', '   ')} ", 1.0),
        (full_width, 1.0),
        (typo, 0.97),
        (reordered, 0.97),
    ],
    ids=["exact", "case", "blanks", "full width", "typo", "order"],
)
def test_planted_leaks(shop: Shop, disguise: Callable[[str, random.Random], str], least: float) -> None:
    rng = random.Random(20261127)
    planted = [disguise(case.text, rng) for case in shop.intent_cases()]
    found = case_firewall(shop).leaks(planted)
    assert len({leak.place for leak in found}) >= least * len(planted)
    assert all(0.5 < leak.similarity <= 1.0 for leak in found)


def test_honest_rows_pass(shop: Shop) -> None:
    rows = [row.text for row in all_good(ShopSource(name="shop").rows(shop)) if isinstance(row, Utterance)]
    assert len(rows) > 5000
    assert not case_firewall(shop).leaks(rows)


def test_a_paraphrase_is_no_leak() -> None:
    assert not Firewall(["Where is my package?"]).leaks(["Could you tell me when the parcel arrives?"])
    assert not Firewall(["x"]).leaks([])
    assert not Firewall([]).leaks(["x"])


def test_the_nearest_case_is_named() -> None:
    (leak,) = Firewall(["where is my parcel please", "where is my package please"]).leaks(
        ["where is my package, plese"]
    )
    assert leak.case == "where is my package please"


def test_a_conversation_is_what_the_customer_says(shop: Shop) -> None:
    case = shop.tool_cases()[0]
    said = user_text(case.messages)
    assert all(m.content in said for m in case.messages if m.role == "user")


@given(st.text(), st.text())
def test_letters_are_what_counts(one: str, two: str) -> None:
    assert normalized(normalized(one)) == normalized(one)
    assert normalized(one + " -_!" + two) == normalized(one + two) or not (one + two).isascii()
    assert len(trigrams(one)) >= 1
