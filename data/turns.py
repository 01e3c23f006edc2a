"""What a reader of one text or one dialog would stumble over: damage of a wrong decoding, turns that say nothing, answers that
were cut off, an order of turns that nobody converses in.

Not covered: what the schema refuses already (empty turns, results without a call, a dialog that the customer ends); whether
what is said is right.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from data.jsontext import shown
from data.schema import Dialog, Utterance

LONG = 60  # characters; a long answer ends with a mark
SAME_LENGTH = 5  # rows whose texts all end at one length, the longest: a column was too narrow
NARROW = 60  # characters; below that, equal lengths are chance
_PAIRS = {"(": ")", "（": "）", "[": "]", "【": "】", "{": "}", "《": "》", "“": "”"}
_OPEN_ENDS = ",，、;；:：(（[【{《“&/+"
_HANGING = {
    "the",
    "a",
    "an",
    "and",
    "or",
    "of",
    "to",
    "with",
    "your",
    "my",
    "our",
    "is",
    "are",
    "that",
    "because",
    "if",
}


def damage(text: str) -> str:
    """What a wrong decoding left in a text, or nothing."""
    from ftfy import fix_text
    from ftfy.badness import is_bad

    if "\N{REPLACEMENT CHARACTER}" in text or "\0" in text:
        return f"characters broken by a wrong decoding: {shown(text)}; export it again as UTF-8"
    if is_bad(text):
        mended = fix_text(text)
        advice = f"; was it {shown(mended)}?" if mended != text and not is_bad(mended) else "; export it again as UTF-8"
        return f"characters broken by a wrong decoding: {shown(text)}{advice}"
    return ""


def says_nothing(text: str) -> bool:
    """Whether a text has nothing but punctuation, blanks and what is invisible."""
    return all(unicodedata.category(character)[0] in "PZC" or character == "\u3164" for character in text)


def cut_off(answer: str) -> str:
    """Why an answer seems to have been cut off, or nothing."""
    text = answer.rstrip()
    if not text:
        return ""
    if text[-1] in _OPEN_ENDS:
        return f"ends in {text[-1]!r}"
    if (last := text.split()[-1].casefold()) in _HANGING and len(text.split()) > 3:
        return f"ends in {last!r}"
    if text.count("```") % 2:
        return "a code block that is not closed"
    for opening, closing in _PAIRS.items():
        if text.count(opening) > text.count(closing):
            return f"{opening!r} is not closed"
    if len(text) >= LONG and text[-1].isalpha() and any(mark in text[:-1] for mark in ".。!！?？"):
        return "sentences, and the last has no end"
    return ""


def order_problems(dialog: Dialog) -> Iterator[str]:
    """Orders of turns that nobody converses in."""
    if not any(message.role == "user" for message in dialog.messages):
        yield "no turn of the customer; expected at least one"
    before = None
    for index, message in enumerate(dialog.messages):
        if before is not None and before.role == message.role == "assistant" and before.trained:
            yield f"turn {index}: the assistant twice in a row; join the two, or put what the customer said between them"
        before = message


def narrow_column(utterances: Mapping[str, Utterance]) -> Iterator[tuple[str, str]]:
    """The (place, problem) of texts that a column was too narrow for: several end at one length, which none exceeds."""
    by_length: dict[int, list[str]] = defaultdict(list)
    for place, row in utterances.items():
        by_length[len(row.text)].append(place)
    longest = max(by_length, default=0)
    places = by_length.get(longest, [])
    ended = Counter(unicodedata.category(utterances[place].text[-1])[0] == "P" for place in places)
    if longest >= NARROW and len(places) >= SAME_LENGTH and ended[False] > ended[True]:
        what = f"texts of exactly {longest} characters, and none is longer: a column that cut them off?"
        yield from ((place, what) for place in places)
