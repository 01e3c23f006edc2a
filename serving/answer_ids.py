"""Ids of answers that say whose they are: a random part, and a signature over it and its owner.

So feedback needs no record of every answer ever given: only who got an answer has an id that fits them. Not covered: ids
that were signed with a key that has been replaced; they fit nobody any more.
"""

import hashlib
import hmac
import json
import re
import secrets

from serving.memory import Owner

_PREFIX = "chatcmpl-"
_FORM = re.compile(rf"{_PREFIX}([0-9a-f]{{32}})([0-9a-f]{{16}})")


class AnswerIds:
    """Makes ids and tells whose they are."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"kefu answer ids", hashlib.sha256)

    def new(self, owner: Owner) -> str:
        """An id for an answer to this owner."""
        random = secrets.token_hex(16)
        return f"{_PREFIX}{random}{self._signature(random, owner)}"

    def belongs(self, answer_id: str, owner: Owner) -> bool:
        """Whether an id was made for this owner."""
        found = _FORM.fullmatch(answer_id)
        return found is not None and hmac.compare_digest(found[2], self._signature(found[1], owner))

    def _signature(self, random: str, owner: Owner) -> str:
        signed = json.dumps([random, owner.customer or "", owner.api_key or ""])
        return hmac.digest(self._key, signed.encode(), hashlib.sha256).hex()[:16]


def random_part(answer_id: str) -> str:
    """The 32 hexadecimal digits that are the answer's own, also the id of its trace."""
    return answer_id.removeprefix(_PREFIX)[:32]


def nobodys_id() -> str:
    """An id that fits nobody, for a request that was never answered."""
    return f"{_PREFIX}{secrets.token_hex(16)}"
