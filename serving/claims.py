"""Holds back what a model must not say: sentences that claim that something was changed.

The server words the outcomes of writes; a model that says "I have updated your address" has at best guessed.
Detection is by patterns in two languages, on whole sentences. Not covered: claims spread over several sentences,
other languages.
"""

import re
from dataclasses import dataclass

from data.schema import Language
from serving import wording

# English: who did it, or what it was done to
_DONE = (
    "updated|changed|modified|corrected|edited|cancell?ed|refunded|returned|exchanged|submitted|processed|redirected|"
    "rerouted|re-routed|rescheduled|replaced|issued|arranged|completed|created|filed|placed|set"
)
_CHANGED = "updated|changed|modified|corrected|redirected|rerouted|re-routed|replaced|submitted|filed"
_OBJECT = (
    "address|delivery|order|refund|return|exchange|invoice|recipient|phone|request|change|destination|shipment|"
    "it|this|that|everything"
)
_ADVERBS = r"(?:\s+(?:just|now|already|successfully|also|gone ahead and))*"
_BEEN = (
    r"(?:(?:has|have|had)(?:\s+(?:now|just|already|successfully))*\s+been|was|were|(?:is|are|['’]s)\s+(?:now|already))"
)
_ENGLISH = (
    rf"\b(?:i|we)(?:\s+have|\s*['’]ve|\s+had|\s*['’]d)?{_ADVERBS}\s+(?:{_DONE})\b",  # I have updated, we just changed
    rf"\b(?:{_OBJECT})\s*{_BEEN}{_ADVERBS}\s+(?:{_CHANGED})\b",  # your address has been updated, it is now changed
    rf"\b(?:successfully|just)\s+(?:{_DONE})\b",
    r"\bnow\s+(?:goes|ships|be\s+delivered|be\s+sent|being\s+sent)\s+to\b",
    r"^\W*(?:it['’]?s\s+|all\s+)?(?:done|all\s+set|completed|updated|changed)\b\W*$",
)
# Chinese: "已取消" alone is a status that a read may report; "已为您取消" is a claim
_ZH_DONE = "修改|更改|更新|变更|改|换|取消|退款|退货|提交|办理|处理|设置|登记|申请|开具|撤销"
_CHINESE = (
    rf"已经?(?:成功)?[为帮给替](?:您|你)?[^！？；\n]{{0,40}}?(?:{_ZH_DONE})",
    rf"(?:我|我们|这边|小客)(?:刚才?|刚刚)?已经?(?:成功)?[^！？；不没未\n]{{0,20}}?(?:{_ZH_DONE})",
    rf"[为帮给替][您你][^！？；\n]{{0,40}}?(?:{_ZH_DONE})(?:好了?|完成|完毕|成功|了)",
    r"(?:地址|收货人|电话|信息|订单)[^！？；不没未\n]{0,10}?已经?(?:成功)?被?(?:修改|更改|更新|变更|改为|改成|改好|换成)",
    rf"(?:{_ZH_DONE})(?:好了|成功|完成了|完毕)(?!后|之后|以后|的话|吗|没)",
    r"^\W*(?:已经?)?(?:完成|搞定|办好|改好|办妥)了?\W*$",
    r"地址[^！？；不没未\n]{0,6}?[改换变][成为到]了",
)
_CLAIMS = re.compile("|".join(f"(?:{pattern})" for pattern in (*_ENGLISH, *_CHINESE)), re.IGNORECASE)
_CONDITION = re.compile(
    r"\b(?:if|once|when|after|before|until|unless|whether|would|could|can)\b"
    r"|如果|若|一旦|等.{0,12}后|之后|以后|是否|可以|能否|需要",
    re.IGNORECASE,
)
# A line break or a sentence's end; a full stop only before white space, so that 3.5 and "No.5" stay whole.
_END = re.compile(r"(?<=[。！？!?；;\n])|(?<=\.)(?=\s)")


@dataclass(frozen=True)
class Checked:
    """A model's text as it may leave, sentence by sentence, and how many sentences were held back."""

    sentences: tuple[str, ...]
    withheld: int

    @property
    def text(self) -> str:
        return "".join(self.sentences)


def sentences(text: str) -> list[str]:
    """Splits a text into sentences with their punctuation and white space; joined, they are the text again."""
    return [part for part in _END.split(text) if part]


def claims_write(sentence: str) -> bool:
    """Whether a sentence says that something was changed. A condition ("once it has been changed, ...") does not."""
    found = ((clause, claim) for clause in re.split("[,，。]", sentence) for claim in _CLAIMS.finditer(clause))
    return any(not _CONDITION.search(clause, 0, claim.start()) for clause, claim in found)


def checked(text: str, language: Language) -> Checked:
    """The text without claims of writes; the server's own words stand where the first one stood."""
    kept: list[str] = []
    held = 0
    for sentence in sentences(text):
        if not claims_write(sentence):
            kept.append(sentence)
            continue
        if not held:
            kept.append(_spaced(wording.withheld(language), kept, language))
        held += 1
    return Checked(tuple(kept), held)


def _spaced(words: str, before: list[str], language: Language) -> str:
    joins = not before or before[-1].endswith(("\n", " ")) or language == "zh"
    return words if joins else f" {words}"
