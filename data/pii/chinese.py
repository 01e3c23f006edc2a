"""Names and addresses in Chinese: from LAC's words and tags, completed by rules.

A name after "收件人" or before "先生" is found although LAC missed it; an address is the run of places, and of the numbers, units and
buildings after them. Not covered: a name written like an ordinary word without a cue.
"""

import re
from collections.abc import Sequence

from data.pii.addresses import find_by_rule
from data.pii.spans import Span, overlaps
from data.pii.surnames import COMPOUND, SURNAMES
from data.pii.taggers import tagged
from data.pii.words import word_set

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_TITLE = (
    "(?:先生|女士|小姐|太太|师傅|老师|阿姨|叔叔|大哥|大姐|经理|主管|店长|主任|总监|医生|同学|老板|[姐哥总工姨叔婶嫂])"
)
_SURNAME = f"(?:{'|'.join(COMPOUND)}|[{''.join(SURNAMES)}])"
_TITLED = re.compile(f"(?<![\u4e00-\u9fff])({_SURNAME})(?={_TITLE})|({_SURNAME})(?=先生|女士|小姐|师傅|经理|主管)")
_CALLED = re.compile(  # a role, then a name
    r"(?:我叫|名叫|叫做|姓名|收[件货]人|联系人|寄件人|签收人|持卡人|户名|开户名|账户名|抬头|署名|落款|本人|我是)(?:[是叫为写开改成]{1,2})?[:：，, ]?\s?"
    f'({_SURNAME}[\u4e00-\u9fff]{{1,2}})(?=[，,。.；;!！、）)\\s\\d"”]|收|代收|$)'
)
_SURNAMED = re.compile(f"(?:我姓|免贵姓|贵姓[:：]?|姓)({_SURNAME})(?=[，,。\\s]|$)")
_NICKNAME = re.compile(f"(?<![\u4e00-\u9fff])[老小阿]{_SURNAME}(?![\u4e00-\u9fff])")
_NAME = re.compile("[\u4e00-\u9fff]{1,4}|[\u4e00-\u9fff]{1,8}·[\u4e00-\u9fff·]{1,12}")
_PLACE = re.compile(r"[路街市县省]$|广场|大厦|小区")
_TITLE_AT_END = re.compile(f"{_TITLE}$")
_NO_NAME = re.compile("[订这那一两的我你他]单|单号|号码|哈哈|地址|快递|老妹|花呗|[明今昨后前]儿|小客|客服|卡里")
_PART = frozenset({"LOC", "ORG", "m", "q", "nz", "f", "s", "n", "nw", "TIME", "a", "vn"})
_HOUSE = re.compile(
    r"[0-9０-９A-Za-z一二三四五六七八九十百]+(?:号|弄|栋|幢|座|楼|室|单元|层|组|队|村|期|区|门|户|铺|柜)|[路街巷道弄里楼座场城]\s?\d+|\d+-\d+|(?:大厦|广场|花园|小区|公寓|家园|新村|校区|学校|医院|酒店|园)"
)
_BEFORE_PLACE = re.compile(
    r"(?:(?![到至在往寄送发给是为成址换改写填用去的])[\u4e00-\u9fff]|[A-Z]|(?<!\d)\d{1,3}(?!\d))+$"
)
_ROOM_AFTER = re.compile(r"(?:[-—－][0-9A-Za-z]{1,5})*铺?")
_ADMINISTRATIVE = re.compile("[省市区县旗镇乡州盟村]")
_NO_PART = re.compile(r"地址|订单|单号|电话|手机|收货|收件|快递|公司$|邮编|^家$|我家|本人|门口|物业|时候|[，。！？]")


def in_chinese(text: str) -> list[Span]:
    words = tagged(text)
    spans = _chinese_addresses(text, words)
    for word, tag, start in words:
        name = _TITLE_AT_END.sub("", word) if tag == "PER" else ""
        if (
            word not in word_set("no_names")
            and _NAME.fullmatch(name)
            and not _PLACE.search(name)
            and not _NO_NAME.search(word)
        ):
            spans.append(Span(start, start + len(name), "name"))
    for pattern in (_TITLED, _CALLED, _SURNAMED):
        for match in pattern.finditer(text):
            group = match.lastindex or 0
            if match[group] not in word_set("no_names"):
                spans.append(Span(*match.span(group), "name"))
    spans += [Span(*match.span(), "name") for match in _NICKNAME.finditer(text) if match[0] not in word_set("no_names")]
    return spans


def _chinese_addresses(text: str, words: Sequence[tuple[str, str, int]]) -> list[Span]:
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


def _starts_address(words: Sequence[tuple[str, str, int]], index: int) -> bool:
    """A name of a street or an estate that LAC did not tag, directly followed by a number."""
    word, tag, _ = words[index]
    followed = index + 1 < len(words) and words[index + 1][1] == "m"
    return tag in ("n", "nz", "ORG", "s") and bool(re.search(r"[路街道巷弄村苑园区里坊庄城厦]$", word)) and followed


def _continues(words: Sequence[tuple[str, str, int]], index: int) -> bool:
    word, tag, _ = words[index]
    if tag == "w":
        return word in (" ", "-", "—", "（", "(", "·") and index + 1 < len(words) and _continues(words, index + 1)
    if re.fullmatch(r"[A-Za-z]?\d{0,5}[A-Za-z]?[号区座栋幢楼室]?", word):
        return True
    if (
        (tag not in _PART and not (tag == "PER" and _PLACE.search(word)))
        or _NO_PART.search(word)
        or re.fullmatch(r"\d{6,}", word)
    ):
        return False
    if tag in ("a", "vn"):  # as part of a place's name only
        return index + 1 < len(words) and words[index + 1][1] in ("LOC", "m", "n") and _continues(words, index + 1)
    return True
