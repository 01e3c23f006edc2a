"""Cleaning that keeps the meaning: what a decoding broke, what nobody sees, and blanks.

Full-width letters and digits become ordinary ones; Chinese punctuation, which is as wide, stays. Tool results stay as the
tool wrote them. Not covered: spelling, which is how customers write, and personal data (`data/pii.py`).
"""

import re
from typing import Any, TypeVar

import regex

from data.schema import Dialog, Message, Utterance

UNSEEN = regex.compile(r"[\p{Cf}\p{Cc}--[\s\u200c\u200d]]+", regex.V1)  # joiners stay: they hold emoji together
BLANKS = regex.compile(r"[^\S\n]+")
AROUND_BREAKS = regex.compile(r" ?\n ?")
EMPTY_LINES = re.compile(r"\n{3,}")
FULL_WIDTH = {0xFEE0 + ord(c): c for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}

E = TypeVar("E", bound=Utterance | Dialog)


def clean(text: str) -> str:
    """The text without wrong decodings, invisible characters, full-width letters and digits, and needless blanks."""
    if not text.isascii():
        text = _mended(text).translate(FULL_WIDTH)
    text = UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = AROUND_BREAKS.sub("\n", BLANKS.sub(" ", text))
    return EMPTY_LINES.sub("\n\n", text).strip()


def cleaned(example: E) -> E:
    """The example with cleaned texts; the example itself where nothing changes.

    Raises:
        ValueError: nothing is left of a text.
    """
    if isinstance(example, Utterance):
        text = clean(example.text)
        return example if text == example.text else _again(example, text=text)
    messages = tuple(map(_cleaned_message, example.messages))
    return example if messages == example.messages else _again(example, messages=messages)


def _cleaned_message(message: Message) -> Message:
    if message.role == "tool":
        return message
    content = clean(message.content)
    return message if content == message.content else _again(message, content=content)


def _again(model: Any, **changes: Any) -> Any:
    """A copy that is checked like any other row: a text of invisible characters is empty now."""
    return type(model).model_validate({name: getattr(model, name) for name in type(model).model_fields} | changes)


def _mended(text: str) -> str:
    import ftfy

    return ftfy.fix_text(text, fix_character_width=False, uncurl_quotes=False, unescape_html=False)
