"""Placeholders in template-like data, such as `{{Order Number}}`, become values that a customer could have written.

A value is decided by the text it stands in, so that equal templates stay equal and one placeholder means one thing in a whole
conversation. What only the shop knows (its telephone number, its hours) is never made up. Not covered: placeholders in other
brackets.
"""

import hashlib
import random
import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_FIRST = ("Maya", "Jonas", "Priya", "Tomás", "Lena", "Samuel", "Aiko", "Nadia", "Oliver", "Grace", "Hamid", "Ingrid")
_LAST = ("Okafor", "Lindqvist", "Moreau", "Tanaka", "Whitfield", "Haddad", "Kowalski", "Bianchi", "Sandoval", "Ferris")
_CITIES = ("Leeds", "Portland", "Lyon", "Austin", "Utrecht", "Brisbane", "Toronto", "Malmö", "Cork", "Valencia")
_COUNTRIES = ("Ireland", "Canada", "Sweden", "Portugal", "New Zealand", "Austria", "Japan", "Chile")
_ACCOUNTS = ("Standard", "Premium", "Gold", "Platinum", "Family", "Business")
_MONTHS = ("January", "March", "April", "June", "August", "October", "November")


def names(text: str) -> set[str]:
    """The placeholders in a text."""
    return set(_PLACEHOLDER.findall(text))


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with the placeholders replaced that have a value; the others stay."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def spoken(text: str) -> dict[str, str]:
    """Values for those placeholders in a customer's text that a customer would fill in, the same for the same text."""
    chosen = random.Random(hashlib.sha256(text.encode()).digest())
    first, last = chosen.choice(_FIRST), chosen.choice(_LAST)
    account = chosen.choice(_ACCOUNTS)
    values = {
        "Order Number": str(chosen.randrange(10**7, 10**8)),
        "Invoice Number": f"INV-{chosen.randrange(10**5, 10**6)}",
        "Person Name": f"{first} {last}",
        "Client First Name": first,
        "Client Last Name": last,
        "Delivery City": chosen.choice(_CITIES),
        "Delivery Country": chosen.choice(_COUNTRIES),
        "Account Type": account,
        "Account Category": account,
        "Refund Amount": f"{chosen.randrange(5, 400)}.{chosen.choice(('00', '50', '99'))}",
        "Money Amount": str(chosen.randrange(5, 400)),
        "Currency Symbol": "$",
        "Date": f"{chosen.choice(_MONTHS)} {chosen.randrange(1, 31)}",
    }
    return {name: values[name] for name in names(text) if name in values}
