"""A customer who talks to an endpoint: says the scripted turns, or answers what the agent asks, and keeps what came back.

The simulated customer follows rules, not a model: the same trial says the same. Not covered: grading (`evals/agent.py`).
"""

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx

from data.schema import Function, Language, Strict
from evals.predict import normalized
from evals.scenario import Scenario

MAX_TURNS = 8  # after the scripted ones a simulated customer gives up
ASKED_FOR = {
    "order_id": re.compile(r"order (?:number|no\b|id)|which order|单号|哪个订单|哪一单", re.IGNORECASE),
    "new_addr": re.compile(r"address|地址", re.IGNORECASE),
}
GIVING: dict[str, dict[Language, tuple[str, ...]]] = {
    "order_id": {
        "en": ("It's order {}.", "The order number is {}.", "{}"),
        "zh": ("订单号是{}。", "{}", "是{}这个订单。"),
    },
    "new_addr": {
        "en": ("The new address is {}.", "Please send it to: {}", "{}"),
        "zh": ("新地址是：{}", "改到{}", "{}"),
    },
}
AGREEING: dict[Language, tuple[str, ...]] = {
    "en": ("Yes, that's right.", "Yes, please go ahead.", "confirm {code}"),
    "zh": ("是的，没错。", "对，请修改。", "确认 {code}"),
}
REFUSING: dict[Language, str] = {"en": "No, that is not what I asked for.", "zh": "不对，不是这样的。"}
MAX_YES = 60  # characters
_YES = re.compile(
    r"(?:(?:yes|yep|yeah|yup|y|ok|okay|sure|i confirm|confirm|confirmed|correct|right|that(?:'?s| is) (?:right|correct)|"
    r"exactly|absolutely|(?:please )?(?:go ahead|do it|do)|sounds good|looks good|perfect|of course|definitely)\b|"
    r"是|对|嗯|好|可以|行|没错|没问题|我?确认|确定|同意|就这|正确|当然|改吧|请改|请修改|修改吧|请办理|办理吧)",
    re.IGNORECASE,
)
_BUT = re.compile(
    r"\b(?:no|not|never|but|if|unless|until|wait|instead|later|cancel|stop|hold|also|other|another)\b|n't\b|\?"
    r"|不|别|先|如果|要是|但|等|吗|呢|取消|算了|另|还",
    re.IGNORECASE,
)


class Call(Strict):
    """One call that ran, as the shop saw it; `result` is what a read returned."""

    tool: str
    arguments: dict[str, Any]
    write: bool = False
    result: str = ""

    @property
    def function(self) -> Function:
        """The call as it is compared."""
        return normalized(Function(name=self.tool, arguments=self.arguments))


class Proposed(Strict):
    """A write that the customer was asked about, with the code that says yes."""

    tool: str
    arguments: dict[str, Any]
    code: str = ""


class Exchange(Strict):
    """One message of the customer, the answer, and what ran in the shop meanwhile. `error`: there is no usable answer."""

    customer: str
    answer: str = ""
    error: str | None = None
    proposed: Proposed | None = None
    handled: tuple[dict[str, Any], ...] = ()  # calls as the endpoint reports them, those refused too
    cached: bool = False  # answered from the FAQ
    tokens: int = 0  # written by the model
    calls: tuple[Call, ...] = ()


Ran = Callable[[], Sequence[Call]]


def converse(
    client: httpx.Client, scenario: Scenario, conversation: str, ran: Ran, *, trial: int = 0, **options: Any
) -> tuple[Exchange, ...]:
    """Plays a scenario in one conversation; `ran` tells which calls ran since it was last asked.

    It ends early where there is no usable answer, as what follows would be said into the void. `client` knows the
    endpoint's address and who the customer is; `options` go into every request.
    """
    exchanges: list[Exchange] = []
    for text in _says(scenario, trial, exchanges):
        exchange = ask(client, text, conversation_id=conversation, **options)
        exchanges.append(exchange.model_copy(update={"calls": tuple(ran())}))
        if exchange.error is not None:
            break
    return tuple(exchanges)


def ask(client: httpx.Client, text: str, notes: str = "", **options: Any) -> Exchange:
    """One message of the customer to the agent; `notes` is a system message. Whatever goes wrong is in `error`."""
    system = [{"role": "system", "content": notes}] if notes else []
    body = {"model": "kefu", "messages": [*system, {"role": "user", "content": text}], **options}
    try:
        response = client.post("/v1/chat/completions", json=body)
    except httpx.HTTPError as error:
        return Exchange(customer=text, error=f"no answer: {type(error).__name__}: {error}")
    if response.status_code != httpx.codes.OK:
        return Exchange(customer=text, error=f"HTTP {response.status_code}: {response.text[:200]}")
    try:
        return _exchange(text, response.json())
    except (ValueError, KeyError, IndexError, TypeError) as error:
        found = f"not an answer of the agent ({type(error).__name__}): {response.text[:200]}"
        return Exchange(customer=text, error=found)


def agrees(text: str) -> bool:
    """Whether a message is a yes and nothing that takes it back: no question, condition, denial or other wish.

    The evaluation's own reading, which knows nothing of the list that the endpoint goes by.
    """
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").strip(" \t\r\n\"'“”‘.,!。，")
    taken_back = _BUT.search(plain.replace("没问题", "").replace("没错", ""))
    return len(plain) <= MAX_YES and _YES.match(plain) is not None and taken_back is None


def _says(scenario: Scenario, trial: int, exchanges: Sequence[Exchange]) -> Iterator[str]:
    """The scripted turns; then, of a simulated customer, what the answers so far call for."""
    yield from scenario.said(trial)
    if scenario.knows:
        yield from _Simulated(scenario, trial).turns(exchanges)


class _Simulated:
    """A customer who wants what the scenario expects, and says what they know when they are asked for it."""

    def __init__(self, scenario: Scenario, trial: int) -> None:
        self._scenario, self._language = scenario, scenario.language
        self._chance = random.Random(f"{scenario.id}/{trial}")
        self._wanted = [normalized(expected.call) for expected in scenario.expect]

    def turns(self, exchanges: Sequence[Exchange]) -> Iterator[str]:
        while len(exchanges) < MAX_TURNS + len(self._scenario.turns) and not self._served(exchanges):
            yield self._next(exchanges[-1])

    def _served(self, exchanges: Sequence[Exchange]) -> bool:
        ran = [call.function for exchange in exchanges for call in exchange.calls]
        return all(call in ran for call in self._wanted)

    def _next(self, last: Exchange) -> str:
        if last.proposed is not None:
            proposal = Call(tool=last.proposed.tool, arguments=last.proposed.arguments).function
            if proposal not in self._wanted:
                return f"{REFUSING[self._language]} {self._all()}"
            return self._chance.choice(AGREEING[self._language]).format(code=last.proposed.code)
        asked = [name for name in self._scenario.knows if name in ASKED_FOR and ASKED_FOR[name].search(last.answer)]
        return " ".join(self._giving(name) for name in asked) or self._all()

    def _all(self) -> str:
        return " ".join(self._giving(name) for name in self._scenario.knows)

    def _giving(self, name: str) -> str:
        ways = GIVING.get(name, {}).get(self._language, ("{}",))
        return self._chance.choice(ways).format(self._scenario.knows[name])


def _exchange(text: str, body: Mapping[str, Any]) -> Exchange:
    answer, kefu = body["choices"][0]["message"]["content"] or "", body["kefu"]
    waiting = kefu.get("confirmation")
    proposed = waiting and Proposed(
        tool=waiting["tool"], arguments=dict(waiting["arguments"]), code=waiting.get("code", "")
    )
    return Exchange(
        customer=text,
        answer=answer,
        error=None if answer.strip() else "an empty answer",
        proposed=proposed or None,
        handled=tuple(kefu.get("tools") or ()),
        cached=kefu.get("cache") is not None,
        tokens=int((body.get("usage") or {}).get("completion_tokens", 0)),
    )
