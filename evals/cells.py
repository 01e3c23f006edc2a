"""The cells of the conformance matrix: thinking x stream x tool_choice x history x language, and what is asked in each.

Model mode brings tools, agent mode none. A forced cell (`required`, `named`) offers a tool with closed arguments, so that a
model which calls nothing by itself, a random one even, has to finish a call. Not covered: asking and judging
(`evals/conformance.py`).
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Literal

from data.schema import Language, Strict

Choice = Literal["auto", "none", "required", "named", "functions"]
History = Literal["order", "chat", "answered", "called"]
Json = dict[str, Any]

FORCED = ("required", "named")
HAND_OVER = "hand_over"
_PARAMETERS = {
    "type": "object",
    "properties": {"urgent": {"type": "boolean"}},
    "required": ["urgent"],
    "enum": [{"urgent": True}, {"urgent": False}],  # whole: between single values a grammar lets white space go on
}
CLOSED_TOOL: Json = {
    "type": "function",
    "function": {
        "name": HAND_OVER,
        "description": "Hand the customer over to a colleague.",
        "strict": True,
        "parameters": _PARAMETERS,
    },
}
_ORDER: dict[Language, str] = {
    "en": "Where is my order 20240518? Please look it up.",
    "zh": "我的订单20240518到哪里了？请帮我查一下。",
}
_CHAT: dict[Language, str] = {"en": "Good evening! How are you today?", "zh": "晚上好！你今天怎么样？"}
_HELLO: dict[Language, str] = {"en": "Hello! What can I do for you?", "zh": "您好！请问有什么可以帮您？"}
_RESULT: dict[Language, str] = {
    "en": "Order 20240518: packed, not shipped yet.",
    "zh": "订单20240518：已打包，还没有发货。",
}


class Cell(Strict):
    """One request, but for `stream`: a cell is asked both ways. `shown`: with `return_reasoning`."""

    mode: Literal["model", "agent"]
    thinking: bool
    shown: bool
    choice: Choice
    history: History
    language: Language

    @property
    def name(self) -> str:
        """The cell as messages name it."""
        thinking = "thinking-shown" if self.shown else "thinking" if self.thinking else "direct"
        return "/".join((self.mode, thinking, self.choice, self.history, self.language))

    @property
    def forced(self) -> bool:
        """Whether the engine is made to write a call."""
        return self.choice in FORCED

    def messages(self) -> list[Json]:
        """What the caller sends."""
        order, chat = _turn(_ORDER[self.language]), _turn(_CHAT[self.language])
        if self.history == "order":
            return [order]
        if self.history == "chat":
            return [chat]
        if self.history == "answered":
            return [chat, {"role": "assistant", "content": _HELLO[self.language]}, order]
        function = {"name": "query_order_status", "arguments": '{"order_id": "20240518"}'}
        call = {"id": "call_1", "type": "function", "function": function}
        result = {"role": "tool", "tool_call_id": "call_1", "content": _RESULT[self.language]}
        return [order, {"role": "assistant", "content": "", "tool_calls": [call]}, result]

    def tools(self, tools: Sequence[Json]) -> list[Json]:
        """The tools on offer, of the shop's `tools`."""
        return [CLOSED_TOOL] if self.choice == "required" else [*tools, CLOSED_TOOL] if self.forced else list(tools)

    def tool_choice(self) -> Any:
        """OpenAI's `tool_choice`."""
        named = {"type": "function", "function": {"name": HAND_OVER}}
        return named if self.choice == "named" else "auto" if self.choice == "functions" else self.choice

    def offer(self, tools: Sequence[Json]) -> Json:
        """The part of a request that brings tools; empty in agent mode."""
        if self.mode == "agent":
            return {}
        if self.choice == "functions":
            return {"functions": [tool["function"] for tool in self.tools(tools)]}
        return {"tools": self.tools(tools), "tool_choice": self.tool_choice()}


def matrix() -> Iterator[Cell]:
    """Every cell."""
    ways = ((False, False), (True, False), (True, True))
    languages: tuple[Language, ...] = ("en", "zh")
    choices: tuple[Choice, ...] = ("auto", "none", "required", "named", "functions")
    histories: tuple[History, ...] = ("order", "chat", "answered", "called")
    for (thinking, shown), choice, history, language in product(ways, choices, histories, languages):
        yield Cell(mode="model", thinking=thinking, shown=shown, choice=choice, history=history, language=language)
    for (thinking, shown), history, language in product(ways, histories[:3], languages):
        yield Cell(mode="agent", thinking=thinking, shown=shown, choice="auto", history=history, language=language)


def _turn(text: str) -> Json:
    return {"role": "user", "content": text}
