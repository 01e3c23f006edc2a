"""Street addresses in Chinese: runs of places among LAC's words, with the numbers, units and buildings after them.

Not covered: an address without any number, building or estate.
"""

import re
from collections.abc import Sequence

from data.pii.addresses import find_by_rule
from data.pii.spans import Span, overlaps

Words = Sequence[tuple[str, str, int]]  # word, tag and offset, as data/pii/taggers.py gives them
PLACE = re.compile(r"[路街市县省]$|广场|大厦|小区")  # a word that LAC takes for a person, but a place by its end
_PART = frozenset({"LOC", "ORG", "m", "q", "nz", "f", "s", "n", "nw", "TIME", "a", "vn"})
_HOUSE = re.compile(
    r"[0-9０-９A-Za-z一二三四五六七八九十百]+(?:号|弄|栋|幢|座|楼|室|单元|层|组|队|村|期|区|门|户|铺|柜)|[路街巷道弄里楼座场城]\s?\d+|\d+-\d+|(?:大厦|广场|花园|小区|公寓|家园|新村|校区|学校|医院|酒店|园)"
)
_BEFORE_PLACE = re.compile(
    r"(?:(?![到至在往寄送发给是为成址换改写填用去的])[\u4e00-\u9fff]|[A-Z]|(?<!\d)\d{1,3}(?!\d))+$"
)
_ROOM_AFTER = re.compile(
    r"(?:[-—－][0-9A-Za-z]{1,5}|附\d+号|\s?\d+(?:号楼|单元|[号栋幢座楼层室])|(?<=[座楼栋幢元层厦场城庭园苑])\s?\d{2,4}(?!\d))*铺?"
)
_BUILT = re.compile(r"[路街市县省庭苑园城湾居府馆店铺]$|广场|大厦|小区")  # of a word that LAC takes for a person
_ADMINISTRATIVE = re.compile("[省市区县旗镇乡州盟村]")
_NO_PART = re.compile(r"地址|订单|单号|电话|手机|收货|收件|快递|公司$|邮编|^家$|我家|本人|门口|物业|时候|[，。！？]")


def chinese_addresses(text: str, words: Words) -> list[Span]:
    """Runs of places and the numbers, units and buildings after them, if they name a house."""
    spans, index = [], 0
    while index < len(words):
        if words[index][1] != "LOC" and not _starts_address(words, index):
            index += 1
            continue
        last = index
        while last + 1 < len(words) and _continues(words, last + 1):
            last += 1
        start = _leftmost(text, words[index][2])
        end = words[last][2] + len(words[last][0].rstrip(" -（("))
        end += len(_ROOM_AFTER.match(text, end)[0])  # type: ignore[index]
        if _HOUSE.search(text, start, end) and (end - start > 4):
            spans.append(Span(start, end, "address"))
        index = last + 1
    for rule in find_by_rule(text):  # from the rule only the end is sure
        if not overlaps((rule.start, rule.end), spans):
            start = next(
                (
                    start
                    for _, tag, start in words
                    if rule.start <= start < rule.end and tag in ("LOC", "ORG", "nz", "n")
                ),
                rule.start,
            )
            spans.append(Span(_leftmost(text, start), rule.end, "address"))
    return spans


def _leftmost(text: str, start: int) -> int:
    """Where an address begins whose first part, a province or a town, was not told from the words before it."""
    before = _BEFORE_PLACE.search(text, max(0, start - 24), start)
    return before.start() if before and _ADMINISTRATIVE.search(before[0]) else start


def _starts_address(words: Words, index: int) -> bool:
    """A name of a street or an estate that LAC did not tag, directly followed by a number."""
    word, tag, _ = words[index]
    followed = index + 1 < len(words) and words[index + 1][1] == "m"
    return tag in ("n", "nz", "ORG", "s") and bool(re.search(r"[路街道巷弄村苑园区里坊庄城厦]$", word)) and followed


def _continues(words: Words, index: int) -> bool:
    word, tag, _ = words[index]
    if tag == "w":
        return word in (" ", "-", "—", "（", "(", "·") and index + 1 < len(words) and _continues(words, index + 1)
    if re.fullmatch(r"[A-Za-z]?\d{0,5}[A-Za-z]?[号区座栋幢楼室]?", word):
        return True
    if (
        (tag not in _PART and not (tag == "PER" and _BUILT.search(word)))
        or _NO_PART.search(word)
        or re.fullmatch(r"\d{6,}", word)
    ):
        return False
    if tag in ("a", "vn"):  # as part of a place's name only
        return index + 1 < len(words) and words[index + 1][1] in ("LOC", "m", "n") and _continues(words, index + 1)
    return True
