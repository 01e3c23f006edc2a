"""Invented names and addresses, part by part: a person's surname, given name and street keep their surrogate through a dialog.

Names come from Faker's lists. Of an address the country, province, city and district stay, as a city alone names nobody;
streets, buildings and every number change. Not covered: the gender of a Chinese given name; whether the invented street exists.
"""

import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from data.pii.addresses import is_place_word
from data.pii.surnames import COMPOUND, SURNAMES
from data.pii.words import word_set, words

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_CHINESE_ADMINISTRATIVE = re.compile(
    r"(?:[\u4e00-\u9fff]{2,7}?(?:省|自治区|特别行政区)|内蒙古|广西|西藏|宁夏|新疆)?\s?(?:[\u4e00-\u9fff]{1,8}?(?:市|自治州|地区|盟))?\s?"
    r"(?:[\u4e00-\u9fff]{1,7}?(?:(?<![小校园社一二三四五六七八九十东西南北])区|新区|县|旗|市(?!场)))?"
)
_CHINESE_PART = re.compile(
    r"([\u4e00-\u9fff]+?)([东西南北中]?(?:街道|大道|公路|胡同|新村|花园|小区|公寓|家园|大厦|广场|中心|大学|学院|医院|酒店|国际|[路街巷道弄镇乡村城苑园里坊庄府湾庭园宅居])|(?=[0-9０-９A-Za-z\s]|$))"
)
_NUMERALS = "一二三四五六七八九"


class Pseudonyms:
    """Names and addresses of one dialog; `forbidden` are the canonical values that must not come back."""

    def __init__(self, source: random.Random, forbidden: set[str]) -> None:
        self._random = source
        self._forbidden = forbidden
        self._known: dict[tuple[str, str], str] = {}

    def plain_word(self) -> str:
        """Some word for a mailbox or a company."""
        return self._random.choice(words("streets")).lower()

    def name(self, written: str) -> str:
        """The surrogate of a name in Chinese characters or in Latin script."""
        return self._chinese_name(written) if re.search(r"[\u4e00-\u9fff]", written) else self._latin_name(written)

    def address(self, written: str) -> str:
        """The surrogate of an address: same town, another house."""
        if re.search(r"[\u4e00-\u9fff]", written):
            return self._chinese_address(written)
        return ",".join(self._latin_segment(segment) for segment in written.split(","))

    def _one_of(self, kind: str, key: str, pool: Sequence[str]) -> str:
        """The surrogate of a part: chosen at its first use, never one that the dialog had or that is given already."""
        if (kind, key) not in self._known:
            taken = {value for (other, _), value in self._known.items() if other == kind}
            free = [
                value
                for value in pool
                if value.casefold() not in self._forbidden and value not in taken and value.casefold() != key
            ]
            self._known[kind, key] = self._random.choice(free or [value for value in pool if value.casefold() != key])
        return self._known[kind, key]

    def _latin_name(self, written: str) -> str:
        parts = _WORD.findall(written)
        last = parts[-1] if len(parts) > 1 else ""
        females, males, surnames = latin_names()

        def other(match: re.Match[str]) -> str:
            word = match[0]
            if word.lower() in word_set("particles") and word != last:
                return word
            key = word.casefold()
            if len(word) == 1:
                return self._one_of("initial", key, list("ABCDEFGHJKLMNPRSTW"))
            is_surname = word == last or (
                len(parts) == 1 and word.title() in surnames and word.title() not in (*females, *males)
            )
            pool = surnames if is_surname else males if word.title() in males else females
            known = self._known.get(("given", key)) or self._known.get(("surname", key))
            return _cased(known or self._one_of("surname" if is_surname else "given", key, pool), word)

        return _WORD.sub(other, written)

    def _chinese_name(self, written: str) -> str:
        surnames, given = chinese_names()
        if "·" in written:
            return "·".join(self._one_of("foreign", part, words("dotted")) for part in written.split("·"))
        if len(written) == 2 and written[0] == written[1]:
            return self._one_of("nickname", written, words("nicknames"))
        prefix = written[0] if written[0] in "老小阿" and len(written) > 1 else ""
        rest = written[len(prefix) :]
        surname = next(
            (name for name in COMPOUND if rest.startswith(name)),
            rest[0] if rest[0] in SURNAMES and not (prefix and len(rest) == 2) else "",
        )
        first = rest[len(surname) :]
        made = self._one_of("surname", surname, surnames if len(surname) == 1 else COMPOUND) if surname else ""
        made += self._one_of("given", first, given.get(len(first), given[2])) if first else ""
        return prefix + made

    def _chinese_address(self, written: str) -> str:
        kept = _CHINESE_ADMINISTRATIVE.match(written)
        head = kept[0] if kept else ""
        rest = _CHINESE_PART.sub(self._chinese_part, written[len(head) :])
        return head + self._numbered(
            re.sub(f"[{_NUMERALS}](?=[{_NUMERALS}十百]*(?:号|栋|幢|单元|楼|层|室|组|队|期))", self._numeral, rest)
        )

    def _chinese_part(self, match: re.Match[str]) -> str:
        base, suffix = match[1], match[2]
        if (
            base + suffix in word_set("address_parts")
            or base in word_set("address_parts")
            or (base.startswith(("号", "栋", "幢", "座", "楼", "层", "室", "单元")) and len(base) <= 2)
        ):
            return match[0]
        lead = re.match(r"(?:号楼|号院|号|单元|[栋幢座楼层室期区组弄])?", base)
        head = lead[0] if lead else ""
        core = base[len(head) :]
        return (
            f"{head}{self._one_of('estate', core, words('estates'))}{suffix}"
            if len(core) > 1 or (suffix and core)
            else match[0]
        )

    def _numeral(self, match: re.Match[str]) -> str:
        return self._one_of("numeral", match[0], _NUMERALS)

    def _numbered(self, text: str) -> str:
        """The text with other digits: a number of an address keeps its surrogate, too."""
        return re.sub(r"\d+", lambda m: self._made(("number", m[0]), lambda: self._number(m[0])), text)

    def _number(self, digits: str) -> str:
        given = {value for (kind, _), value in self._known.items() if kind == "number"}
        for _ in range(100):
            first = digits[0] if digits[0] in "0０" else self._random.choice("123456789")
            made = first + "".join(self._random.choice("0123456789") for _ in digits[1:])
            if made != digits and made not in given:
                break
        return made

    def _made(self, key: tuple[str, str], make: Callable[[], str]) -> str:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _latin_segment(self, segment: str) -> str:
        """One part between commas: a street, unit or house gets other words, a town keeps them; numbers always change."""
        parts = _WORD.findall(segment)
        postal = re.search(r"\b[A-Z]{1,2}\d[A-Z\d]? (\d[A-Z]{2})\b", segment)
        if postal:
            inward = "".join(c if c.isdigit() else self._random.choice("ABDEFGHJLNPQRSTUWXYZ") for c in postal[1])
            inward = self._made(("postal", postal[0]), lambda: inward)
            segment = segment[: postal.start(1)] + inward + segment[postal.end(1) :]
        house = any(is_place_word(word) for word in parts) or bool(
            re.match(r"\s*\d+[A-Za-z]?\s+\D|.*\D\s+\d{1,3}[A-Za-z]?\s*$", segment)
        )
        if house and not (postal and not any(is_place_word(word) for word in parts)):
            segment = _WORD.sub(self._street_word, segment)
        return self._numbered(segment)

    def _street_word(self, match: re.Match[str]) -> str:
        word = match[0]
        if (
            len(word) < 3
            or is_place_word(word)
            or word.lower() in word_set("particles")
            or re.fullmatch("st|nd|rd|th", word.lower())
        ):
            return word
        return _cased(self._one_of("street", word.casefold(), words("streets")), word)


def _cased(made: str, like: str) -> str:
    return made.lower() if like.islower() else made.upper() if like.isupper() and len(like) > 1 else made


@lru_cache(1)
def latin_names() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Female and male given names, and surnames."""
    from faker.providers.person.en_US import Provider

    return tuple(Provider.first_names_female), tuple(Provider.first_names_male), tuple(Provider.last_names)


@lru_cache(1)
def chinese_names() -> tuple[tuple[str, ...], dict[int, tuple[str, ...]]]:
    """Common surnames of one character, and given names by length."""
    from faker.providers.person.zh_CN import Provider

    given = tuple(Provider.first_names)
    common = [name for name, _ in sorted(Provider.last_names.items(), key=lambda item: -item[1]) if len(name) == 1]
    surnames = tuple(common[:100])
    return surnames, {length: tuple(name for name in given if len(name) == length) for length in (1, 2)}


@lru_cache(1)
def given_names() -> frozenset[str]:
    """Given names of several languages: what may be a name although it is written small."""
    from importlib import import_module

    locales = ("en_US", "en_GB", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL", "pt_BR", "nl_NL", "tr_TR")
    return frozenset(
        name for locale in locales for name in import_module(f"faker.providers.person.{locale}").Provider.first_names
    )
