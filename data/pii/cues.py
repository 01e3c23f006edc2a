"""The words around a number that say what it is: "order", "单号", "coupon", "tel".

Not covered: what shapes and check digits say (`data/pii/structured.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from data.pii.words import words

_LATIN_WORD = re.compile(r"[A-Za-z]+")
_BELONGS_TO_ORDER = frozenset({"id", "ids", "code", "reference", "ref"})  # "order code" is about the order
_CHINESE_WORD = re.compile(
    r"(?P<none>优惠[码券]|折扣码|兑换码|型号|批号|货号|款号|版本|固件|验证码|取件码|密码|邮编|积分|税号|条码)"
    r"|(?P<tracking>(?:快递|运单|物流|包裹|顺丰|圆通|中通|申通|韵达|极兔|德邦|邮政)(?:单号|编号|单)?)"
    r"|(?P<order>订单|单号|[那这一两三个换货的]单|单子|编号|下了?单)"
    r"|(?P<phone>电话|手机|座机|固话|联系|[拨打]给?(?=\d)|微信|热线|短信)"
    r"|(?P<bank_card>银行|信用卡|储蓄卡|借记卡|[这张原新旧老]卡|卡号|[农工建中交招]行|账[号户])"
    r"|(?P<id_card>身份证|证件|证号)"
)
_SENTENCE = re.compile(r"[!?。;；\n]|(?<!\bno)\.\s", re.IGNORECASE)
_DIGIT = re.compile(r"[0-9０-９]")
_NEAR = 48  # characters between a word and the number that it names
_NEXT = 14  # so near a word reaches into the next sentence


@dataclass(frozen=True)
class Cue:
    """A word that says what kind of number follows; `none` says that it is nothing personal."""

    start: int
    end: int
    kind: str


def cues(plain: str) -> list[Cue]:
    """The words of a text that say what kind of number follows."""
    found: list[Cue] = []
    for match in _LATIN_WORD.finditer(plain):
        word = match[0].lower()
        if kind := _meanings().get(word):
            follows_order = found and found[-1].kind == "order" and match.start() - found[-1].end <= 2
            found.append(Cue(*match.span(), "order" if follows_order and word in _BELONGS_TO_ORDER else kind))
    if not plain.isascii():
        found += [Cue(*match.span(), match.lastgroup or "") for match in _CHINESE_WORD.finditer(plain)]
        found.sort(key=lambda word: word.end)
    return found


def cue_before(plain: str, start: int, words: Sequence[Cue]) -> Cue:
    """The nearest word before a number, within its sentence; one without a kind if there is none."""
    near = next((word for word in reversed(words) if word.end <= start), None)
    nothing = Cue(0, 0, "")
    if near is None or start - near.end > (_NEAR if near.kind != "none" else _NEXT):
        return nothing
    return nothing if start - near.end > _NEXT and _SENTENCE.search(plain, near.end, start) else near


def names_it(plain: str, word: Cue, start: int) -> bool:
    """Whether a word names this very number: it is near, and no other number stands between."""
    return start - word.end <= 24 and not _DIGIT.search(plain, word.end, start)


@lru_cache(1)
def _meanings() -> dict[str, str]:
    kinds = ("none", "tracking", "order", "phone", "bank_card", "id_card")
    return {word: kind for kind in kinds for word in words(f"cue_{kind}")}
