"""Placeholders: what a customer would write is filled, always the same way; the rest stays to be seen."""

from hypothesis import given
from hypothesis import strategies as st

from data import placeholders

KNOWN = ("Order Number", "Person Name", "Delivery City", "Refund Amount")


@given(st.lists(st.sampled_from((*KNOWN, "Website URL")), min_size=1), st.text("abc ", max_size=9))
def test_known_ones_are_filled_and_others_left(names: list[str], between: str) -> None:
    text = between.join(f"{{{{{name}}}}}" for name in names)
    values = placeholders.spoken(text)
    assert values == placeholders.spoken(text)
    assert set(values) == set(names) & set(KNOWN)
    assert placeholders.names(placeholders.filled(text, values)) == set(names) - set(KNOWN)


def test_one_name_is_one_value_and_blanks_do_not_matter() -> None:
    assert placeholders.filled("{{A}} or {{ A }} or {{B}}", {"A": "1"}) == "1 or 1 or {{B}}"
    whole = placeholders.spoken("{{Person Name}} {{Client First Name}}")
    assert whole["Person Name"].startswith(whole["Client First Name"])
