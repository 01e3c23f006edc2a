"""Hits are counted; near misses are kept without what is personal, and not without end."""

from data.schema import FaqEntry
from serving.faq_tally import KEPT, Tally, redacted

ENTRY = FaqEntry(id="a", language="en", question="How?", answer="So.")


def test_hits_by_kind() -> None:
    tally = Tally()
    for kind in ("exact", "exact", "semantic"):
        tally.hit(ENTRY, kind)
    assert tally.hits(ENTRY) == {"exact": 2, "semantic": 1}


def test_near_misses_are_counted_and_bounded() -> None:
    tally = Tally()
    for _ in range(3):
        tally.near_miss("how now?", ENTRY, 0.71234, ("topic",))
    assert tally.near_misses() == [
        {"question": "how now?", "id": "a", "language": "en", "probability": 0.712, "because": ("topic",), "count": 3}
    ]
    for n in range(2 * KEPT):
        tally.near_miss(f"{'x' * (n + 1)}?", ENTRY, 0.6, ())
    assert len(tally.near_misses()) == KEPT


def test_what_is_personal_is_not_kept() -> None:
    kept = redacted("Where is order 20240771, write to ann@example.com or call 13800138000, 5 times" + "x" * 500)
    assert "2024" not in kept and "ann@" not in kept and "138" not in kept and "5" not in kept and len(kept) <= 200
