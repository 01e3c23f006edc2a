"""Names of people in Chinese text: LAC's persons, and what stands after "收件人" or before "先生".

Not covered: a name written like an ordinary word without a cue; a given name alone that LAC does not take for a person.
"""

import re
from collections.abc import Iterator

from data.pii.chinese_addresses import PLACE, Words
from data.pii.pseudonyms import given_names
from data.pii.spans import Span
from data.pii.surnames import COMPOUND, SURNAMES
from data.pii.words import word_set

_TITLE = (
    "(?:先生|女士|小姐|太太|师傅|老师|阿姨|叔叔|大哥|大姐|经理|主管|店长|主任|总监|医生|同学|老板|[姐哥总工姨叔婶嫂])"
)
_SURNAME = f"(?:{'|'.join(COMPOUND)}|[{''.join(SURNAMES)}])"
_SPEAKING_OF = "[请转找跟让叫给是问系下和与向到]"
_TITLED = re.compile(
    f"(?:(?<![\u4e00-\u9fff])|(?<={_SPEAKING_OF}))({_SURNAME})(?={_TITLE})|({_SURNAME})(?=先生|女士|小姐|师傅|经理|主管)"
)
_ROLE = (
    "(?:我叫|[她他]叫|名叫|叫做|名字(?:是|改成|叫)?|姓名|收[件货]人|联系人|寄件人|签收人|持卡人|户名|抬头(?:个人)?|署名|落款|本人|我是|实名"
    "|登记的?|员工|快递员|客服|主管|老[公婆师]|[儿女]子|女儿|[我她他]?[爸妈弟妹哥姐]|朋友|同[事学]|室友|邻居|班长|不好意思)"
    "(?:显示|改成|[是叫为写开给])?[:：，, ]?\\s?"
)
_AFTER_NAME = r"[，,。.；;!！、）)（(\s\d\"”]|[收会在说已取的电态推]|代收|$"
_CALLED = re.compile(f"{_ROLE}({_SURNAME}[\u4e00-\u9fff]{{1,2}}?)(?={_AFTER_NAME})")
_SURNAMED = re.compile(f"(?:我姓|免贵姓|贵姓[:：]?|姓)({_SURNAME})(?=[，,。\\s]|$)")
_NICKNAME = re.compile(
    f"(?:(?<![\u4e00-\u9fff])|(?<=[是给让找跟和叫问]))([老小阿]{_SURNAME})(?=[^\u4e00-\u9fff]|[啊呀吧呢收代帮的说在来去拿签]|$)"
)
_DOTTED = re.compile(
    "(?:(?![是给叫人收写到为成件寄])[\u4e00-\u9fff]){2,8}(?:·[\u4e00-\u9fff]{2,8}?)+(?=[^\u4e00-\u9fff]|[的收寄代在说]|$)"
)
_LATIN = re.compile(r"(?<![A-Za-z])[A-Z][a-z]+(?: [A-Z][a-z]+){0,2}(?![A-Za-z])")
_LATIN_CUE = re.compile(r"(?:[叫名写是找给系转户]|[收件货]人|^)[:：, ，]?\s?$")
_NAMED = re.compile(r"(?:名|[收件货]人|联系人|叫)[是为写]?[:：]?\s?$")
_AFTER_LATIN = re.compile(r"\s?(?:收|代收|下的单|本人|的包裹|的快递)")
_PERSON = re.compile("[\u4e00-\u9fff]{2,4}|[\u4e00-\u9fff]{1,8}·[\u4e00-\u9fff·]{1,12}")
_NO_NAME = re.compile(
    "[订这那一两的我你他]单|单号|号码|哈哈|地址|快递|老妹|花呗|[明今昨后前]儿|小客|客服|卡里|免贵|签收|卡户|客户|收件"
)
_TITLE_AT_END = re.compile(f"{_TITLE}$")


def chinese_names(text: str, words: Words) -> Iterator[Span]:
    """The names in a text whose words are tagged."""
    for word, tag, start in words:
        name = _TITLE_AT_END.sub("", word) if tag == "PER" else ""
        titled = len(name) == 1 and word != name
        if (titled or _PERSON.fullmatch(name)) and _may_be_name(name) and not PLACE.search(name):
            yield Span(start, start + len(name), "name")
    for pattern in (_TITLED, _CALLED, _SURNAMED, _NICKNAME, _DOTTED):
        for match in pattern.finditer(text):
            group = match.lastindex or 0
            if _may_be_name(match[group]):
                yield Span(*match.span(group), "name")
    for match in _LATIN.finditer(text):
        first = match[0].split()[0]
        before = match.start()
        known = first in given_names() and (" " in match[0] or bool(_LATIN_CUE.search(text, 0, before)))
        named = " " in match[0] and bool(_NAMED.search(text, 0, before))
        if known or named or (first in given_names() and _AFTER_LATIN.match(text, match.end())):
            yield Span(*match.span(), "name")


def _may_be_name(name: str) -> bool:
    return name not in word_set("no_names") and not _NO_NAME.search(name)
