"""How a claim that something was done is worded, in English and Chinese, by the kind of outcome.

Not covered: which claims may pass (`serving/claims.py`).
"""

import re
from typing import Literal

Kind = Literal["any", "address", "cancel", "return", "refund", "invoice", "human"]

# English: who did it, or what it was done to
_DONE = (
    "updated|changed|modified|corrected|edited|cancell?ed|refunded|returned|exchanged|submitted|processed|redirected|"
    "rerouted|re-routed|rescheduled|replaced|issued|arranged|completed|created|filed|placed|set|transferred|escalated|"
    "forwarded|handed|initiated|credited"
)
# these tell of other things, too ("we opened a shop"), unless something was just done
_DONE_NOW = "opened|registered|requested|started|sent|emailed|passed|notified|informed|connected|logged|raised|approved"
_DOING = (
    "transferring|connecting|escalating|forwarding|handing|cancell?ing|refunding|processing|updating|changing|submitting|"
    "issuing|opening|creating|initiating|requesting"
)
_CHANGED = "updated|changed|modified|corrected|redirected|rerouted|re-routed|replaced|submitted|filed"
_MADE = (
    "created|opened|registered|submitted|started|initiated|approved|filed|processed|arranged|accepted|requested|issued|"
    "sent|emailed|generated|completed|confirmed|set up|made"
)
_OBJECT = (
    "address|delivery|order|refund|return|exchange|invoice|recipient|phone|request|change|destination|shipment|"
    "it|this|that|everything"
)
_ASKED = r"(?:\s+(?:request|label|case|form|of))?(?:\s+\S+){0,4}?"
_PERSON = r"(?:human|agent|colleague|representative|specialist|team\s+member|advisor|supervisor)"
_HANDED = "transferred|handed|escalated|connected|forwarded|passed|assigned"
_COMES = r"be\s+with|contact|call|reach|take\s+over|get\s+back|join|assist"
_ADVERBS = r"(?:\s+(?:just|now|already|successfully|also|gone ahead and))*"
_BEEN = (
    r"(?:(?:has|have|had)(?:\s+(?:now|just|already|successfully))*\s+been|was|were|(?:is|are|['’]s)\s+(?:now|already))"
)
_BEING = rf"(?:{_BEEN}|are\s+being|['’]re\s+being|is\s+being|have\s+been)"
_ENGLISH: dict[Kind, tuple[str, ...]] = {
    "any": (
        rf"\b(?:i|we)(?:\s+have|\s*['’]ve|\s+had|\s*['’]d)?{_ADVERBS}\s+(?:{_DONE})\b",  # I have updated
        rf"\b(?:i|we)(?:\s+have|\s*['’]ve|\s+(?:just|already)){_ADVERBS}\s+(?:{_DONE_NOW})\b",
        rf"\b(?:i\s+am|i['’]m|we\s+are|we['’]re)(?:\s+(?:now|just|currently))*\s+(?:{_DOING})\b",
        rf"\b(?:successfully|just)\s+(?:{_DONE}|{_DONE_NOW})\b",
        r"^\W*(?:it['’]?s\s+|all\s+)?(?:done|all\s+set|completed|updated|changed|submitted|taken\s+care\s+of)\b\W*$",
        r"^\W*(?:successfully\s+)?cancell?ed\W*$",
        r"^\W*done\s*[:：]",
    ),
    "address": (
        rf"\b(?:{_OBJECT})\s*{_BEEN}{_ADVERBS}\s+(?:{_CHANGED})\b",  # your address has been updated
        r"\bnow\s+(?:goes|ships|be\s+delivered|be\s+sent|being\s+sent)\s+to\b",
    ),
    "cancel": (
        rf"\b(?:order|purchase|it|this|that|everything)\b[^;:!?]{{0,20}}?(?:{_BEEN}|\bis){_ADVERBS}\s+cancell?ed\b",
        rf"\bcancellation\s+(?:request\s+)?(?:{_BEEN}{_ADVERBS}\s+(?:{_MADE})|went\s+through)\b",
    ),
    "return": (rf"\b(?:return|exchange){_ASKED}\s+{_BEEN}{_ADVERBS}\s+(?:{_MADE})\b",),
    "refund": (
        rf"\brefund{_ASKED}\s+{_BEEN}{_ADVERBS}\s+(?:{_MADE})\b",
        rf"\b(?:you|order|money|amount|payment|it)\s+(?:{_BEEN}|have\s+been){_ADVERBS}\s+(?:refunded|credited)\b",
        r"\brefund\s+is\s+(?:now\s+)?(?:on\s+(?:its|the)\s+way|being\s+processed|complete)\b",
    ),
    "invoice": (rf"\binvoice{_ASKED}\s+{_BEEN}{_ADVERBS}\s+(?:{_MADE})\b",),
    "human": (
        rf"\b(?:you|conversation|chat|case|request|issue|ticket)\s*{_BEING}{_ADVERBS}\s+(?:{_HANDED})\b",
        rf"\b{_PERSON}\s+{_BEEN}{_ADVERBS}\s+(?:notified|informed|assigned|alerted)\b",
        rf"\b{_PERSON}\s+(?:will|is\s+going\s+to)\s+(?:\w+\s+)?(?:{_COMES})\b",
    ),
}
# Chinese: "已为您取消" is the agent's doing, "已取消" a state
_ZH_DONE = (
    "修改|更改|更新|变更|改|换|取消|退款|退货|提交|办理|处理|设置|登记|申请|开具|开票|撤销|转接|转给|转交|转到|转人工|"
    "反馈|上报|通知|安排|创建|生成|发起|退回|退还|受理"
)
_ZH_NEAR = "[^！？；不没未\n]"
_ZH_MADE = "已经?(?:于[^！？；\\n]{1,14}?)?(?:成功)?(?:被|为您)?"
_ZH_CHANGED = "修改|更改|更新|变更|改为|改成|改好|换成"
_ZH_TAKEN = "提交|登记|创建|生成|受理|办理|发起|通过|申请|安排|处理|完成"
_ZH_PERSON = "人工客服|客服人员|客服专员|专员|同事"
_CHINESE: dict[Kind, tuple[str, ...]] = {
    "any": (
        rf"已经?(?:成功)?[为帮给替](?:您|你)?(?!查|核|看|找|了解)[^！？；\n]{{0,40}}?(?:{_ZH_DONE})",
        rf"(?:我|我们|这边|小客)(?:刚才?|刚刚)?已经?(?:成功)?{_ZH_NEAR}{{0,20}}?(?:{_ZH_DONE})",
        rf"[为帮给替][您你](?!查|核|看|找|了解)[^！？；\n]{{0,40}}?(?:{_ZH_DONE})(?:好了?|完成|完毕|成功|了)",
        rf"(?:正在?|现在就?|这就)[为帮给替][您你]{_ZH_NEAR}{{0,12}}?(?:{_ZH_DONE})(?!{_ZH_NEAR}{{0,6}}吗)",
        rf"(?:{_ZH_DONE})(?:好了|成功|完成了|完毕)(?!后|之后|以后|的话|吗|没)",
        r"^\W*(?:已经?)?(?:完成|搞定|办好|改好|办妥|取消|转接|提交)了?\W*$",
        r"^\W*已经?(?:办好|办妥|完成)\s*[:：]",
    ),
    "address": (
        rf"(?:地址|收货人|电话|信息|订单){_ZH_NEAR}{{0,10}}?已经?(?:成功)?被?(?:{_ZH_CHANGED})",
        rf"地址{_ZH_NEAR}{{0,6}}?[改换变][成为到]了",
    ),
    "cancel": (rf"订单{_ZH_NEAR}{{0,20}}?{_ZH_MADE}(?:取消|撤销)",),
    "return": (rf"(?:退货|换货|退换){_ZH_NEAR}{{0,12}}?{_ZH_MADE}(?:{_ZH_TAKEN})",),
    "refund": (
        rf"退款{_ZH_NEAR}{{0,12}}?{_ZH_MADE}(?:{_ZH_TAKEN}|到账|退回|原路退回|打款)",
        rf"(?:款项|货款|金额|元|钱){_ZH_NEAR}{{0,8}}?{_ZH_MADE}(?:原路)?(?:退回|退还|退款|退到|到账|返还)",
    ),
    "invoice": (rf"(?:发票|开票){_ZH_NEAR}{{0,16}}?{_ZH_MADE}(?:{_ZH_TAKEN}|开具|开好|开出|发送|寄出)",),
    "human": (
        rf"{_ZH_MADE}(?:转接|转给|转交|转到|转至|转人工|通知|反馈给|上报){_ZH_NEAR}{{0,8}}?(?:人工|客服|专员|同事|经理|部门)",
        rf"(?:{_ZH_PERSON}){_ZH_NEAR}{{0,6}}?(?:稍后|马上|很快|尽快|即将){_ZH_NEAR}{{0,10}}?(?:联系|回复|接待|跟进|处理)",
    ),
}
# "any" is the agent's own doing.
CLAIMS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE))
    for language in (_ENGLISH, _CHINESE)
    for kind, patterns in language.items()
)
