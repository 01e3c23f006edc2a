"""Personal data in a text: which spans are what.

Two levels. The structured kinds (order and tracking numbers, phones, e-mail, ID and bank cards) are found by shapes, check
digits and the words around them (`data/pii/structured.py`): always on, thousands of texts a second. Names and addresses need a
recognizer with a language model behind it (`data/pii/people.py`): on for data that people really wrote.

Not covered: numbers spelled out in words, passports and driving licences, user names, what a picture or a link shows. How well
both levels find what they should is measured by `python -m evals.redaction`.
"""

from data.pii.people import find_people
from data.pii.spans import Span, merged
from data.pii.structured import find_structured


def find(text: str, people: bool = False) -> list[Span]:
    """The personal data in a text, left to right, without overlaps; names and addresses only with `people`.

    Raises:
        EnvironmentLacks: `people`, and the recognizers are not installed.
    """
    if not people:
        return find_structured(text)
    found = find_people(text)
    structured = find_structured(text, [span for span in found if span.kind == "address"])
    return merged([*structured, *found])
