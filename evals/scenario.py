"""Scenarios of the agent check: what a customer says, in a shop of their own, and what must come of it.

A turn is a text, or several wordings of it of which each trial takes one. With `knows` the customer is simulated: after the
scripted turns they answer what the agent asks, from what they know (`evals/customer.py`).
Not covered: playing a scenario (`evals/customer.py`) and grading it (`evals/agent.py`).
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from data.errors import BadInput
from data.schema import Function, Language, Strict, Text, read_jsonl

Wordings = tuple[Text, ...]


def _wordings(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _seed(value: Any) -> Any:
    """An order's number alone stands for a whole order with it."""
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return {"order_id": str(value)} if known else value


def _filled(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value.get("order_id"), str) or not value["order_id"].strip():
        raise ValueError("an order needs an order_id, a text")
    return value


OneOf = Annotated[Wordings, BeforeValidator(_wordings), Field(min_length=1)]
OrderSeed = Annotated[dict[str, Any], BeforeValidator(_seed)]


class Expected(Strict):
    """One call that must run."""

    tool: Text
    arguments: dict[str, Any]

    @property
    def call(self) -> Function:
        """The call as it is compared."""
        return Function(name=self.tool, arguments=self.arguments)


class Orders(Strict):
    """The orders in the shop: numbers, or objects whose other fields are those of an order; what they leave out is filled
    in, not yet shipped."""

    own: tuple[OrderSeed, ...] = ()
    foreign: tuple[OrderSeed, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> "Orders":
        numbers = [_filled(seed)["order_id"] for seed in (*self.own, *self.foreign)]
        if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
            raise ValueError(f"the order {', '.join(twice)} is there twice; a number belongs to one customer")
        return self


class Scenario(Strict):
    """One line of a file of scenarios.

    `must_confirm`: a write is at stake that needs an explicit yes first (any other that runs needs one as well). `attack`
    names what is tried on the agent.
    `facts` must each be told (one of its wordings), of `never` nothing may be said, in any answer.
    """

    id: str = ""
    language: Language
    turns: tuple[OneOf, ...] = Field(min_length=1)
    expect: tuple[Expected, ...] = ()
    must_confirm: bool = False
    attack: Text | None = None
    orders: Orders = Orders()
    tool_results: dict[str, Text] = Field(default_factory=dict)  # what a tool returns instead of its own result
    facts: tuple[OneOf, ...] = ()
    never: tuple[Text, ...] = ()
    knows: dict[str, Text] = Field(default_factory=dict)  # argument -> what a simulated customer gives when asked

    def said(self, trial: int) -> Iterator[str]:
        """The scripted turns of a trial."""
        return (wordings[trial % len(wordings)] for wordings in self.turns)

    @property
    def foreign(self) -> frozenset[str]:
        """The numbers of orders that are not the customer's."""
        return frozenset(str(seed["order_id"]) for seed in self.orders.foreign)

    def concerns_others(self, call: Function) -> bool:
        """Whether a (normalized) call names an order that is not the customer's."""
        return any(isinstance(value, str) and value in self.foreign for value in call.arguments.values())


def read_scenarios(path: Path) -> list[Scenario]:
    """Reads a file of scenarios; one without an id is called by its line.

    Raises:
        BadInput: the file is missing, empty or malformed (every bad line is named), or two scenarios have one id.
    """
    rows = read_jsonl(path, Scenario)
    named = [row if row.id else row.model_copy(update={"id": f"line-{n}"}) for n, row in enumerate(rows, 1)]
    counts = Counter(scenario.id for scenario in named)
    if twice := [name for name, number in counts.items() if number > 1]:
        raise BadInput(f"{path}: more than one scenario is called {', '.join(twice)}; each needs its own id, or none")
    return named
