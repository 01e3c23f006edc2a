"""What personal data is replaced by: something else of the same kind, the same each time within one dialog.

A phone stays a valid phone of its country, an ID or bank card keeps its check digit, an order number its letters,
dashes and length, and two ways of writing one number get two ways of writing one surrogate: so a copied slot can still be
learned as copied. Names and addresses: `data/pii/pseudonyms.py`. Not covered: meaning inside numbers (a date in one is lost).
"""

import random
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

from data.pii.pseudonyms import Pseudonyms
from data.pii.spans import Kind

_TRIES = 500
_NO_ALNUM = re.compile("[^a-z0-9]")
_PUBLIC_MAIL = re.compile(
    r"(?:gmail|googlemail|outlook|hotmail|live|yahoo|icloud|me|aol|gmx|web|mail|proton|protonmail|fastmail|hey|qq|163|126|139|189|sina|sohu|foxmail|aliyun|yeah)\.[a-z.]+"
)


class Surrogates:
    """The surrogates of one dialog. `originals` are all values that will be replaced: none of them is given out again."""

    def __init__(self, seed: bytes, originals: Iterable[str], language: str) -> None:
        self._random = random.Random(seed)
        self._forbidden = {canonical(value) for value in originals}
        self._regions = ("CN",) if language == "zh" else ("GB", "US", "CN")
        self._known: dict[tuple[str, str], str] = {}
        self._pseudonyms = Pseudonyms(self._random, self._forbidden)

    def of(self, kind: Kind, written: str) -> str:
        """The surrogate of a value as it is written here: its separators, case and width stay."""
        if kind == "name":
            return self._pseudonyms.name(written)
        if kind == "address":
            return self._pseudonyms.address(written)
        if kind == "email":
            return self._email(written)
        if kind == "phone":
            return self._phone(written)
        key = canonical(written)
        make = {"id_card": self._id_card, "bank_card": self._bank_card}.get(kind, self._code)
        return _written_as(self._once(kind, key, lambda: make(key)), written)

    def _once(self, kind: str, key: str, make: Callable[[], str]) -> str:
        """The value made for a key at its first use; never one of the originals nor one given before."""
        if (kind, key) not in self._known:
            made = make()
            for _ in range(_TRIES):
                if canonical(made) not in self._forbidden:
                    break
                made = make()
            self._known[kind, key] = made
            self._forbidden.add(canonical(made))
        return self._known[kind, key]

    def _digits(self, like: str) -> str:
        """Random digits; where `like` has a leading digit that is not zero, neither is this."""
        first = "" if not like else "0" if like[0] == "0" else self._random.choice("123456789")
        return first + "".join(self._random.choice("0123456789") for _ in like[1:])

    def _code(self, key: str) -> str:
        """An order or tracking number: digits by digits; letters before and after them stay, those between do not."""
        head, middle, tail = re.fullmatch(r"(\D*)(.*?)(\D*)", key, re.DOTALL).groups()  # type: ignore[union-attr]
        digits = iter(self._digits(re.sub(r"\D", "", middle)))
        letters = "abcdefghjkmnpqrstuvwxyz"
        made = (next(digits) if c.isdecimal() else self._random.choice(letters) for c in middle)
        return f"{head}{''.join(made)}{tail}"

    def _id_card(self, key: str) -> str:
        """A Chinese resident of some county and birthday with the check digit (GB 11643); or a US social security number."""
        from stdnum.cn import ric

        if len(key) not in (15, 18):
            area = self._random.choice([n for n in range(1, 773) if n != 666])
            return f"{area:03d}{self._random.randint(1, 99):02d}{self._random.randint(1, 9999):04d}"
        county = self._random.choice(counties())
        year = self._random.randint(1950, 2004) if len(key) == 18 else self._random.randint(1935, 1980)
        born = f"{year}{self._random.randint(1, 12):02d}{self._random.randint(1, 28):02d}"
        number = f"{county}{born}{self._random.randint(1, 499):03d}"
        if len(key) == 15:
            return f"{number[:6]}{number[8:]}"
        return number + ric.calc_check_digit(f"{number}0").lower()

    def _bank_card(self, key: str) -> str:
        """A card of the same issuer with Luhn's check digit, or an IBAN of the same country with its check digits."""
        from stdnum import iban, luhn

        if key[:2].isalpha():
            for _ in range(_TRIES):
                account = "".join(self._random.choice("0123456789") if c.isdigit() else c for c in key[4:])
                number = f"{key[:2]}{iban.calc_check_digits(f'{key[:2]}00{account}'.upper())}{account}"
                if iban.is_valid(number):  # the country's own check digits, too
                    break
            return number
        number = key[:6] + "".join(self._random.choice("0123456789") for _ in key[6:-1])
        return number + luhn.calc_check_digit(number)

    def _phone(self, written: str) -> str:
        """A valid number of the same country that begins as this one does, up to the area or network."""
        import phonenumbers

        digits = re.sub(r"\D", "", unicodedata.normalize("NFKC", written))
        region, national = self._region(written, digits)
        kept = min(3, max(1, len(national) - 6))

        def make() -> str:
            for _ in range(_TRIES):
                made = national[:kept] + "".join(self._random.choice("0123456789") for _ in national[kept:])
                if region is None or phonenumbers.is_valid_number(phonenumbers.parse(made, region)):
                    return made
            return made

        surrogate = self._once("phone", national, make)
        return _written_as(digits[: len(digits) - len(national)] + surrogate, written)

    def _region(self, written: str, digits: str) -> tuple[str | None, str]:
        """The country that a phone number is valid in and its national part; all its digits if it is valid in none."""
        import phonenumbers

        plain = unicodedata.normalize("NFKC", written).strip()
        international = plain.startswith("+") or digits.startswith("00")
        mobile = re.fullmatch(r"(?:86)?1[3-9]\d{9}", digits)
        tries = (
            [("+" + digits.lstrip("0"), None)]
            if international
            else [(digits, r) for r in ("CN", *self._regions)[not mobile :]]
        )
        for number, region in tries:
            try:
                parsed = phonenumbers.parse(number, region)
            except phonenumbers.NumberParseException:
                continue
            national = phonenumbers.national_significant_number(parsed)
            if phonenumbers.is_valid_number(parsed) and digits.endswith(national):
                return phonenumbers.region_code_for_number(parsed), national
        return None, digits

    def _email(self, written: str) -> str:
        """Another mailbox: at the same public provider, or at an invented company under the same ending."""
        local, _, domain = unicodedata.normalize("NFKC", written).casefold().rpartition("@")
        mailbox = self._once("mailbox", f"{local}@{domain}", lambda: self._mailbox(local))
        host = domain if _PUBLIC_MAIL.fullmatch(domain) else self._once("domain", domain, lambda: self._domain(domain))
        made = f"{mailbox}@{host}"
        return made.upper() if written.isupper() else made

    def _mailbox(self, local: str) -> str:
        if local.isdigit():
            return self._digits(local)
        return f"{self._pseudonyms.plain_word()}{self._random.choice(('.', '_', '', ''))}{self._random.randint(10, 99_999)}"

    def _domain(self, domain: str) -> str:
        return f"{self._pseudonyms.plain_word()}-{self._pseudonyms.plain_word()}.{domain.partition('.')[2]}"


@lru_cache(1)
def counties() -> tuple[str, ...]:
    """The codes of Chinese counties and districts, six digits each."""
    from faker.providers.ssn.zh_CN import Provider

    return tuple(code for code in Provider.area_codes if not code.endswith("00"))


def canonical(value: str) -> str:
    """A value without its way of writing: NFKC, small letters, letters and digits only."""
    if value.isascii():
        return _NO_ALNUM.sub("", value.lower())
    return "".join(c for c in unicodedata.normalize("NFKC", value).casefold() if c.isalnum())


def _written_as(made: str, written: str) -> str:
    """The letters and digits of `made` in the places, case and width of those of `written`."""
    characters = iter(made)
    return "".join(_like(next(characters, ""), c) if unicodedata.normalize("NFKC", c).isalnum() else c for c in written)


def _like(character: str, written: str) -> str:
    if written.isupper() or written.isdecimal():  # X at the end of an ID card
        character = character.upper()
    wide = "\uff01" <= written <= "\uff5e" and "!" <= character <= "~"
    return chr(ord(character) + 0xFEE0) if wide else character
