"""Numbers and addresses of the net in a text: e-mail, phone, ID card, bank card, tracking number, order number.

What has check digits or a numbering plan is told by them (python-stdnum, phonenumbers); what has none, by its shape and the
nearest word before it ("order", "单号", "coupon"). A bare number of five digits or more that no word, unit, currency or address
explains counts as an order number: in a shop's dialogs it nearly always is one. Not covered: names and street addresses.
"""

import re
from collections.abc import Sequence

from data.pii.addresses import find_by_rule
from data.pii.cues import Cue, cue_before, cues, names_it
from data.pii.spans import Kind, Span, merged, overlaps

# Full-width forms, character by character, so that offsets stay.
_ASCII = {code + 0xFEE0: code for code in range(0x21, 0x7F)} | {0x3000: 0x20}

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
# Digits with what people put between them: the stuff of phone, card and ID numbers.
_CHAIN = re.compile(r"(?<![A-Za-z0-9+])(?:\+ ?)?\(?\d(?:(?:[ -]|\.|\) ?-?| ?\(| - )?\d)*[Xx]?(?![A-Za-z0-9])")
_PIECE = re.compile(r"[^ ]+")
_CODE = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z/_-]*\d)[A-Za-z0-9]+(?:[-/_][A-Za-z0-9]+)*(?![A-Za-z0-9])")
_TRIGGER = re.compile(r"[0-9０-９@＠]")

_AFTER = re.compile(
    r" ?(?:(?:is|was) (?:my|the|an?) order\b|(?:号|这|那|这个|那个|的)?(?:订单|单(?![元独位价])))", re.IGNORECASE
)
_STARTS_AS_DATE = re.compile(r"(?:19|20)\d\d([-./ ])\d{1,2}\1\d{1,2}(?!\d)|\d{1,2}([-./])\d{1,2}\2(?:19|20)\d\d")
_WEAK_ORDER = re.compile(r"(?:\bno\.?|\bnumber|#|\bstatus of|\bcheck|\bcancel|\bdeliver|\bship)\s*$", re.IGNORECASE)
_TRACKING = re.compile(
    r"1Z[0-9A-Z]{16}|(?:SF|YT|ZTO|STO|JT|YD|DP[KD]?|DPD|JD[A-Z]{0,2}|LP|UB)\d{9,18}|[A-Z]{2}\d{9}[A-Z]{2}|9[2-5]\d{18,20}",
    re.IGNORECASE,
)
_CARD_RANGE = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[0-9]|2[2-7])\d{14}|3[47]\d{13}|35\d{14}|3[0689]\d{12}|6(?:0|4|5)\d{14}|6[2-9]\d{14,17}"
)
_CARD_GROUPS = re.compile(r"\d+|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,4})?|\d{4}[ -]\d{6}[ -]\d{5}|\d{6}[ -]\d{10,13}")
_UNIT = re.compile(
    r"\s*(?:[x×*]\s*\d|%|°|(?:ml|l|kg|g|mg|cm|mm|m|km|w|kw|kwh|v|mah|gb|tb|mb|hz|rpm|dpi|px|pcs|pieces?|points?|days?|hours?|minutes?|weeks?|months?"
    r"|years?|people|pupils|pages?|copies|dollars?|euros?|pounds?|yuan|usd|eur|gbp|rmb|cny)\b"
    r"|[元块件个克斤天年月日点分秒张瓶包盒套次米厘毫升转瓦楼层室栋幢座弄期组折级码位人]|号(?!\s*订?单)|公斤|千克|小时|积分|人民币)",
    re.IGNORECASE,
)
_MONEY = re.compile(r"\s?(?:[元块]|人民币|(?:yuan|rmb|cny|usd|eur|gbp|dollars|euros|pounds)\b)", re.IGNORECASE)
_CURRENCY = re.compile(r"(?:[$€£¥￥]|\b(?:USD|EUR|GBP|RMB|CNY))\s?$", re.IGNORECASE)
_AMOUNT = re.compile(
    r"(?:\b(?:paid|pay|costs?|price[ds]?|amount|total|balance|charged|worth|house number"
    r"|(?:apt|flat|unit|suite|room|dorm|block|tower|floor)\.?)"
    r"|花了?|价格?|付了?|共|满|减|约)[\s=]*$",
    re.IGNORECASE,
)
_POSTAL = re.compile(r",\s*(?:[A-Z][\w'’-]+\s+){1,3}$")  # ", Pune 411001"
_BEFORE_CITY = re.compile(r",\s*$"), re.compile(r"\s+[A-Z][a-z]+")  # ", 67000 Strasbourg"
_DATE = re.compile(
    r"(?:19|20)\d\d(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|([-/])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01]))|\d{1,2}[-/]\d{1,2}(?:[-/](?:\d\d){1,2})?|\d{1,2}/\d{1,2}"
)
_SIZE = re.compile(
    r"\d+(?:x\d+)+|\d+(?:ml|cl|l|kg|g|mg|cm|mm|m|km|w|kw|kwh|v|mah|gb|tb|mb|hz|rpm|dpi|px|pcs|st|nd|rd|th)|\d+[WV]|\d+[GT]B?"
)
_BARE_CODE = re.compile(  # unmistakable without a word before it
    r"[A-Za-z]{1,4}[-/]?\d{4,}(?:[-/]?\d+)*(?:-?[A-Z])?|\d{4,}-?[A-Z]|[A-Za-z]{0,4}-?\d+[A-Z]\d+|[A-Z]{0,4}\d{1,3}[A-Z]?-\d{3,}"
)
_ROUND = re.compile(r"\d+00[KkPp]|(?:720|1080|1440|2160)[Pp]")


def find_structured(text: str, addresses: Sequence[Span] | None = None) -> list[Span]:
    """The structured personal data in a text, in order. `addresses` are street addresses already found in it, whose numbers
    are then no order numbers; by default they are looked for by rule."""
    if not _TRIGGER.search(text):
        return []
    plain = text if text.isascii() else text.translate(_ASCII)
    spans = [Span(*m.span(), "email") for m in _EMAIL.finditer(plain)] if "@" in plain else []
    spans += [Span(*m.span(), "bank_card") for m in _IBAN.finditer(plain) if _is_iban(m[0])]
    words = cues(plain)
    spans += _checked(plain, words, spans)
    taken = [*spans, *(addresses or ())]
    for code in _CODE.finditer(plain):
        if not overlaps(code.span(), taken) and (kind := _code_kind(plain, *code.span(), words)):
            spans.append(Span(*code.span(), kind))
    if addresses is None and any(span.kind == "order" for span in spans):
        spans = _outside_addresses(plain, spans)
    return merged(spans)


def _outside_addresses(plain: str, spans: list[Span]) -> list[Span]:
    addresses = find_by_rule(plain)
    return [s for s in spans if s.kind not in ("order", "tracking") or not overlaps((s.start, s.end), addresses)]


def _checked(plain: str, words: Sequence[Cue], taken: Sequence[Span]) -> list[Span]:
    """ID cards, bank cards and phones among the chains of digits; the longest run of pieces that passes its check wins."""
    spans = []
    for chain in _CHAIN.finditer(plain):
        if overlaps(chain.span(), taken):
            continue
        pieces = [(m.start(), m.end()) for m in _PIECE.finditer(plain, *chain.span())]
        reach = 12 if len(pieces) <= 24 else 1  # a long row of numbers is a table, not one number in pieces
        first = 0
        while first < len(pieces):
            start, step = pieces[first][0], 1
            for last in range(min(len(pieces), first + reach) - 1, first - 1, -1):
                end = pieces[last][1]
                if kind := _checked_kind(plain, start, end, cue_before(plain, start, words)):
                    spans.append(Span(start, end, kind))
                    step = last - first + 1
                    break
            first += step
    return spans


def _checked_kind(plain: str, start: int, end: int, near: Cue) -> Kind | None:
    """What a chain of digits is by its check digits or numbering plan; the word before it decides between them."""
    written = plain[start:end]
    digits = re.sub(r"[^\dXx]", "", written)
    word = near.kind
    if not names_it(plain, near, start):
        word = ""
    if not 7 <= len(digits) <= 19 or word == "none":
        return None
    if _is_id_card(digits, written, word):
        return "id_card"
    if word not in ("order", "tracking") and _is_card(digits, written, word):
        return "bank_card"
    if len(digits) <= 15 and digits.isdigit() and _is_phone(written, digits, word, plain[max(0, start - 12) : start]):
        return "phone"
    return None


def _is_id_card(digits: str, written: str, word: str) -> bool:
    """A Chinese ID card (GB 11643: birth date and ISO 7064 check digit; 15 digits without one before 1999), or a US social
    security number. After a word that says ID the check digit may be wrong: a mistyped number still names somebody."""
    from datetime import date

    from stdnum.cn import ric

    if re.fullmatch(r"(?!000|666|9)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}", written):
        return word in ("id_card", "")
    if len(digits) not in (15, 18) or not re.fullmatch(r"[\dXx ]+", written):
        return False
    born = digits[6:14] if len(digits) == 18 else f"19{digits[6:12]}"
    try:
        date(int(born[:4]), int(born[4:6]), int(born[6:]))
    except ValueError:
        return word == "id_card"
    if word == "id_card" or len(digits) == 15:
        return word == "id_card"
    return "1900" < born[:4] < "2100" and ric.calc_check_digit(digits.upper()) == digits[-1].upper()


def _is_card(digits: str, written: str, word: str) -> bool:
    """A card number: a known range at its length, in groups as on a card, with Luhn's check digit; right after a word that
    says card without them."""
    from stdnum import luhn

    if not 13 <= len(digits) <= 19 or not digits.isdigit() or re.search(r"[.()+]", written):
        return False
    return word == "bank_card" or bool(
        _CARD_RANGE.fullmatch(digits) and _CARD_GROUPS.fullmatch(written) and luhn.is_valid(digits)
    )


def _is_iban(written: str) -> bool:
    from stdnum import iban

    return iban.is_valid(written, check_country=False)


def _is_phone(written: str, digits: str, word: str, before: str) -> bool:
    """A valid number of some country's plan, written so that it is no order number; right after a word that says phone any
    number of seven digits or more. `before` is the text before it."""
    if written.startswith("+") or re.match(r"00[ -]?[1-9]", written):
        return _is_valid_phone("+" + digits.lstrip("0"), None)
    if word in ("order", "tracking"):
        return False
    if re.fullmatch(r"(?:86)?1[3-9]\d{9}", digits) and "." not in written:
        return True
    if word == "phone":
        return True
    if not written.isdigit() or digits.startswith("0"):
        regions: tuple[str, ...] = ("CN", "GB", "US")
    elif len(digits) == 10 and before.isascii() and not _WEAK_ORDER.search(before):
        regions = ("US",)
    else:
        return False
    return not _STARTS_AS_DATE.match(written) and any(_is_valid_phone(digits, region) for region in regions)


def _is_valid_phone(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


def _code_kind(plain: str, start: int, end: int, words: Sequence[Cue]) -> Kind | None:
    """What a code or a bare number is by its shape and the words around it; None if it is nothing personal."""
    code = plain[start:end]
    digits = sum(map(str.isdigit, code))
    near = cue_before(plain, start, words)
    word = near.kind
    if word not in ("order", "tracking") and _AFTER.match(plain, end):
        word = "order"
    elif word == "order" and digits < 5 and not names_it(plain, near, start):
        word = ""
    if _TRACKING.fullmatch(code):
        return "order" if word == "order" and code.startswith("JD") else "tracking"
    if (digits < 3 and not (word == "order" and digits == 2 and len(code) >= 5)) or word == "none":
        return None
    if _is_lookalike(plain, start, end, word):
        return None
    if word == "tracking" and digits >= 8:
        return "tracking"
    if word == "order" or (plain[start - 1 : start] == "#" and digits >= 4):
        return "order"
    if word == "bank_card" and 12 <= digits <= 19 and code.isdigit():
        return "bank_card"
    if code.isdigit():
        return "order" if 5 <= len(code) <= 24 else None
    if re.fullmatch(r"\d+(?:-\d+)+", code):
        return "order" if digits >= 6 else None
    return "order" if digits >= (4 if code[:1].isalpha() else 5) and _BARE_CODE.fullmatch(code) else None


def _is_lookalike(plain: str, start: int, end: int, word: str) -> bool:
    """Amounts, dates, sizes, decimals, postal codes, numbers with a unit."""
    code = plain[start:end]
    unit = _MONEY if code.isdigit() and len(code) >= 6 else _UNIT
    if unit.match(plain, end) or _CURRENCY.search(plain, max(0, start - 6), start):
        return True
    if word == "order" and len(code) >= 6:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", code))
    if re.match(r"[.:]\d", plain[end : end + 2]) or re.search(
        r"\d[.:]$|(?<!\d)\d{1,3},$", plain[max(0, start - 5) : start]
    ):
        return True
    if _DATE.fullmatch(code) or _SIZE.fullmatch(code) or _ROUND.fullmatch(code):
        return True
    if len(code) <= 5 and _AMOUNT.search(plain, max(0, start - 14), start):
        return True
    return word != "order" and code.isdigit() and 4 <= len(code) <= 6 and _is_postal(plain, start, end)


def _is_postal(plain: str, start: int, end: int) -> bool:
    before, after = _BEFORE_CITY
    return bool(
        _POSTAL.search(plain, max(0, start - 40), start)
        or (before.search(plain, max(0, start - 2), start) and after.match(plain, end))
    )
