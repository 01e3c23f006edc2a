"""Personal data in dialogs: found (`text.find`) and replaced by surrogates (`examples.redact`)."""

from data.pii.examples import redact
from data.pii.text import find

__all__ = ["find", "redact"]
