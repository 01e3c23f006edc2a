"""Street addresses by rule: a house number with a street's name, and what is written around them.

Fast and blind to context; `data/pii/people.py` starts from these and adds what only a language model sees. Not covered:
addresses without any number or box, countries with other habits than those of the patterns.
"""

import re

from data.pii.spans import Span, merged

_STREET = (
    r"(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|close|court|ct|crescent|grove|place|pl|square|terrace|way|gardens?|mews|boulevard|blvd|parade"
    r"|hill|row|walk|parkway|pkwy|highway|hwy|quay|green|park|view|rise|broadway|wharf|circle|trail|yard|loop|alley|arcade|path|croft|fields?)"
)
_UNIT = (
    r"(?:flat|apt\.?|apartment|unit|suite|ste|room|rm|shop|level|floor|fl|block|blk|tower|building|bldg|entrance|gate|dorm|studio|ward"
    r"|group|plot|lot|haus|casa|villa|bungalow|house|no\.?|#)"
)
_WORD = r"(?:[A-Z][\w.'’-]*|\d{1,3}(?:st|nd|rd|th)|of|the|de|la|du|[NSEW])"
_TAIL = (  # what may follow a street, comma by comma: places, units, postal codes
    r"(?:,?\s*(?:(?i:" + _UNIT + r")\s*\w{1,6}"
    r"|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b|[A-Z]\d[A-Z] \d[A-Z]\d\b|[A-Z]{2,3} \d{4,5}(?:-\d{4})?\b|\d{4,6}\b(?! ?(?:pcs|items))"
    r"|(?<=, )[A-Z][\w'’-]*(?: (?:upon |on |under )?[A-Z][\w'’-]*){0,3}))*"
)
_ENGLISH = re.compile(
    r"(?<![\w#/-])(?:(?i:" + _UNIT + r")\s*\w{1,5}(?:,\s*|\s+))*"
    r"(?:\d{1,5}[A-Za-z]?(?:[/-]\d{1,5}[A-Za-z]?)?,?\s+(?:"
    + _WORD
    + r"\s+){1,4}?(?:"
    + _STREET.replace("(?:", "(?i:", 1)
    + r")\b\.?"
    r"|\d{1,5}[A-Za-z]?\s+(?:[a-z]+\s+){1,3}?(?:street|st|road|rd|avenue|ave|lane|drive|blvd)\b"
    r"|(?i:p\.?\s?o\.? box)\s*\d{1,6}"
    r"|(?i:" + _UNIT + r")\s*\w{1,5}(?:,\s*(?i:" + _UNIT + r")\s*\w{1,5})+)" + _TAIL
)
_NUMERAL = r"[0-9A-Za-z０-９一二三四五六七八九十百零甲乙丙丁-]{1,8}"
_CHINESE = re.compile(
    r"[\u4e00-\u9fff·]{0,24}?[\u4e00-\u9fff]{1,8}(?:大道|公路|胡同|街道|新村|花园|小区|公寓|家园|大厦|广场|[路街道巷弄村镇苑城里庄园坊段区期东西南北中])\s?"
    + _NUMERAL
    + r"\s?(?:号楼|单元|[号弄栋幢座楼室组队])"
)
_CHINESE_TAIL = re.compile(
    r"(?:\s?(?:"
    + _NUMERAL
    + r"(?:号楼|单元|[号弄栋幢座楼层室组队户])|之[一二三四五六七八九十\d]|附"
    + _NUMERAL
    + r"号|[\u4e00-\u9fff]{2,8}(?:大厦|广场|花园|小区|公寓|中心|家园|国际|城|苑|园)"
    r"|(?<=[座楼栋幢元层])\s?\d{2,4}(?!\d)|(?<=[心厦场寓城际园苑])\s?[0-9A-Z]{1,5}(?![0-9A-Za-z])))*"
)


def find_by_rule(text: str) -> list[Span]:
    """The street addresses in a text as far as patterns reach; a Chinese one may begin too early."""
    spans = []
    if any("0" <= c <= "9" for c in text):
        spans += [Span(*m.span(), "address") for m in _ENGLISH.finditer(text)]
    if not text.isascii():
        for match in _CHINESE.finditer(text):
            tail = _CHINESE_TAIL.match(text, match.end())
            spans.append(Span(match.start(), tail.end() if tail else match.end(), "address"))
    return merged(spans)


_BEFORE = re.compile(
    r"(?:(?:\b(?i:" + _UNIT + r")\s*#?\w{1,6}|\b(?i:" + _UNIT + r") [A-Z]\w+|\d{1,3}/F|\d{1,3}(?:st|nd|rd|th) [Ff]loor"
    r"|[Tt]he [A-Z][\w'’]*(?: [A-Z][\w'’]*){0,2}|(?!Order|Number|Ref)[A-Z][a-z]+ \d{1,3}(?:-\d+)?,"
    r"|[A-Z][\w'’]*(?: [A-Z][\w'’]*){0,2} (?:House|Hotel|Inn|Hostel|School|College|Hospital"
    r"|Tower|Court|Building|Arcade|Mansions?|Cottage|Rectory|Farm|Plaza|Centre|Center|Mall|Gardens?|Village))"
    r",?\s+)+$|\b(?i:" + _UNIT + r")\s$"
)
_AFTER = re.compile(
    r"(?: (?:[A-Z][\w'’-]+|\d{1,6})(?=\s*(?:[,.;)\"]|$)))?(?:(?<=\d) [A-Z][\w'’-]+(?=\s*(?:[,.;)\"]|$))|,?\s*(?:(?i:"
    + _UNIT
    + r")\s*\w{1,6}(?:-\w+)*|\d{1,3}(?:st|nd|rd|th) floor(?: left| right)?"
    r"|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b|[A-Z]\d{2} [A-Z\d]{4}\b|[A-Z]{2,3} \d{4,5}\b|\d{2}-?\d{3,4}\b"
    r"|(?<=,)\s*[A-Z][\w'’-]*(?: [A-Z][\w'’-]*){0,2}(?=\s*(?:[,.;)\"]|$| \d)))\b)*"
)


def completed(text: str, start: int, end: int) -> tuple[int, int]:
    """An address in Latin script with the units and buildings before it and the places and postal codes after it."""
    if before := _BEFORE.search(text, 0, start):
        start = before.start()
    after = _AFTER.match(text, end)
    return start, after.end() if after else end


_PLACE_WORD = re.compile(
    f"(?i:{_STREET}|{_UNIT}|cottage|rectory|arcade|residences?|mansions?|estate|compound|plaza|centre|center|mall|farm|hotel|inn|north|south|east|west|upper|lower|the|of)"
)


def is_place_word(word: str) -> bool:
    """Whether a word says what kind of place follows or precedes: Road, Flat, House."""
    return bool(_PLACE_WORD.fullmatch(word))
